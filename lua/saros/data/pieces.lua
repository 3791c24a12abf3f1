--- A text of many short pieces, such as tunes, poems or recipes, of which each
--- is to be learned from its own beginning: none is cut between the training
--- and the held-out part, and before each the state starts again.
---
--- A piece is laid out between new lines, "\n" .. piece .. "\n\n": the first
--- one is where a model begins to write, the empty line is where it ends.
---
---     pieces    ab, cde                       B = 1
---     inputs    ↵ a b ↵ ↵ c d e ↵
---     targets   a b ↵ ↵ c d e ↵ ↵
---     begins    1 0 0 0 1 0 0 0 0

local core = require "saros.core"
local from = require "saros.data.source"
local options = require "saros.options"
local files = require "saros.files"
local spelling = require "saros.spelling"
local order = require "saros.data.order"
local reading = require "saros.data.reading"
local remarks = require "saros.data.remarks"
local rows = require "saros.data.rows"
local share = require "saros.data.share"
local vocabulary = require "saros.data.vocabulary"

---@class saros.Pieces
---@field name string  the path, "string" or "list"
---@field fraction number  that was to be held out
---@field vocabulary saros.Vocabulary
---@field train saros.data.PiecesPart
---@field valid saros.data.PiecesPart?  pieces that are held out
---@field repeated integer  pieces that came again
---@field dropped integer  pieces that `edit` left out
---@field shuffled boolean  true: for training, the pieces are to come in a random order
local Pieces = { shuffled = true }
spelling.methods(Pieces, "saros.Pieces")

--- # gives the number of inputs.
---@class saros.data.PiecesPart
---@field texts string[]
---@field ids saros.Tensor[]  of each piece, with its new lines
---@field count integer
---@field longest integer  of the pieces, in inputs
local Part = {}
spelling.methods(Part, "saros.PiecesPart")

function Part:__len()
  return self.count
end

--- A number that tells these pieces from others.
---@return integer
function Part:digest()
  return core.concatenate(self.ids, 1):digest()
end

---@class saros.data.PiecesWindow: saros.Window
---@field begins saros.Tensor  (T, B): 1 where a piece begins and the state starts again, else 0

local check_pieces = options.declare("data.pieces", vocabulary.with_unit {
  { "valid", options.fraction, 0.1 },
  { "seed", options.integer, 1 },
  { "vocabulary", options.optional(vocabulary.kind) },
  { "lines", options.boolean, false },
  { "edit", options.optional(options.callback) },
})

local check_windows = options.declare("pieces:windows", {
  { "batch", options.size, 50 },
  { "length", options.size, 50 },
  { "part", options.one_of { "train", "valid" }, "train" },
  { "first", options.size, 1 },
  { "partial", options.boolean, false },
  { "seed", options.optional(options.integer) },
})

local check_reading = options.declare("pieces:reading", reading.fields { "train", "valid" })

-- --- Reading -----------------------------------------------------------------------------

--- What stands between empty lines; or each line.
local function split(content, by_lines)
  local list = {}
  content = ("\n" .. content):gsub("\r\n", "\n"):gsub("\n[ \t]+%f[\n\0]", "\n") .. "\n\n"
  for piece in content:gmatch(by_lines and "[^\n]+" or "\n*(.-)\n\n") do
    list[#list + 1] = piece
  end
  return list
end

local read_texts = options.list_of(options.string)
local EXPECTED = "a path, { string = ... } or a list of texts"

--- The pieces of a source and its name, or nil and a message.
local function read(source, o)
  if type(source) == "table" and source[1] ~= nil and read_texts.accept(source) then
    from.check_list("data.pieces", source)
    return source, "list"
  elseif type(source) == "table" then
    return split(from.string("data.pieces", source, EXPECTED), o.lines), "string"
  elseif type(source) ~= "string" then
    options.fail(("data.pieces: expected %s, got %s"):format(EXPECTED, options.describe(source)))
  end
  local content, message = files.read(source)
  if not content then
    return nil, "data.pieces: " .. message
  end
  local unit = o.vocabulary and o.vocabulary.unit or o.unit
  return split(unit == "byte" and content or files.without_mark(content), o.lines), source
end

--- What `edit` makes of each piece, and how many it leaves out.
local function edited(list, edit)
  local kept, left_out = {}, 0
  for position, text in ipairs(list) do
    local new = text
    if edit then
      new = edit(text)
      if new and type(new) ~= "string" then
        options.fail(("data.pieces: expected edit to give text or nil, got %s for piece %d"):format(
          options.describe(new), position))
      end
    end
    if new and new ~= "" then
      kept[#kept + 1] = new
    elseif text ~= "" then
      left_out = left_out + 1
    end
  end
  return kept, left_out
end

--- A piece with the new lines between which it lies.
local function laid_out(text)
  return "\n" .. text .. "\n\n"
end

--- The ids of a piece. What is wrong with it is told by its own lines.
local function encode(known, text)
  local ok, ids = pcall(known.encode, known, laid_out(text))
  if not ok then
    options.about("piece " .. options.describe(text), known.tensor, known, text)
    options.fail(options.without_place(ids))
  end
  return ids
end

local function part_of(texts, known)
  local part = setmetatable({ texts = texts, ids = {}, count = 0, longest = 1 }, Part)
  for position, text in ipairs(texts) do
    local ids = encode(known, text)
    part.ids[position], part.count = core.ids(ids), part.count + #ids - 1
    part.longest = math.max(part.longest, #ids - 1)
  end
  return part
end

local function vocabulary_of(texts, o)
  local all = {}
  for position, text in ipairs(texts) do
    all[position] = laid_out(text)
  end
  local ok, known = pcall(vocabulary.learn, { string = table.concat(all) }, o)
  if ok then
    return known
  end
  for _, text in ipairs(known:find " at line %d" and texts or {}) do
    options.about("piece " .. options.describe(text), vocabulary.learn, { string = text }, o)
  end
  options.fail(options.without_place(known))
end

---@class saros.data.PiecesOptions: saros.data.UnitOptions
---@field valid? number  the fraction of the pieces that is held out (0.1)
---@field seed? integer  of the choice (1)
---@field vocabulary? saros.Vocabulary  instead of one learned from the pieces
---@field lines? boolean  is each line a piece? (false)
---@field edit? fun(piece: string): string?  what becomes of each piece; nil leaves it out

--- Read a text of pieces, with empty lines between them. One that comes twice
--- counts once, so that none is both learned and held out. A path that cannot
--- be read gives nil and a message.
---@param source string|{ string: string }|string[]  a path, the text itself, or the pieces
---@param given? saros.data.PiecesOptions
---@return saros.Pieces? pieces, string? message
local function pieces(source, given)
  local o = check_pieces(given)
  local list, name = read(source, o)
  if not list then
    return nil, name
  end
  local kept, left_out = edited(list, o.edit)
  local once = order.once(kept)
  local texts = order.shuffled(once, core.generator(o.seed))
  if #texts == 0 then
    options.fail(("data.pieces: expected some pieces in %s, got none"):format(name))
  end
  local owner = "data.pieces: " .. name
  local known = o.vocabulary or options.about(owner, vocabulary_of, texts, o)
  local learned = #texts - share.held_out(#texts, o.valid)
  return setmetatable({
    name = name,
    fraction = o.valid,
    vocabulary = known,
    repeated = #kept - #once,
    dropped = left_out,
    train = options.about(owner, part_of, table.move(texts, 1, learned, 1, {}), known),
    valid = learned < #texts and options.about(owner, part_of, table.move(texts, learned + 1, #texts, 1, {}), known)
      or nil,
  }, Pieces)
end

--- The number of pieces, in both parts.
function Pieces:__len()
  return #self.train.texts + (self.valid and #self.valid.texts or 0)
end

function Pieces:__tostring()
  local held_out = share.description(self.valid and #self.valid.texts or 0, self.fraction)
  return ("pieces (%s: %d, %s; %d %ss, %d different)"):format(self.name, #self, held_out,
    #self.train + (self.valid and #self.valid or 0), self.vocabulary:noun(), #self.vocabulary) .. remarks.lines {
    { "dropped", remarks.counts { { self.repeated, "repeated piece", "repeated pieces" },
      { self.dropped, "piece by edit", "pieces by edit" } } },
  }
end

-- --- Windows -----------------------------------------------------------------------------------

--- All pieces of a part, one behind the other: inputs, targets and begins, each (count).
local function lay_out(part, generator)
  local inputs, targets, begins = {}, {}, {}
  for position, ids in ipairs(generator and order.shuffled(part.ids, generator) or part.ids) do
    inputs[position], targets[position] = ids:slice(1, 1, #ids - 1), ids:slice(1, 2)
    begins[position] = core.arange(#ids - 1):eq(1)
  end
  return core.concatenate(inputs, 1), core.concatenate(targets, 1), core.concatenate(begins, 1)
end

local function named_part(self, method, name)
  return self[name] or options.fail(("pieces:%s: expected pieces with a part '%s', got some "
    .. "without; data.pieces(..., { valid = 0.1 }) holds some out"):format(method, name))
end

--- Iterate over windows, once through a part. As in a text, B rows of equal
--- length lie one behind the other, and the state is carried along them.
---@param given? { batch?: integer, length?: integer, part?: "train"|"valid", first?: integer,
---  partial?: boolean, seed?: integer }
---  batch: B (50); length: T (50); first: the window to start at (1); partial: may a shorter window be
---  the last? (false); seed: of a random order of the pieces, such as the number of the epoch
---@return fun(): saros.data.PiecesWindow?
function Pieces:windows(given)
  local o = check_windows(given)
  local part = named_part(self, "windows", o.part)
  local steps = #part // o.batch -- of a row
  if steps < (o.partial and 1 or o.length) then
    options.fail(("pieces:windows: expected at least %d symbols for batch = %d and length = %d, got %d in part "
      .. "'%s' of %s; use a smaller batch or length: %s"):format(
      o.batch * (o.partial and 1 or o.length), o.batch, o.length, #part, o.part, self.name,
      rows.fitting(steps, o.partial and #part or #part // o.length)))
  end
  local streams = { lay_out(part, o.seed and core.generator(o.seed)) }
  return rows.windows(rows.of(streams, o.batch, steps), steps, o)
end

--- Iterate over windows that have each piece of a part once, read from its own
--- beginning, in rows that do not depend on `batch` and `length`: see
--- saros.data.reading.
---@param given? { part?: "train"|"valid", batch?: integer, length?: integer }  ("valid"); rows and
---  symbols of a row that are read at once, at most (50, 50)
---@return fun(): saros.data.PiecesWindow?
function Pieces:reading(given)
  local o = check_reading(given)
  local part = named_part(self, "reading", o.part)
  local streams = { lay_out(part) }
  return reading.windows(#part, function(...)
    return rows.of(streams, ...)
  end, o, part.longest)
end

return pieces
