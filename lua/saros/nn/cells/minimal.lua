--- What the cells of Feng et al. 2024 ("Were RNNs All We Needed?") share. They are
--- linear in their state, so all work but a multiplication and an addition for each
--- unit is one product for all steps.
---
--- The candidate is as the weights make it, or made positive, which the paper's way
--- through log space needs. Walking in the order of time does not need it, and text
--- is learned better without: 1.85 against 1.89 after two epochs of Shakespeare
--- (H 128, 2 layers).

local options = require "saros.options"
local gated = require "saros.nn.cells.gated"

---@class saros.nn.MinimalOptions: saros.nn.RecurrentOptions
---@field candidate? "plain"|"positive"  is n itself, or n + 1/2 from 0 on and sigmoid(n) below ("plain")
---@field remember? integer  as of the LSTM

--- The candidate in a definition: as it is, or made positive.
local function candidate(cell, n, positive)
  if not positive then
    return n
  end
  return cell:apply("where", cell:apply("lt", n, cell:number(0)), cell:apply("sigmoid", n),
    cell:apply("add", n, cell:number(0.5)))
end

--- A cell of this kind.
---@param name string
---@param gates integer
---@param signs integer[]  see gated.remembering
---@param named { [1]: string, [2]: string }[]  see saros.nn.Cell
---@param define fun(cell: saros.nn.Definition, candidate: fun(n: table): table): table
---@return saros.nn.Cell
return function(name, gates, signs, named, define)
  local function definition(positive)
    return function(cell)
      return define(cell, function(n)
        return candidate(cell, n, positive)
      end)
    end
  end
  return {
    gates = gates,
    states = { "h" },
    linear = true,
    diagonal = 1,
    lacks = { "recurrent_dropout" }, -- as the state meets no weights
    options = { { "candidate", options.one_of { "plain", "positive" }, "plain" }, gated.remember_option },
    operation = function(o)
      return o.candidate == "plain" and name or name .. "_positive"
    end,
    check = gated.remember_problem,
    bias = gated.remembering(signs),
    add = gated.add,
    definitions = { [name] = definition(false), [name .. "_positive"] = definition(true) },
    named = named,
  }
end
