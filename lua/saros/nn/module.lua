--- Modules: functions with parameters. A module is a class made here, a
--- constructor that adds parameters and members, and a `forward`:
---
---     local Scale = nn.module "scale"
---     function Scale:forward(x) return x * self.gain end
---     local function scale(size)
---       local self = Scale.new()
---       self.gain = self:add_parameter("gain", { size }, nn.initialize.constant(1))
---       return self
---     end
---
--- Calling a module runs its forward. A stateful module (`stateful = true`)
--- takes a state, nil for the beginning, and returns its output and the next
--- state. Parameters are named by the path to them: "rnn.weight_ih_l0".

local core = require "saros.core"
local options = require "saros.options"
local spelling = require "saros.spelling"
local lazy = require "saros.lazy"
local initialize = require "saros.nn.initialize"
local batch_first = require "saros.nn.batch_first"
local fitting = require "saros.nn.fitting"
local precision = require "saros.nn.precision"
local scope = require "saros.nn.scope"
local stray = require "saros.nn.stray"

local late = lazy({}, {
  learner = { "saros.train.learner" },
  load = { "saros.nn.loading" },
  memory = { "saros.nn.memory" },
  program = { "saros.program.trace", "program" },
  quantised = { "saros.nn.quantised" },
  read = { "saros.formats", "read" },
  save = { "saros.model_file", "write_module" },
  session = { "saros.nn.session" },
  summary = { "saros.nn.summary" },
})

---@class saros.nn.Module
---@field kind string  what it is, for messages: "linear"
---@field stateful boolean  takes and returns a state
---@field looks_up boolean  are its parameters a table of vectors, which multiply nothing?
---@field gives_rows boolean  does it give rows of its weight, chosen by ids, and no more?
---@field reads_rows boolean  does it take ids with such a module in place of the rows?
---@field hides_padding boolean  called with lengths or a mask, f(x, state, given), it reads nothing behind the ends
---  of rows, nor the gradient there, and gives zeros; see saros.nn.chain
---@field reads_pieces boolean  may its windows say where pieces begin? see saros.nn.memory
---@field reads_ahead boolean  do its outputs follow from later inputs, too?
---@field batch_first boolean  is called with (B, T, ...); see saros.nn.batch_first
---@field own_precision "real"|"bf16"|false  of its products; see saros.nn.precision
---@field watched string|false  its field that changes what it computes, beside its parameters
---@field frozen_as "int8"|"bf16"|false  of a copy that Module:quantised made
---@field after_copy fun(self: saros.nn.Module)?  of a class: puts a copy's references in order; see quantised
---@field keeps_finite boolean  does it make finite numbers of finite ones, forward and back?
---@field own { name: string, tensor: saros.Tensor, fill: saros.nn.Filler }[]
---@field members { name: string, module: saros.nn.Module }[]
---@field place { owner: saros.nn.Module, name: string }?  as a member
---@field own_generators { name: string, generator: saros.Generator }[]
---@field initialized boolean
---@overload fun(x: saros.Tensor, state?: saros.nn.State): saros.Tensor, saros.nn.State
local Module = {
  stateful = false,
  looks_up = false,
  gives_rows = false,
  reads_rows = false,
  hides_padding = false,
  reads_pieces = false,
  reads_ahead = false,
  keeps_finite = false,
  batch_first = false,
  own_precision = false,
  watched = false,
  frozen_as = false,
  states = false, -- sizes of a cell's states: see saros.nn.recurrent
  trace = false, -- what takes the place of forward while a program is traced: see saros.program.recorder
}

---@class saros.nn.Parameters
---@field [integer] saros.Tensor
---@field names string[]  of the tensors, in the same order

local check_init = options.declare("init", {
  { "seed", options.integer },
  { "weights", options.one_of(initialize.schemes), "default" },
})

-- So many parameters more than twice the tensors of a file are still told by name.
local SPARE = 16

-- Inside module.of_tensors: how many tensors there are, and how many parameters
-- may still be added.
local blanks

--- A parameter of a module that is built for tensors, which it will become.
local function blank(name, shape)
  if blanks.room == 0 then
    options.fail(("expected a description of the %d tensors, got one of more than %d parameters"):format(
      blanks.count, 2 * blanks.count + SPARE))
  end
  blanks.room = blanks.room - 1
  local ok, tensor = pcall(core.blank, shape)
  return ok and tensor or options.fail(("expected a shape that a tensor can have for %s, got (%s)"):format(
    name, table.concat(shape, ", ")))
end

--- Add a trainable tensor of zeros that `init` will fill.
---@param name string
---@param shape integer[]
---@param fill saros.nn.Filler
---@return saros.Tensor
function Module:add_parameter(name, shape, fill)
  options.argument("add_parameter", 1, options.string, name)
  local tensor = (blanks and blank(name, shape) or core.zeros(shape)):trainable(true)
  stray.know(tensor)
  self.own[#self.own + 1] = { name = name, tensor = tensor, fill = fill }
  self.initialized = false
  return tensor
end

--- Add a tensor of zeros that is saved with the parameters, and that `init` fills,
--- but which is not trained: a statistic that the module keeps itself.
---@param name string
---@param shape integer[]
---@param fill saros.nn.Filler
---@return saros.Tensor
function Module:add_buffer(name, shape, fill)
  options.argument("add_buffer", 1, options.string, name)
  local tensor = blanks and blank(name, shape) or core.zeros(shape)
  stray.know(tensor)
  self.own[#self.own + 1] = { name = name, tensor = tensor, fill = fill, is_buffer = true }
  self.initialized = false
  return tensor
end

--- Make a parameter the same tensor as another one, such as the weights of an
--- output and those of an embedding (Press and Wolf 2017). Both names stay.
---@param name string  of a parameter of this module
---@param tensor saros.Tensor  of the same shape
function Module:tie(name, tensor)
  for _, parameter in ipairs(self.own) do
    if parameter.name == name then
      local own, other = parameter.tensor:shape(), tensor:shape()
      if table.concat(own, ", ") ~= table.concat(other, ", ") then
        error(("tie: expected %s of shape (%s), got (%s)"):format(
          name, table.concat(own, ", "), table.concat(other, ", ")), 2)
      end
      parameter.tensor, self[name] = tensor, tensor
      return
    end
  end
  local names = {}
  for position, parameter in ipairs(self.own) do
    names[position] = parameter.name
  end
  error(("tie: expected the name of a parameter of this %s, got %s%s"):format(
    self.kind, options.describe(name), core.hint(name, names)), 2)
end

--- Add a module whose parameters become part of this one's.
---@generic M: saros.nn.Module
---@param name string
---@param member M
---@return M
function Module:add_member(name, member)
  options.argument("add_member", 1, options.string, name)
  options.argument("add_member", 2, options.having("a module", { "visit", "members" }), member)
  self.members[#self.members + 1] = { name = name, module = member }
  member.place = { owner = self, name = name }
  self.initialized = self.initialized and member.initialized
  return member
end

--- Add a random generator that `init` will seed, for dropout and the like.
---@param name string
---@return saros.Generator
function Module:add_generator(name)
  options.argument("add_generator", 1, options.string, name)
  local generator = core.generator(0)
  self.own_generators[#self.own_generators + 1] = { name = name, generator = generator }
  self.initialized = false
  return generator
end

--- Visit this module and all below it, in the order in which they were added.
---@param fn fun(module: saros.nn.Module, prefix: string)
---@param prefix? string
function Module:visit(fn, prefix)
  options.argument("visit", 1, options.callback, fn)
  prefix = prefix or ""
  fn(self, prefix)
  for _, member in ipairs(self.members) do
    member.module:visit(fn, prefix .. member.name .. ".")
  end
end

local function check_fields(module)
  return module.runs_script and stray.check(module)
end

--- All parameters, each once, as a sequence that also has their `names`.
---@return saros.nn.Parameters
function Module:parameters()
  local list, seen = { names = {} }, {}
  self:visit(function(module, prefix)
    check_fields(module)
    for _, parameter in ipairs(module.own) do
      if not seen[parameter.tensor] and not parameter.is_buffer then
        seen[parameter.tensor] = true
        list[#list + 1] = parameter.tensor
        list.names[#list] = prefix .. parameter.name
      end
    end
  end)
  return list
end

--- A prefix is a string. Readers give two tables, and the second one is none.
local function check_prefix(owner, prefix)
  if prefix ~= nil and type(prefix) ~= "string" then
    options.fail(("%s: expected the prefix of names, a string or nil, got %s"):format(
      owner, options.describe(prefix)))
  end
end

--- The tensors of add_buffer, in the order in which they were added.
---@return saros.Tensor[]
function Module:buffers()
  local list = {}
  self:visit(function(module)
    for _, entry in ipairs(module.own) do
      list[#list + 1] = entry.is_buffer and entry.tensor or nil
    end
  end)
  return list
end

--- All parameters and buffers by name, as files hold them.
---@param prefix? string  put before each name
---@return table<string, saros.Tensor>
function Module:tensors(prefix)
  check_prefix("tensors", prefix)
  local tensors = {}
  self:visit(function(module, path)
    check_fields(module)
    for _, parameter in ipairs(module.own) do
      tensors[path .. parameter.name] = parameter.tensor
    end
  end, prefix)
  return tensors
end

--- All random generators by name.
---@return table<string, saros.Generator>
function Module:generators()
  local generators = {}
  self:visit(function(module, path)
    for _, entry in ipairs(module.own_generators) do
      generators[path .. entry.name] = entry.generator
    end
  end)
  return generators
end

--- The number of trainable numbers.
---@return integer
function Module:count()
  local count = 0
  for _, tensor in ipairs(self:parameters()) do
    count = count + tensor:count()
  end
  return count
end

local function mark_initialized(module)
  module.initialized = true
end

--- Fill all parameters and seed all generators below from one seed: the same
--- seed gives the same bits.
---@param given { seed: integer, weights?: "default"|"glorot"|"orthogonal" }
---@return self
function Module:init(given)
  local _ <close> = core.no_gradient()
  local o = check_init(given)
  local generator = core.generator(o.seed)
  self:visit(check_fields)
  self:visit(function(module)
    for _, parameter in ipairs(blanks and {} or module.own) do
      parameter.fill(parameter.tensor, generator, o.weights)
    end
    for _, entry in ipairs(module.own_generators) do
      entry.generator:seed(generator:integer(1 << 31))
    end
  end)
  self:visit(mark_initialized)
  return self
end

--- Forget the gradients accumulated so far.
function Module:clear_gradients()
  for _, tensor in ipairs(self:parameters()) do
    tensor:clear_gradient()
  end
end

--- Write the module to a file: the parameters by name, which `load` reads into a
--- module that is built alike, and its program if it can be traced, from which
--- saros.load builds a module that computes the same.
---@param path string
---@return true? ok, string? message  with true, if it cannot be traced and the file has parameters only: why
function Module:save(path)
  return late.save(path, self)
end

--- Copy values into the parameters, by name: from a table of tensors, or from a
--- file in any format that saros.read_tensors knows. Every name that is missing,
--- unexpected or misshapen is listed in one error, and then nothing changes. Of tied
--- weights one name is enough; two that differ are refused. Generators keep the state
--- that they have.
---
--- With `names` the tensors are those of another library, "pytorch", "keras" or "onnx":
--- layers are matched by name, else by kind and shape, transposed and their gates put
--- in our order; or { "keras", rnn = "layers/encoder" } says which is which. The second
--- result lists what was done.
---@param source table<string, saros.Tensor>|string  a path gives nil and a message if it cannot be read
---@param given? string|saros.nn.LoadOptions  a string is the prefix
---@return self?
---@return string|saros.Mapped? mapped  with options; the message if the file cannot be read
function Module:load(source, given)
  if type(given) == "table" then
    return late.load(self, source, given)
  end
  check_prefix("load", given)
  local tensors = source
  if type(source) == "string" then
    local message
    tensors, message = late.read(source, nil, "load")
    if not tensors then
      return nil, message
    end
  elseif type(source) ~= "table" then
    options.fail("load: expected a path or a table of tensors by name, got " .. options.describe(source))
  end
  for tensor, value in fitting.each(self, tensors, given) do
    tensor:assign(value)
  end
  self:visit(mark_initialized)
  return self
end

--- The same without a copy: the parameters become those tensors, which may be
--- read-only.
---@param tensors table<string, saros.Tensor>
---@return self
function Module:adopt(tensors)
  options.argument("adopt", 1, options.table, tensors)
  for tensor, value in fitting.each(self, tensors) do
    tensor:adopt(value)
  end
  self:visit(mark_initialized)
  return self
end

--- In which precision the module and all below it are called from now on, but for what
--- has one of its own. In "bf16" both sides of large products are rounded to 16 bits, of
--- which 8 are digits, forward and back, which is faster where the processor multiplies
--- such numbers (AVX-512 BF16, AMX); sums, states, weights and gradients keep all digits,
--- and small products are "real". It is no part of files and checkpoints. Without an
--- argument, returns the present one.
---@param kind? "real"|"bf16"
---@return self|"real"|"bf16"
function Module:precision(kind)
  if kind == nil then
    return precision.of(self) or core.precision()
  end
  precision.set(self, kind)
  return self
end

--- A frozen copy for inference of whole sequences, whose large products, and all products
--- with its weights that are not small, are made in "int8" (8 bits and a scale for each
--- row of both sides) or "bf16". It is called as the module is and has its methods; from
--- the first call on it keeps its weights packed, beside those of full precision. It
--- cannot be trained, filled or loaded; `save` writes what the module would write now.
--- What its functions read from outside, it shares with the module.
---@param kind "int8"|"bf16"
---@return saros.nn.Module
function Module:quantised(kind)
  return late.quantised(self, kind)
end

--- End a soft start: the finite-state layers of the module walk with their functions from
--- now on, no longer with the softmax of the logits (see saros.nn.finite). A file keeps it;
--- sessions that are there do not change.
---@return self
function Module:harden()
  for _, member in ipairs(self.members) do
    member.module:harden()
  end
  return self
end

--- A session: the model as it is now, run one step at a time. It behaves as in
--- evaluation, and what happens to the parameters later does not reach it.
--- Weights in "bf16" (16 bits, of which 8 are digits) take half the memory and,
--- from about 128 hidden units on, nearly half the time. In "int8" they take a
--- quarter: -127..127 times a scale for each row; the time goes down as well where
--- the processor multiplies bytes (AVX-512 VNNI), and what they are multiplied
--- with is then known to 16 bits. Embeddings are rounded like weights, a row for each
--- id; biases, norms and products of at most four outputs keep all digits. In "int8" it
--- says what the file of saros.export_c with the same weights says.
---@param given? { streams?: integer, weights?: "real"|"bf16"|"int8" }  rows stepped together (1); how weights are kept
---@return saros.Session
function Module:session(given)
  return late.session(self, given)
end

--- A session that learns while it steps: see saros.train.learner. The module's
--- own parameters change.
---@param given? saros.train.LearnerOptions
---@return saros.train.Learner
function Module:learner(given)
  return late.learner(self, given)
end

--- What the module computes in one step, as plain data: nodes, parameters by name and
--- states; tostring lists them. It is found by running the module once, so the module
--- must consist of operations on the features of a row and step: what reads values,
--- draws random numbers, writes in place or mixes rows or steps is refused by name.
---
--- `inputs` says what forward reads, where the module does not say it by its field
--- `input` (features) or `inputs`: a list of { name, width }, or { name, count } for
--- ids. With several, forward gets a table of tensors by name. `step`: forward takes a
--- single step (B, width), as a cell does.
---@param given? { inputs?: { name: string, width?: integer, count?: integer }[], step?: boolean }
---@return saros.Program
function Module:program(given)
  local _ <close> = self.batch_first and batch_first.steps_first(self) or nil
  return late.program(self, given)
end

--- A table of the members with their sizes; tostring lays it out.
---@return saros.nn.Summary
function Module:summary()
  return late.summary(self)
end

--- How many bytes training takes for windows of `length` steps and `batch` rows,
--- before it takes them; tostring lays it out. See saros.nn.memory.
---@param given saros.nn.MemoryOptions
---@return saros.nn.Memory
function Module:memory(given)
  return late.memory(self, given)
end

--- What a module does when it is called; each class has its own.
function Module:forward()
  options.fail(("%s: expected the class to have a method forward, as in function M:forward(x) return y end, "
    .. "got none"):format(self.kind))
end

--- Which steps the output has, from those that the input has: another table for a
--- module that thins them out, such as nn.conv1d with a stride.
---@param given saros.nn.StepOptions?
---@return saros.nn.StepOptions?
function Module:steps_after(given) -- luacheck: ignore 212
  return given
end

--- One line on what this module is; classes say more.
---@return string
function Module:describe()
  return self.kind
end

local function call_in_scope(self, ...)
  local _ <close> = scope.enter(scope.name_of(self))
  return self:forward(...)
end

local function call_now(self, ...)
  if scope.tracer and self.trace then
    return self:trace(scope.tracer, ...)
  end
  local forward = scope.profiles > 0 and call_in_scope or self.forward
  if self.batch_first then
    return batch_first.call(self, forward, ...)
  end
  return forward(self, ...)
end

local function call(self, ...)
  if not self.initialized then
    options.fail(self.kind .. ": expected initialized parameters; "
      .. "call init { seed = ... } or load(tensors) first")
  end
  local kind = precision.is_used and precision.of(self)
  if kind then
    if self.frozen_as and core.is_recording() then
      options.fail(("%s: expected no open tape for a quantised net, which has no gradients; call it inside "
        .. "saros.no_gradient(), or train the net that it was made of"):format(self.kind))
    end
    local _ <close> = precision.enter(kind)
    return call_now(self, ...)
  end
  return call_now(self, ...)
end

local module = {}

--- A new class of modules. `class.new()` makes an instance without parameters.
---@param kind string
---@param pardons? fun(name: string, method: string): boolean  as of spelling.methods
---@return table class
function module.class(kind, pardons)
  options.argument("module", 1, options.string, kind)
  local class = { kind = kind }
  for name, method in pairs(Module) do
    class[name] = method
  end
  spelling.methods(class, "saros.nn." .. kind, pardons)
  class.__call = call
  class.__tostring = function(self)
    return self:describe()
  end
  local is_guarded = pardons ~= nil -- a class of a script has its own ways
  class.new = function()
    if not is_guarded then -- methods that replaced those of all modules, too
      spelling.guard(class)
      is_guarded = true
    end
    return setmetatable({ own = {}, members = {}, own_generators = {}, initialized = true }, class)
  end
  return class
end

--- Build a module whose parameters are the given tensors, without a copy. Until
--- it is built they have shapes alone, and there may be few more of them than
--- tensors, so that a description costs no more than the tensors it belongs to.
---@param tensors table<string, saros.Tensor>
---@param build fun(...): saros.nn.Module
---@param ... any  for `build`
---@return saros.nn.Module
function module.of_tensors(tensors, build, ...)
  local count = 0
  for _ in pairs(tensors) do
    count = count + 1
  end
  blanks = { count = count, room = 2 * count + SPARE }
  local ok, made = pcall(build, ...)
  blanks = nil
  if not ok then
    error(made, 0)
  end
  return made:adopt(tensors)
end

-- A class of a script may ask for fields of its own that are absent and look like
-- our methods: self.unit beside init, self.generator beside generators, self.saved
-- beside save, self.learned beside learner.
local function is_own_field(name, method)
  local stem = math.min(#name, #method) - (#name == #method and 1 or 0)
  return #name < 5 or name:sub(1, stem) == method:sub(1, stem)
end

--- The same for classes of scripts. A field that objects may lack can also be
--- declared: `Scale.tensor = false`, beside the method `tensors`.
---@param kind string
---@return table class
function module.own(kind)
  local class = module.class(kind, is_own_field)
  rawset(class, "runs_script", true) -- not kept as a program: see program/trace.lua
  return class
end

--- Is a value a module?
---@param value any
---@return boolean
function module.is(value)
  local class = getmetatable(value)
  return type(class) == "table" and rawget(class, "__call") == call
end

return module
