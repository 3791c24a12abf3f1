--- The messages of an ONNX file that Saros reads or writes, as data: message -> number of a
--- field -> { name, type, repeated }. A type is
---
---     integer   a varint of 64 bits, signed       text    a string
---     real      a float of 32 bits                range   bytes, as { from, stop } in the file
---
--- or another message. Numbers are those of onnx.proto; fields that are not here are skipped.
--- Where `placed` is true, the message itself has `from` and `stop`: its elements are read by
--- the core, and never become Lua values.

---@class saros.onnx.Field
---@field [1] string  its name
---@field [2] string  its type
---@field [3] boolean?  may stand any number of times: a list
---@alias saros.onnx.Message table<integer|"placed", saros.onnx.Field|boolean>

local ONE, MANY = false, true

---@type table<string, saros.onnx.Message>
return {
  Model = {
    [1] = { "ir_version", "integer", ONE },
    [2] = { "producer_name", "text", ONE },
    [3] = { "producer_version", "text", ONE },
    [5] = { "model_version", "integer", ONE },
    [6] = { "doc_string", "text", ONE },
    [7] = { "graph", "Graph", ONE },
    [8] = { "opset_import", "OperatorSet", MANY },
    [14] = { "metadata_props", "Entry", MANY },
  },
  OperatorSet = {
    [1] = { "domain", "text", ONE },
    [2] = { "version", "integer", ONE },
  },
  Entry = {
    [1] = { "key", "text", ONE },
    [2] = { "value", "text", ONE },
  },
  Graph = {
    [1] = { "node", "Node", MANY },
    [2] = { "name", "text", ONE },
    [5] = { "initializer", "Tensor", MANY },
    [11] = { "input", "ValueInfo", MANY },
    [12] = { "output", "ValueInfo", MANY },
    [15] = { "sparse_initializer", "range", MANY },
  },
  Node = {
    [1] = { "input", "text", MANY },
    [2] = { "output", "text", MANY },
    [3] = { "name", "text", ONE },
    [4] = { "op_type", "text", ONE },
    [5] = { "attribute", "Attribute", MANY },
    [7] = { "domain", "text", ONE },
  },
  Attribute = {
    [1] = { "name", "text", ONE },
    [2] = { "f", "real", ONE },
    [3] = { "i", "integer", ONE },
    [4] = { "s", "text", ONE },
    [5] = { "t", "Tensor", ONE },
    [6] = { "g", "Graph", ONE },
    [7] = { "floats", "real", MANY },
    [8] = { "ints", "integer", MANY },
    [9] = { "strings", "text", MANY },
    [20] = { "type", "integer", ONE },
    [21] = { "ref_attr_name", "text", ONE },
  },
  Tensor = {
    placed = true,
    [1] = { "dims", "integer", MANY },
    [2] = { "data_type", "integer", ONE },
    [8] = { "name", "text", ONE },
    [9] = { "raw_data", "range", ONE },
    [13] = { "external_data", "Entry", MANY },
    [14] = { "data_location", "integer", ONE },
  },
  ValueInfo = {
    [1] = { "name", "text", ONE },
    [2] = { "type", "Type", ONE },
  },
  Type = {
    [1] = { "tensor_type", "TensorType", ONE },
  },
  TensorType = {
    [1] = { "elem_type", "integer", ONE },
    [2] = { "shape", "Shape", ONE },
  },
  Shape = {
    [1] = { "dim", "Dimension", MANY },
  },
  Dimension = {
    [1] = { "dim_value", "integer", ONE },
    [2] = { "dim_param", "text", ONE },
  },
}
