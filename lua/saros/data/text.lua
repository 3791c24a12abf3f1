--- Text as training data: read, split into a training and a held-out part,
--- and cut into windows of (T, B) ids for truncated BPTT. A token file, which
--- `data.prepare` makes of a text of any size, is read window by window.
---
--- The symbols of a part are laid out as B rows that lie one behind the other
--- in the text. Window after window moves along all rows at once, so the state
--- after one window is the state before the next:
---
---     text   a b c d e f g h i j k l m       B = 2, T = 3
---     row 1  a b c d e f                     window 1: inputs abc, targets bcd
---     row 2  g h i j k l                     window 2: inputs def, targets efg

local core = require "saros.core"
local from = require "saros.data.source"
local opening = require "saros.data.opening"
local options = require "saros.options"
local files = require "saros.files"
local spelling = require "saros.spelling"
local reading = require "saros.data.reading"
local rows = require "saros.data.rows"
local share = require "saros.data.share"
local vocabulary = require "saros.data.vocabulary"
local token_part = require "saros.data.token_part"

---@class saros.Text
---@field vocabulary saros.Vocabulary
---@field train saros.Tensor|saros.data.TokenPart  ids (N), the first part of the text
---@field valid saros.Tensor|saros.data.TokenPart?  ids (M), held out from its end
---@field fraction number  that was to be held out
---@field name string  the path, or "string"
local Text = {}
spelling.methods(Text, "saros.Text")

---@class saros.Window
---@field inputs saros.Tensor  ids (T, B)
---@field targets saros.Tensor  ids (T, B): the symbols that follow the inputs
---@field index integer  1..count
---@field count integer  the number of windows in the pass
---@field reset boolean  the state starts again from the first one, as at the beginning of a pass
---@field counts boolean?  false: only read for the sake of what follows, see saros.data.reading

local check_text = options.declare("data.text", vocabulary.with_unit {
  { "valid", options.fraction, 0.1 },
  { "vocabulary", options.optional(vocabulary.kind) },
})

local check_windows = options.declare("text:windows", {
  { "batch", options.size, 50 },
  { "length", options.size, 50 },
  { "part", options.one_of { "train", "valid" }, "train" },
  { "first", options.size, 1 },
  { "partial", options.boolean, false },
})

local check_reading = options.declare("text:reading", reading.fields { "train", "valid" })

-- Returns the text and its name, or nil and a message. Of a token file the text
-- is its first bytes.
local function read(source)
  if type(source) == "table" then
    return from.string("data.text", source, "a path or { string = ... }"), "string"
  elseif type(source) ~= "string" then
    options.fail("data.text: expected a path or { string = ... }, got " .. options.describe(source))
  end
  local file <close>, message = files.open(source)
  if not file then
    return nil, "data.text: " .. message
  end
  local content
  content, message = file:read(#token_part.MAGIC)
  if content and content ~= token_part.MAGIC then
    local rest
    rest, message = file:read "a"
    content = rest and content .. rest
  end
  if not content and message then
    return nil, ("data.text: %s: %s"):format(source, message)
  end
  return content or "", source
end

-- A token file has a vocabulary; what else was asked for must agree with it.
local function open_prepared(path, given, valid)
  local text, message = token_part.open(path, given and given.valid and valid)
  if not text then
    return nil, "data.text: " .. message
  end
  for option in pairs(given or {}) do
    local agrees = option == "valid" or option == "unit" and given.unit == text.vocabulary.unit
    if not agrees then
      options.fail(("data.text: expected no option '%s', got %s; %s was prepared with unit = %q"):format(
        option, options.describe(given[option]), path, text.vocabulary.unit))
    end
  end
  text.name = path
  return setmetatable(text, Text)
end

---@class saros.data.TextOptions: saros.data.UnitOptions
---@field valid? number  the fraction held out from the end, at least 2 symbols of 4 or more (0.1, or that of
---  a token file)
---@field vocabulary? saros.Vocabulary  instead of one learned from the text

--- Read a text, or open a token file that `data.prepare` made. A path that
--- cannot be read gives nil and a message. A byte order mark at the beginning of a
--- file is no part of the text, unless its unit is the byte.
---@param source string|{ string: string }  a path, or the text itself
---@param given? saros.data.TextOptions
---@return saros.Text? text, string? message
local function text(source, given)
  local o = check_text(given)
  local content, name = read(source)
  if not content then
    return nil, name
  elseif content == token_part.MAGIC and type(source) == "string" then
    return open_prepared(source, given, o.valid)
  end
  local unit = o.vocabulary and o.vocabulary.unit or o.unit
  if type(source) == "string" and unit ~= "byte" then
    content = files.without_mark(content)
  end
  if content == "" then
    options.fail(("data.text: expected some text in %s, got none"):format(name))
  end
  local owner = "data.text: " .. name
  local known = o.vocabulary or options.about(owner, vocabulary.learn, { string = content }, o)
  local ids = options.about(owner, known.tensor, known, content)
  local count = #ids
  local held_out = share.of_text(count, o.valid)
  return setmetatable({
    name = name,
    fraction = o.valid,
    vocabulary = known,
    train = ids:slice(1, 1, count - held_out),
    valid = held_out > 0 and ids:slice(1, count - held_out + 1, count) or nil,
  }, Text)
end

--- The number of symbols, in all parts.
function Text:__len()
  return #self.train + (self.valid and #self.valid or 0)
end

function Text:__tostring()
  return ("text (%s: %d %ss, %s, %d different)"):format(self.name, #self, self.vocabulary:noun(),
    share.description(self.valid and #self.valid or 0, self.fraction), #self.vocabulary)
end

local function part_of(self, method, name)
  return self[name]
    or options.fail(("text:%s: expected a text with a part '%s', got one without; "
      .. "data.text(..., { valid = 0.1 }) holds one out"):format(method, name))
end

--- Is a part long enough? Returns true, or nil and a message.
local function is_enough(self, o)
  local count = #part_of(self, "windows", o.part)
  local least = o.batch * (o.partial and 1 or o.length) + 1
  if count >= least then
    return true
  end
  local targets = math.max(count - 1, 0)
  return nil, ("expected at least %d %ss for batch = %d and length = %d, got %d in part '%s' of %s; "
    .. "use a smaller batch or length, or more text: %s"):format(
    least, self.vocabulary:noun(), o.batch, o.length, count, o.part, self.name,
    rows.fitting(targets // o.batch, o.partial and targets or targets // o.length))
end

---@class saros.data.WindowOptions
---@field batch? integer  B (50)
---@field length? integer  T (50)
---@field part? "train"|"valid"  ("train")
---@field first? integer  the window to start at (1)
---@field partial? boolean  may a shorter window be the last? (false)

--- Is there enough text for windows of that size?
---@param given? saros.data.WindowOptions
---@return true? enough, string? message
function Text:enough(given)
  return is_enough(self, check_windows(given))
end

--- A function that lays the symbols of a part out as rows: see saros.data.rows.
local function layout_of(part)
  if getmetatable(part) == token_part.TokenPart then
    return function(...)
      return part:rows(...)
    end
  end
  local streams = { part, part:slice(1, 2) } -- the targets are the same ids, one symbol further on
  return function(...)
    return rows.of(streams, ...)
  end
end

local check_opening = options.declare("text:opening", {
  { "seed", options.integer, 1 },
})

--- The first words of a line of the training part, as a prime: what a model writes from
--- there shows something, also in a text with many blanks or without lines.
---@param given? { seed?: integer }  of the choice (1)
---@return string  "" in a text of blanks
function Text:opening(given)
  local o = check_opening(given)
  local count = #self.train - 1
  local window = count > 0 and layout_of(self.train)(1, count)
  local function ids_of(first, last)
    return (window(first, last)):reshape(-1):totable()
  end
  return window and opening(self.vocabulary, count, ids_of, core.generator(o.seed)) or ""
end

--- Iterate over windows, once through a part of the text.
---@param given? saros.data.WindowOptions
---@return fun(): saros.Window?
function Text:windows(given)
  local o = check_windows(given)
  local enough, message = is_enough(self, o)
  if not enough then
    options.fail("text:windows: " .. message)
  end
  local part = self[o.part]
  local steps = (#part - 1) // o.batch -- of a row
  return rows.windows(layout_of(part)(o.batch, steps), steps, o)
end

--- Iterate over windows that have each symbol of a part but the first as a target
--- once, in rows that do not depend on `batch` and `length`: see saros.data.reading.
---@param given? { part?: "train"|"valid", batch?: integer, length?: integer }  ("valid"); rows and
---  symbols of a row that are read at once, at most (50, 50)
---@return fun(): saros.Window?
function Text:reading(given)
  local o = check_reading(given)
  local part = part_of(self, "reading", o.part)
  if #part < 2 then
    options.fail(("text:reading: expected at least 2 %ss in part '%s' of %s, got %d"):format(
      self.vocabulary:noun(), o.part, self.name, #part))
  end
  return reading.windows(#part - 1, layout_of(part), o)
end

return text
