--- A graph without what no output needs.

--- Says which names the nodes of a body read.
local function mark_body(body, used)
  for _, node in ipairs(body.node) do
    for _, name in ipairs(node.input) do
      used[name] = true
    end
  end
end

--- Keeps what the outputs need.
---@param graph table  GraphProto
---@return table graph
return function(graph)
  local used, nodes, tensors = {}, {}, {}
  for _, info in ipairs(graph.output) do
    used[info.name] = true
  end
  for n = #graph.node, 1, -1 do
    local node, is_used = graph.node[n], false
    for _, name in ipairs(node.output) do
      is_used = is_used or used[name]
    end
    for _, name in ipairs(is_used and node.input or {}) do
      used[name] = true
    end
    for _, attribute in ipairs(is_used and node.attribute or {}) do
      if attribute.g then
        mark_body(attribute.g, used)
      end
    end
    nodes[#nodes + 1] = is_used and node or nil
  end
  for n = 1, #nodes // 2 do
    nodes[n], nodes[#nodes + 1 - n] = nodes[#nodes + 1 - n], nodes[n]
  end
  for _, tensor in ipairs(graph.initializer) do
    tensors[#tensors + 1] = used[tensor.name] and tensor or nil
  end
  graph.node, graph.initializer = nodes, tensors
  return graph
end
