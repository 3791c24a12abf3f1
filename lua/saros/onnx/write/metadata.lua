--- What a file says beside the graph, as texts by name: JSON where it is no plain text.

local core = require "saros.core"
local sorted = require "saros.sorted"

--- What states begin with, by the names of their inputs, where that is not zeros.
local function first_states(graph)
  local by_name, any = {}, false
  for _, state in ipairs(graph.states) do
    if state.input and state.first then
      by_name[state.input], any = state.first:reshape(-1):totable(), true
    end
  end
  return any and by_name or nil
end

--- The texts of a file, in order of their names.
---@param model saros.nn.Module
---@param parts saros.export.Parts
---@param graph saros.export.Graph
---@param o { metadata: table<string, string> }
---@return { key: string, value: string }[]
return function(model, parts, graph, o)
  local known = model.vocabulary
  local texts = { model = model.kind, version = core.info().version }
  local values = {
    vocabulary = type(known) == "table" and known.to_table and known:to_table() or nil,
    labels = parts.labels,
    inputs = parts.before and parts.before.names,
    targets = parts.behind and parts.behind.names,
    horizon = parts.behind and parts.behind.horizon,
    first_states = first_states(graph),
  }
  for name, value in pairs(values) do
    texts[name] = core.json_encode(value)
  end
  for name, text in pairs(o.metadata) do
    texts[name] = text
  end
  local list = {}
  for n, name in ipairs(sorted.keys(texts)) do
    list[n] = { key = name, value = texts[name] }
  end
  return list
end
