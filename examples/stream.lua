-- Lines of a stream as steps: what follows is printed for each line as it comes.
--
--   tail -f sensor.csv | build/saros examples/stream.lua model.safetensors
--   tail -f server.log | build/saros examples/stream.lua runs/log --learn
--
-- For a forecaster (series.lua --run) a line is the next row of a CSV file. The
-- values are those of the columns that a heading names, else of --fields, else all;
-- what is printed are the targets, step after step. For a language model a line is
-- text, and what is printed is the line that is likeliest next. With --learn both
-- go on learning. A line that makes no sense is reported with its number, and left
-- out.

package.path = (arg[0]:match "^.*/" or "") .. "?.lua;" .. package.path
local argparse = require "argparse"
local numbers = require "numbers"
local saros = require "saros"

local parser = argparse("stream.lua", "What comes next, for each line that comes.")
parser:argument("model", "File or run folder of a forecaster or a language model.")
parser:flag("--learn", "Learn from the stream.")
numbers.positive(parser, "--rate", "Learning rate."):default "1e-3"
numbers.whole(parser, "--fields", "Of the values, counted from 1."):args "+"
local args = parser:parse()

-- A session, or a learner: a function that steps it, and the session behind it.
local function open(model, options)
  if not args.learn then
    local s = model:session()
    return function(x) return s:step(x) end, s
  end
  options.window, options.every, options.guard, options.lr = 64, 16, 3, args.rate
  local s = model:learner(options)
  return function(x) return s:learn(x, options.delay and x) end, s.session
end

-- What the makers of readers return takes a line, and returns what to print, or nil
-- and what is wrong with it, if anything is.

local function fields_of(line)
  local fields, is_heading = {}, true
  for field in (line:gsub('["\r]', "") .. ","):gmatch "%s*([^,;\t]-)%s*[,;\t]" do
    fields[#fields + 1] = field
    is_heading = is_heading and not tonumber(field)
  end
  return fields, is_heading
end

local function series_reader(model)
  local names, places, step = model.scale.inputs.names, args.fields, open(model, {})

  local function read_heading(fields)
    local found, named = {}, {}
    for place, field in ipairs(fields) do
      found[field] = place
    end
    for n, name in ipairs(names) do
      named[n] = found[name]
      if not named[n] then
        return nil, ("expected a column %q"):format(name)
      end
    end
    places = places or named
  end

  local function read_values(fields)
    local values = {}
    for n, name in ipairs(names) do
      local text = fields[places and places[n] or n]
      values[n] = tonumber(text)
      if not values[n] or values[n] - values[n] ~= 0 then
        return nil, ("expected a number for %s, got %q"):format(name, text or "")
      end
    end
    return values
  end

  return function(line, number)
    local fields, is_heading = fields_of(line)
    if number == 1 and is_heading then
      return read_heading(fields)
    elseif not places and #fields ~= #names then
      return nil, ("expected %d fields, got %d; --fields tells which"):format(#names, #fields)
    end
    local values, message = read_values(fields)
    if not values then
      return nil, message
    end
    local ahead = step(values):reshape(-1):totable()
    for n, value in ipairs(ahead) do
      ahead[n] = ("%.6g"):format(value)
    end
    return table.concat(ahead, ",")
  end
end

local function text_reader(model)
  local vocabulary = model.vocabulary
  local step, session = open(model, { delay = 1 }) -- a symbol tells what the one before should have said

  local function likeliest_line()
    local fork <close>, ids = session:fork(), {}
    repeat
      local id = fork:sample(nil, { temperature = 0 })
      ids[#ids + 1] = id
      fork:step(id)
    until vocabulary.symbols[id]:find "\n" or #ids == 200
    return (vocabulary:decode(ids):gsub("\n.*", ""))
  end

  return function(line)
    local known, message = vocabulary:check(line .. "\n")
    if not known then
      return nil, message
    end
    for _, id in ipairs(vocabulary:encode(line .. "\n")) do
      step(id)
    end
    return likeliest_line()
  end
end

local model, message = saros.load(args.model)
local reader_of = model and (model.horizon and series_reader or model.generate and text_reader)
if not reader_of then
  error(message or "expected a forecaster or a language model, got " .. model:describe(), 0)
end
local read, number = reader_of(model), 0
io.stdout:setvbuf "line"
for line in io.lines() do
  number = number + 1
  local told, problem = read(line, number)
  if told then
    print(told)
  elseif problem then
    io.stderr:write(("line %d: %s\n"):format(number, problem))
  end
end
