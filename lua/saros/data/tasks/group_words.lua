--- Products of permutations.

local options = require "saros.options"
local automaton = require "saros.data.tasks.automaton"
local rows = require "saros.data.tasks.rows"

local check = options.declare("data.tasks.group_words", {
  { "group", options.one_of { "S3", "S4", "S5", "A4", "A5" }, "S3" },
  { "length", rows.kind(1), rows.of(32) },
})

--- Whether a permutation, a list of points, has an even number of inversions.
local function is_even(points)
  local inversions = 0
  for i = 1, #points do
    for j = i + 1, #points do
      inversions = inversions + (points[i] > points[j] and 1 or 0)
    end
  end
  return inversions % 2 == 0
end

--- The permutations of 1..n that begin with some points, appended in lexicographic order.
local function extend(list, points, n, fits)
  if #points == n then
    list[#list + 1] = fits(points) and table.move(points, 1, n, 1, {}) or nil
    return
  end
  local used = {}
  for _, point in ipairs(points) do
    used[point] = true
  end
  for point = 1, n do
    if not used[point] then
      points[#points + 1] = point
      extend(list, points, n, fits)
      points[#points] = nil
    end
  end
end

--- The table of a group: products[a][b] is the element that does a, then b. Elements are
--- counted in lexicographic order, so that the first is the one that moves nothing.
local function multiply_all(name)
  local n, elements, number = tonumber(name:sub(2)), {}, {}
  extend(elements, {}, n, name:sub(1, 1) == "A" and is_even or function() return true end)
  for e, points in ipairs(elements) do
    number[table.concat(points)] = e
  end
  local products = {}
  for a, first in ipairs(elements) do
    products[a] = {}
    for b, second in ipairs(elements) do
      local points = {}
      for i = 1, n do
        points[i] = second[first[i]]
      end
      products[a][b] = number[table.concat(points)]
    end
  end
  return products
end

--- The words of a group of permutations: a token is an element of it, and the answer at
--- every step is the product so far (Liu et al. 2023, "Transformers Learn Shortcuts to
--- Automata"; Merrill et al. 2024, "The Illusion of State in State-Space Models"; Grazzi et
--- al. 2024, who train S5 with 32 steps and test with up to 500). S3 has 6 elements, A4 12,
--- S4 24, A5 60, S5 120. The words of A5 and S5 are as hard as those of any finite
--- automaton (NC1-complete). Tokens and classes are elements in lexicographic order, 1 the
--- identity; the product of a word does its permutations one after the other.
---@param given? { group?: "S3"|"S4"|"S5"|"A4"|"A5", length?: integer|integer[] }  group ("S3"); length:
---  T (32), or { least, most }
---@return saros.data.Task
return function(given)
  local o = check(given)
  local products = multiply_all(o.group)
  return automaton.task("group_words", {
    tokens = #products,
    answers = #products,
    start = 1,
    step = function(product, token)
      product = products[product][token]
      return product, product
    end,
  }, o.length, "all")
end
