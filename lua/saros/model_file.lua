--- Model files: the parameters as safetensors, everything else that is needed
--- to use them as JSON in the metadata. Loading builds the model from that
--- description; it never runs code from the file.
---
---     saros     { format, kind, description }: what builds the model
---     program   what the model computes in a step (saros.program), where it can be
---               traced; a model of the kind "program" consists of nothing else

local core = require "saros.core"
local files = require "saros.files"
local lazy = require "saros.lazy"
local options = require "saros.options"
local sorted = require "saros.sorted"

-- Modules that need this one. A model registers itself when it is loaded.
local late = lazy({}, {
  describe_cell = { "saros.nn.program_cell", "describe" },
  of_tensors = { "saros.nn.module", "of_tensors" },
})
local models = lazy({}, {
  language_model = { "saros.nn.language_model" },
  forecaster = { "saros.nn.forecaster" },
  classifier = { "saros.nn.classifier" },
  encoder_decoder = { "saros.nn.encoder_decoder" },
  program = { "saros.nn.program" },
  automaton = { "saros.automata.model" },
})

local FORMAT = 1
local FILE_NAME = "model.safetensors" -- in a run folder

local model_file = {}

-- kind -> function that builds an untrained model from its description, a table
-- with the model's `options`, another table
local builders = {}

--- Let `load` know how to build a kind of model.
---@param kind string
---@param build fun(description: table, program: string?, tensors: table<string, saros.Tensor>): saros.nn.Module
---  gets the text of the file's program, if it has one, and its tensors
function model_file.register(kind, build)
  builders[kind] = build
end

--- The model file of a run folder.
---@param folder string
---@return string
function model_file.path_in(folder)
  return folder .. "/" .. FILE_NAME
end

local function check(path, module)
  if type(path) ~= "string" then
    options.fail("save: expected a path, got " .. options.describe(path))
  elseif not module.initialized and module:tensors() then -- which names what is no part of it
    options.fail "save: expected a model with initialized parameters; call init { seed = ... } or load(tensors) first"
  end
end

--- The text of a module's program, and whether the module may be another function in
--- training; nil and why there is none.
local function program_of(module)
  local ok, text, asks_training = pcall(function()
    local program = module:program()
    return program:encode(), program.asks_training
  end)
  if ok then
    return text, asks_training
  end
  return nil, options.without_place(text)
end

--- Write a model.
---@param path string
---@param kind string  registered
---@param description table  plain data for the builder; `cell` is what the file has of a cell of one's own
---@param module saros.nn.Module
---@param stepped? saros.nn.Module  whose program the file has: takes and tells the units of a script's session (module)
---@return true? ok, string? message
function model_file.write(path, kind, description, module, stepped)
  check(path, module)
  if description.options.own_cell then
    description.cell = late.describe_cell(module)
  end
  local program, other = program_of(stepped or module)
  description.asks_training = program and other
  return core.write_tensors(path, module:tensors(), {
    saros = core.json_encode { format = FORMAT, kind = kind, description = description },
    program = program, untraced = not program and other or nil,
  })
end

--- Names of one tensor: each but the one that programs use, with that one.
---@param module saros.nn.Module
---@return table<string, string>
function model_file.aliases_of(module)
  local first, aliases = {}, {}
  local tensors = module:tensors()
  local parameters = module:parameters()
  for n, tensor in ipairs(parameters) do
    first[tensor] = parameters.names[n]
  end
  for _, name in ipairs(sorted.keys(tensors)) do
    local known = first[tensors[name]]
    if known and known ~= name then
      aliases[name] = known
    end
  end
  return aliases
end

--- The names of buffers, sorted: what programs read of them are parameters, too.
---@param module saros.nn.Module
---@return string[]
function model_file.buffers_of(module)
  local names, is_buffer = {}, {}
  for _, tensor in ipairs(module:buffers()) do
    is_buffer[tensor] = true
  end
  for name, tensor in pairs(module:tensors()) do
    names[#names + 1] = is_buffer[tensor] and name or nil
  end
  table.sort(names)
  return names
end

--- Write any module: with its program, so that saros.load builds it from the file
--- alone, or the parameters and why there is none.
---@param path string
---@param module saros.nn.Module
---@return true? ok, string? message  with true, if the file has parameters only: why
function model_file.write_module(path, module)
  check(path, module)
  local program, other = program_of(module)
  if not program then
    local ok, message = core.write_tensors(path, module:tensors(), { untraced = other })
    return ok, message or ("save: wrote parameters only, for load(path) of a module that is built alike: " .. other)
  end
  return core.write_tensors(path, module:tensors(), {
    saros = core.json_encode { format = FORMAT, kind = "program",
      description = {
        options = {}, aliases = model_file.aliases_of(module), buffers = model_file.buffers_of(module),
        asks_training = other, batch_first = module.batch_first or nil,
      } },
    program = program,
  })
end

local function exists(path)
  local file = files.open(path)
  return file and file:close()
end

local function builder_of(kind)
  local _ = models[kind]
  return builders[kind]
end

-- Returns the description, or nil and what is wrong with it.
local function describe(metadata)
  if not metadata.saros then
    return nil, "expected a model that saros.load can build, got parameters only; build the "
      .. "module and call module:load(path)" .. (metadata.untraced and " (" .. metadata.untraced .. ")" or "")
  end
  local description, message = core.json_decode(metadata.saros)
  if type(description) ~= "table" then
    return nil, "expected a model description in JSON, got " .. (message or "something else")
  elseif math.type(description.format) ~= "integer" then
    return nil, "expected a format number, got " .. options.describe(description.format)
  elseif description.format > FORMAT then
    return nil, ("expected format %d, got %d; written by a newer version"):format(
      FORMAT, description.format)
  elseif type(description.description) ~= "table" then
    return nil, "expected a description, got " .. options.describe(description.description)
  elseif not builder_of(description.kind) then
    return nil, "expected a known kind of model, got " .. options.describe(description.kind)
  end
  return description
end

local function build(description, tensors, program)
  local given = description.description
  if type(given.options) ~= "table" then
    error("expected the options of a model, got " .. options.describe(given.options), 0)
  end
  return late.of_tensors(tensors, builder_of(description.kind), given, program, tensors)
end

-- The model of some tensors; `place` is where they come from.
local function model_of(tensors, metadata, place)
  local description, message = describe(metadata)
  if not description then
    return nil, ("load: %s: %s"):format(place, message)
  end
  local ok, model = pcall(build, description, tensors, metadata.program)
  if not ok then -- a module that does not fit says "load: ", too
    local reason = metadata.program == nil and metadata.untraced and (" (%s)"):format(metadata.untraced) or ""
    return nil, ("load: %s: %s%s"):format(place, options.without_place(model):gsub("^load: ", ""), reason)
  end
  return model
end

local function read_model(path)
  path = files.is_folder(path) and model_file.path_in(path) or path
  local tensors, metadata = core.read_tensors(path)
  if not tensors then
    local hint = exists(path) and "; is it a model, as model:save(path) and fit's run folders keep it?" or ""
    return nil, "load: " .. metadata .. hint
  end
  return model_of(tensors, metadata, path)
end

--- Load a model: a file, the model of a run folder, or what a host shares of a
--- file: tensors, which become the model's own, and metadata.
---@param source string|table<string, saros.Tensor>  a path, or tensors by name
---@param metadata? table<string, string>  of the tensors
---@return saros.nn.Module? model  whatever was saved there
---@return string? message  what is wrong with the file
function model_file.load(source, metadata)
  if type(source) == "string" then
    return read_model(source)
  elseif type(source) ~= "table" or type(metadata) ~= "table" then
    options.fail("load: expected a path, or tensors and their metadata, got " .. options.describe(source))
  end
  return model_of(source, metadata, "the tensors")
end

return model_file
