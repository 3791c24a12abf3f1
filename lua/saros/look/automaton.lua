--- Automata as pictures: states on a circle, arrows from state to state.

local options = require "saros.options"
local frame = require "saros.look.frame"
local svg = require "saros.look.svg"

-- Sizes in pixels: of a state, of an arrow's head, of how far arrows bend.
local RADIUS, HEAD, BEND = 20, 8, 0.18

-- More states than these are a table, not a picture.
local MOST = 64

local check = options.declare("automaton:plot", {
  { "title", options.optional(options.string) },
  { "width", options.size, 640 },
  { "height", options.size, 640 },
})

--- The places of n states, clockwise from the left.
local function places_of(n, o)
  local places, top = {}, o.title and 30 or 0
  local x, y = o.width / 2, top + (o.height - top) / 2
  local radius = math.max(0, math.min(o.width, o.height - top) / 2 - 3 * RADIUS)
  for state = 1, n do
    local angle = math.pi + 2 * math.pi * (state - 1) / n
    places[state] = { x = x + radius * math.cos(angle), y = y + radius * math.sin(angle) }
  end
  return places, { x = x, y = y }
end

--- Tokens by the states that they lead to, as text: "1, 3".
local function arrows_from(row, tokens)
  local by_target, order = {}, {}
  for token = 1, tokens do
    local to = row[token]
    if to and not by_target[to] then
      by_target[to], order[#order + 1] = {}, to
    end
    if to then
      table.insert(by_target[to], token)
    end
  end
  return by_target, order
end

local function label_of(tokens)
  local text = table.concat(tokens, ", ", 1, math.min(#tokens, 6))
  return #tokens > 6 and text .. ", ..." or text
end

local function path(parts, d)
  parts[#parts + 1] = svg.element("path", { d = d, class = "axis", fill = "none" })
end

--- An arrow's head at a place, which it reaches in a direction of length 1.
local function head(parts, at, dx, dy)
  local n = svg.number
  local x, y = at.x - HEAD * dx, at.y - HEAD * dy
  parts[#parts + 1] = svg.element("path", { class = "soft", d = ("M%s %sL%s %sL%s %sZ"):format(n(at.x), n(at.y),
    n(x - HEAD / 2 * dy), n(y + HEAD / 2 * dx), n(x + HEAD / 2 * dy), n(y - HEAD / 2 * dx)) })
end

local function write(parts, x, y, text)
  parts[#parts + 1] = svg.text(text, { x = x, y = y + 4, class = "ink", ["text-anchor"] = "middle" })
end

--- From one state to another, bent to the left, so that the way back is another one.
local function draw_arrow(parts, a, b, label)
  local dx, dy = b.x - a.x, b.y - a.y
  local middle = { x = (a.x + b.x) / 2 + BEND * dy, y = (a.y + b.y) / 2 - BEND * dx }
  local function towards(from, to)
    local length = math.sqrt((to.x - from.x) ^ 2 + (to.y - from.y) ^ 2)
    return (to.x - from.x) / length, (to.y - from.y) / length
  end
  local ux, uy = towards(a, middle)
  local vx, vy = towards(middle, b)
  local start, stop = { x = a.x + RADIUS * ux, y = a.y + RADIUS * uy }, { x = b.x - RADIUS * vx, y = b.y - RADIUS * vy }
  local n = svg.number
  path(parts, ("M%s %sQ%s %s %s %s"):format(n(start.x), n(start.y), n(middle.x), n(middle.y), n(stop.x), n(stop.y)))
  head(parts, stop, vx, vy)
  write(parts, (a.x + b.x) / 4 + middle.x / 2, (a.y + b.y) / 4 + middle.y / 2, label)
end

--- From a state to itself: a loop on the outside.
local function draw_loop(parts, a, centre, label)
  local dx, dy = a.x - centre.x, a.y - centre.y
  local length = math.sqrt(dx * dx + dy * dy)
  dx, dy = length > 0 and dx / length or 0, length > 0 and dy / length or -1
  local n, r = svg.number, RADIUS
  local function at(along, across)
    return { x = a.x + along * dx - across * dy, y = a.y + along * dy + across * dx }
  end
  local start, stop, far, near = at(0.9 * r, -0.45 * r), at(0.9 * r, 0.45 * r), at(2.4 * r, -r), at(2.4 * r, r)
  path(parts, ("M%s %sC%s %s %s %s %s %s"):format(n(start.x), n(start.y), n(far.x), n(far.y), n(near.x), n(near.y),
    n(stop.x), n(stop.y)))
  head(parts, stop, -dx, -dy)
  local place = at(2.5 * r, 0)
  write(parts, place.x, place.y, label)
end

local function draw_state(parts, at, state, answer)
  parts[#parts + 1] = svg.element("circle", { cx = at.x, cy = at.y, r = RADIUS, class = "page axis",
    ["stroke-width"] = state == 1 and 3 or 1 })
  write(parts, at.x, at.y, answer and tostring(answer) or "-")
end

--- The text in a state is its answer; the first state has a thick line.
---@param a saros.automata.Automaton
---@param given? { title?: string, width?: integer, height?: integer }
---@return saros.Plot
return function(a, given)
  local o, parts = check(given or {}), {}
  if #a.next > MOST then
    options.fail(("automaton:plot: expected an automaton of at most %d states, got %d"):format(MOST, #a.next))
  end
  local places, centre = places_of(#a.next, o)
  if o.title then
    parts[1] = svg.text(o.title, { x = 12, y = 22, class = "ink title" })
  end
  for state, row in ipairs(a.next) do
    local by_target, order = arrows_from(row, a.tokens)
    for _, to in ipairs(order) do
      if to == state then
        draw_loop(parts, places[state], centre, label_of(by_target[to]))
      else
        draw_arrow(parts, places[state], places[to], label_of(by_target[to]))
      end
    end
  end
  for state, at in ipairs(places) do
    draw_state(parts, at, state, a.told[state])
  end
  return frame.plot("automaton", o, parts)
end
