--- Nested brackets, up to a depth.

local options = require "saros.options"
local automaton = require "saros.data.tasks.automaton"
local rows = require "saros.data.tasks.rows"

local check = options.declare("data.tasks.brackets", {
  { "kinds", options.kind("an integer in 1..9", function(value)
    local n = math.type(value) and math.tointeger(value)
    return n and n >= 1 and n <= 9 and n or nil
  end), 1 },
  { "depth", options.optional(options.size) },
  { "length", rows.kind(1), rows.of(40) },
})

--- The brackets that may follow: any that opens, unless all levels are open, and the one
--- that closes the innermost.
local function choices(state, kinds, depth)
  local list = {}
  for kind = 1, #state < depth and kinds or 0 do
    list[kind] = kind
  end
  if state ~= "" then
    list[#list + 1] = kinds + tonumber(state:sub(-1))
  end
  return list
end

--- The automaton whose states are the open brackets, each a digit, outermost first.
local function stack_of(kinds, depth)
  return {
    tokens = 2 * kinds,
    answers = kinds == 1 and depth + 1 or kinds + 1,
    start = "",
    step = function(state, token)
      state = token <= kinds and state .. token or state:sub(1, -2)
      return state, 1 + (kinds == 1 and #state or tonumber(state:sub(-1)) or 0)
    end,
    allowed = function(state)
      return choices(state, kinds, depth)
    end,
  }
end

--- Beginnings of bracketed words, no deeper than `depth`: the language Dyck-(k, m) of Hewitt
--- et al. (2020, "RNNs Can Generate Bounded Hierarchical Languages with Optimal Memory"), k
--- kinds and depth m. Tokens 1..k open, and token k + n closes kind n. Between depth 0 and m
--- a word goes on with an opening bracket, of any kind, or the closing one, equally likely.
---
--- With one kind, the answer at each step is 1 + the depth behind it. With several, it is
--- 1 + the kind of the innermost bracket that is open, which is the one that may be closed
--- next; class 1 if there is none.
---@param given? { kinds?: integer, depth?: integer, length?: integer|integer[] }  kinds: k (1); depth: m (8
---  for one kind, else 4); length: T (40), or { least, most }
---@return saros.data.Task
return function(given)
  local o = check(given)
  local kinds, depth = o.kinds, o.depth or (o.kinds == 1 and 8 or 4)
  return automaton.task("brackets", stack_of(kinds, depth), o.length, "all", function(generator, state)
    local opens = state == "" or #state < depth and generator:integer(2) == 1
    return opens and generator:integer(kinds) or kinds + tonumber(state:sub(-1))
  end)
end
