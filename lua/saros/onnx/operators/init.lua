--- The operators of ONNX that Saros knows: name -> what a node of it does.
---
---     run(node, ...)      the outputs from the inputs, at each call; nil for an input that is absent
---     make(node, model)   when the graph is read: parameters and layers; returns what is not supported, if anything
---     sample(node, ...)   outputs of the right sizes in a trial of sizes, in place of `run`, where that needs `make`
---     has_body            runs the nodes of node.body
---     fixed               positions of inputs that `make` takes, which have to be known without the input
---
--- Equations are those of the operators' documentation (onnx.ai/onnx/operators).

---@class saros.onnx.Operator
---@field run fun(node: saros.onnx.Node, ...: any): ...: any
---@field make? fun(node: saros.onnx.Node, model: saros.onnx.Model): string?
---@field sample? fun(node: saros.onnx.Node, ...: any): ...: any
---@field has_body? boolean
---@field fixed? integer[]
---@field initial? integer[]  positions of inputs that states begin with

---@class saros.onnx.Node
---@field name string  its own, or that of its first output
---@field op string
---@field inputs string[]  "" for one that is absent
---@field outputs string[]
---@field attributes table<string, any>
---@field opset integer
---@field budget saros.onnx.Budget?  while the graph is read
---@field is_constant boolean  runs when the graph is read
---@field model saros.onnx.Model
---@field layer saros.nn.Recurrent?
---@field body { nodes: saros.onnx.Node[], inputs: string[], outputs: string[] }?  of Scan and Loop
---@field initial integer[]?  in place of the operator's
---@field first_final integer?  which output is the first state's after the last step (2)
---@field body_from integer[]?  behind how many inputs and outputs of the body states stand
---@field keeps boolean?  the model keeps its states from call to call
---@field kept table<integer, boolean>?  which of them

local operators = {}

-- Files of operators, in the order in which they are asked.
local MODULES = { "elementwise", "shape", "product", "reduce", "recurrent", "quantised", "loops" }
local DOMAINS = { [""] = true, ["ai.onnx"] = true, ["com.microsoft"] = true }

---@type table<string, saros.onnx.Operator>
local known = {}

local function load()
  for _, name in ipairs(MODULES) do
    for op, entry in pairs(require("saros.onnx.operators." .. name)) do
      known[op] = type(entry) == "function" and { run = entry } or entry
    end
  end
end

--- What a node of that operator does; nil if it is not known.
---@param node { op_type?: string, domain?: string }
---@return saros.onnx.Operator?
function operators.of(node)
  if next(known) == nil then
    load()
  end
  return DOMAINS[node.domain or ""] and rawget(known, node.op_type or "") or nil
end

--- The name of an operator, with its domain unless that is ONNX itself.
---@param node { op_type?: string, domain?: string }
---@return string
function operators.title(node)
  local domain = node.domain or ""
  return (domain == "" or domain == "ai.onnx") and node.op_type or domain .. "." .. (node.op_type or "")
end

return operators
