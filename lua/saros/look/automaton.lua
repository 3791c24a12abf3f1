--- Automata as pictures: states on a circle, arrows from state to state; with very many
--- arrows a table of colours, the next state by state and token.
---
--- A state shows its number and its answer, an arrow its tokens. Arrows of one token have its
--- colour, if there are not too many. A label stands nearer to where its arrow begins, as
--- arrows cross in the middle, and moves along it until it covers no other label.

local options = require "saros.options"
local frame = require "saros.look.frame"
local heat = require "saros.look.heat"
local svg = require "saros.look.svg"

-- Sizes in pixels: of a state, of an arrow's head, of a label and between labels; and how far arrows bend.
local RADIUS, HEAD, LINE, GAP, BEND = 22, 9, 16, 4, 0.18

-- Where labels may stand on an arrow, from its start (0) to its end (1); the best first.
local STANDS = { 0.3, 0.25, 0.35, 0.4, 0.2, 0.45, 0.5, 0.55, 0.6 }

-- More states than these are no picture, and more arrows a table of colours.
local MOST, ARROWS = 64, 100

local CAPTION = "in a circle: the state / its answer (-: none is asked); bold: the first state; on arrows: tokens"

local check = options.declare("automaton:plot", {
  { "title", options.optional(options.string) },
  { "width", options.size, 640 },
  { "height", options.optional(options.size) },
})

---@class saros.look.Drawing
---@field lines string[]  below the states
---@field labels string[]  above them
---@field width integer
---@field boxes number[][]  x, y, half of the width and of the height of what labels may not cover

-- --- Places ------------------------------------------------------------------------------

--- The places of n states, clockwise from the left.
local function places_of(n, o, top)
  local places, x, y = {}, o.width / 2, (top + o.height) / 2
  local radius = math.max(0, math.min(o.width, o.height - top) / 2 - 3.2 * RADIUS)
  local across = n <= 2 and math.max(0, o.width / 2 - 5 * RADIUS) or radius
  for state = 1, n do
    local angle = math.pi + 2 * math.pi * (state - 1) / n
    places[state] = { x = x + across * math.cos(angle), y = y + radius * math.sin(angle) }
  end
  return places, { x = x, y = y }
end

--- How much of a box others cover.
local function covered(d, x, y, w, h)
  local sum = 0
  for _, box in ipairs(d.boxes) do
    local across = math.min(x + w, box[1] + box[3]) - math.max(x - w, box[1] - box[3])
    local up = math.min(y + h, box[2] + box[4]) - math.max(y - h, box[2] - box[4])
    sum = sum + math.max(0, across) * math.max(0, up)
  end
  return sum
end

--- Write a label at the first of some places where it covers nothing, or the least.
local function write_label(d, text, places)
  local w, h, best, least = frame.width_of(text) / 2 + 2, LINE / 2, nil, math.huge
  for _, place in ipairs(places) do
    local area = covered(d, place.x, place.y, w + GAP, h + GAP)
    if area < least then
      best, least = place, area
    end
  end
  local x = math.max(w, math.min(d.width - w, best.x))
  d.boxes[#d.boxes + 1] = { x, best.y, w, h }
  d.labels[#d.labels + 1] = svg.element("rect", { class = "page", x = x - w, y = best.y - h, width = 2 * w,
    height = 2 * h, rx = 3 })
  d.labels[#d.labels + 1] = svg.text(text, { x = x, y = best.y + 4, class = "ink", ["text-anchor"] = "middle" })
end

-- --- Arrows ------------------------------------------------------------------------------

--- Tokens by the states that they lead to.
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

--- "1, 3, 5-9": tokens as text, of which no more than six numbers are shown.
local function label_of(tokens)
  local parts, first = {}, 1
  while first <= #tokens do
    local last = first
    while tokens[last + 1] == tokens[last] + 1 do
      last = last + 1
    end
    last = last - first >= 2 and last or first
    parts[#parts + 1] = last > first and ("%d-%d"):format(tokens[first], tokens[last]) or tostring(tokens[first])
    first = last + 1
  end
  return #parts > 6 and table.concat(parts, ", ", 1, 6) .. ", ..." or table.concat(parts, ", ")
end

--- The classes of a line and of a head for some tokens: of one its colour, if there are colours.
local function classes_of(tokens, is_coloured)
  local colour = is_coloured and #tokens == 1 and tokens[1]
  return colour and "l" .. colour or "axis", colour and "f" .. colour or "soft"
end

local function line(d, path, class)
  d.lines[#d.lines + 1] = svg.element("path", { d = path, class = class, fill = "none", ["stroke-width"] = 1.4 })
end

--- An arrow's head at a place, which it reaches in a direction of length 1.
local function head(d, at, dx, dy, class)
  local n = svg.number
  local x, y = at.x - HEAD * dx, at.y - HEAD * dy
  d.lines[#d.lines + 1] = svg.element("path", { class = class, d = ("M%s %sL%s %sL%s %sZ"):format(n(at.x), n(at.y),
    n(x - HEAD / 2.4 * dy), n(y + HEAD / 2.4 * dx), n(x + HEAD / 2.4 * dy), n(y - HEAD / 2.4 * dx)) })
end

--- The direction from one place to another, of length 1.
local function towards(from, to)
  local length = math.sqrt((to.x - from.x) ^ 2 + (to.y - from.y) ^ 2)
  return (to.x - from.x) / length, (to.y - from.y) / length
end

--- From one state to another, bent to the left, so that the way back is another one.
local function draw_arrow(d, a, b, tokens, is_coloured)
  local dx, dy = b.x - a.x, b.y - a.y
  local middle = { x = (a.x + b.x) / 2 + BEND * dy, y = (a.y + b.y) / 2 - BEND * dx }
  local ux, uy = towards(a, middle)
  local vx, vy = towards(middle, b)
  local start, stop = { x = a.x + RADIUS * ux, y = a.y + RADIUS * uy }, { x = b.x - RADIUS * vx, y = b.y - RADIUS * vy }
  local n, of_line, of_head = svg.number, classes_of(tokens, is_coloured)
  line(d, ("M%s %sQ%s %s %s %s"):format(n(start.x), n(start.y), n(middle.x), n(middle.y), n(stop.x), n(stop.y)),
    of_line)
  head(d, stop, vx, vy, of_head)
  local stands = {}
  for k, t in ipairs(STANDS) do
    local p, q, r = (1 - t) ^ 2, 2 * t * (1 - t), t ^ 2
    stands[k] = { x = p * start.x + q * middle.x + r * stop.x, y = p * start.y + q * middle.y + r * stop.y }
  end
  write_label(d, label_of(tokens), stands)
end

--- From a state to itself: a loop on the outside.
local function draw_loop(d, a, centre, tokens, is_coloured)
  local dx, dy = a.x - centre.x, a.y - centre.y
  local length = math.sqrt(dx * dx + dy * dy)
  dx, dy = length > 0 and dx / length or 0, length > 0 and dy / length or -1
  local n, r, text = svg.number, RADIUS, label_of(tokens)
  local function at(along, across)
    return { x = a.x + along * dx - across * dy, y = a.y + along * dy + across * dx }
  end
  local start, stop, far, near = at(0.9 * r, -0.45 * r), at(0.9 * r, 0.45 * r), at(2.4 * r, -r), at(2.4 * r, r)
  local of_line, of_head = classes_of(tokens, is_coloured)
  line(d, ("M%s %sC%s %s %s %s %s %s"):format(n(start.x), n(start.y), n(far.x), n(far.y), n(near.x), n(near.y),
    n(stop.x), n(stop.y)), of_line)
  head(d, stop, -dx, -dy, of_head)
  write_label(d, text, { at(2.4 * r + math.abs(dx) * frame.width_of(text) / 2, 0) })
end

local function draw_all_arrows(d, a, places, centre, is_coloured)
  for state, row in ipairs(a.next) do
    local by_target, order = arrows_from(row, a.tokens)
    for _, to in ipairs(order) do
      if to == state then
        draw_loop(d, places[state], centre, by_target[to], is_coloured)
      else
        draw_arrow(d, places[state], places[to], by_target[to], is_coloured)
      end
    end
  end
end

-- --- The picture -------------------------------------------------------------------------

local function answer_text(answer)
  return answer and tostring(answer) or "-"
end

local function draw_state(parts, at, state, answer)
  parts[#parts + 1] = svg.element("circle", { cx = at.x, cy = at.y, r = RADIUS, class = "page axis",
    ["stroke-width"] = state == 1 and 3 or 1 })
  local number = svg.element("tspan", { ["font-weight"] = "bold" }, tostring(state))
  parts[#parts + 1] = svg.element("text", { x = at.x, y = at.y + 4, class = "ink", ["text-anchor"] = "middle" },
    number .. " / " .. answer_text(answer))
end

--- Title, the colours of the tokens and the caption; where the room below them begins.
local function draw_head(a, o, is_coloured)
  local names = {}
  for token = 1, is_coloured and a.tokens or 0 do
    names[token] = ("token %d"):format(token)
  end
  local parts, top = frame.head(o, names)
  parts[#parts + 1] = svg.text(CAPTION, { class = "soft", x = 16, y = top + 10 })
  return parts, top + 18
end

--- The next states as colours.
local function draw_table(a, o)
  local values, rows, columns = {}, {}, {}
  for state, row in ipairs(a.next) do
    values[state], rows[state] = {}, ("%d / %s"):format(state, answer_text(a.told[state]))
    for token = 1, a.tokens do
      values[state][token], columns[token] = row[token] or 0 / 0, tostring(token)
    end
  end
  return heat.heat { values = values, rows = rows, columns = columns, x = "token", y = "state / its answer",
    title = (o.title and o.title .. ": " or "") .. "the next state, by colour", width = o.width,
    height = o.height or 120 + 14 * #a.next }
end

local function count_arrows(a)
  local count = 0
  for _, row in ipairs(a.next) do
    count = count + #select(2, arrows_from(row, a.tokens))
  end
  return count
end

--- Each state has its number and its answer; the first one has a thick line.
---@param a saros.automata.Automaton
---@param given? { title?: string, width?: integer, height?: integer }
---@return saros.Plot
return function(a, given)
  local o, n = check(given or {}), #a.next
  if n > MOST then
    options.fail(("automaton:plot: expected an automaton of at most %d states, got %d"):format(MOST, n))
  end
  if count_arrows(a) > ARROWS then
    return draw_table(a, o)
  end
  o.height = o.height or n <= 2 and 240 or o.width + 40
  local is_coloured = a.tokens <= svg.colours
  local parts, top = draw_head(a, o, is_coloured)
  local places, centre = places_of(n, o, top)
  local d = { width = o.width, lines = {}, labels = {}, boxes = {} }
  for state, at in ipairs(places) do
    d.boxes[state] = { at.x, at.y, RADIUS, RADIUS }
  end
  draw_all_arrows(d, a, places, centre, is_coloured)
  table.move(d.lines, 1, #d.lines, #parts + 1, parts)
  for state, at in ipairs(places) do
    draw_state(parts, at, state, a.told[state])
  end
  table.move(d.labels, 1, #d.labels, #parts + 1, parts)
  return frame.plot("automaton", o, parts)
end
