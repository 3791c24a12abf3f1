--- Calls that must end in an error, for specs of what the C module refuses.

local assert = require "luassert"
local saros = require "saros"

local refusals = {}

---@return saros.Tensor  (2, 3)
function refusals.grid()
  return saros.tensor { { 1, 2, 3 }, { 4, 5, 6 } }
end

---@param f function
---@param values table  its arguments, n of them
---@return boolean ok, any result  as of pcall
function refusals.call(f, values)
  return pcall(f, table.unpack(values, 1, values.n))
end

--- The error of a call must be a string that names the function.
---@param name string
---@param f function
---@param values table  its arguments, n of them
---@param what string  what is wrong with them
function refusals.refuses(name, f, values, what)
  local ok, message = refusals.call(f, values)
  collectgarbage "step"
  assert.is_false(ok, ("%s accepts %s"):format(name, what))
  assert.equal("string", type(message), name)
  local says = values[1] == "elman_tanh" and values[1] or name
  assert.is_truthy(message:find(name .. ": ", 1, true) or message:find(says .. ": ", 1, true), message)
  assert.is_truthy(message:find("expected", 1, true), message)
end

--- The keys of a table, in order.
---@return string[]
function refusals.sorted(t)
  local names = {}
  for name in pairs(t) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

return refusals
