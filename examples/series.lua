-- Regression on a series: from its past, the next values. A GRU reads value
-- after value and says, after each, how the series will differ from it one to N
-- steps ahead. Beside it, what costs nothing: the last value again
-- (persistence), and the value one season before.
--
--   build/saros examples/series.lua --csv temperatures.csv --column 2 --season 365
--
-- Without a file it makes up a noisy wave. All is learned from the first four
-- fifths, the scale as well; the errors are those of the last fifth.

local argparse = require "argparse"
local saros = require "saros"
local nn, optim = saros.nn, saros.optim

local function integer(text)
  return math.tointeger(tonumber(text))
end

-- What a user can mend is said in one line, without a traceback.
local function need(value, message)
  return value or error(message, 0)
end

local parser = argparse("series.lua", "Predict a series, and compare.")
parser:option("--csv", "File with a value in each line.")
parser:option("--column", "Of the values, counted from 1."):convert(integer):default "2"
parser:option("--season", "Steps of a season."):convert(integer):default "50"
parser:option("--ahead", "Steps to predict."):convert(integer):default "7"
parser:option("--steps", "Updates."):convert(integer):default "1500"
parser:option("--seed", "Same seed, same result."):convert(integer):default "1"
local args = parser:parse()

local AHEAD, LENGTH, BATCH, HIDDEN = args.ahead, 100, 32, 32
local generator = saros.generator(args.seed)

-- The numbers of a column; a first line without one is the heading.
local function read_column(path, column)
  local file <close> = need(io.open(path))
  local values, lines = {}, 0
  for line in file:lines() do
    local fields = {}
    for field in (line .. ","):gmatch '"?([^,"]*)"?%s*,' do
      fields[#fields + 1] = field
    end
    lines = lines + 1
    local value = tonumber(fields[column])
    need(value or lines == 1, ("%s, line %d: expected a number in column %d"):format(path, lines, column))
    values[#values + 1] = value
  end
  return values
end

-- A wave under noise that fades slowly.
local function made_up(count)
  local values, noise = {}, 0
  for t, shock in ipairs(generator:normal({ count }, 0, 0.8):totable()) do
    noise = 0.6 * noise + shock
    values[t] = 10 + 4 * math.sin(2 * math.pi * t / args.season) + noise
  end
  return values
end

local values = args.csv and read_column(args.csv, args.column) or made_up(2000)
local trained = #values * 4 // 5
need(trained >= math.max(LENGTH + AHEAD, args.season), "the series is too short for these options")
local series = saros.tensor(values)
local training = series:slice(1, 1, trained)
local mean = training:mean():item()
local deviation = ((training - mean) ^ 2):mean():item() ^ 0.5
local scaled = (series - mean) / deviation

local reader, head = nn.gru { 1, HIDDEN }, nn.linear { HIDDEN, AHEAD }
local net = nn.chain { reader, head }
net:init { seed = args.seed }

-- x (T, B, 1) -> (T, B, AHEAD): the values that follow each
local function predict(x)
  return x + head((reader(x)))
end

-- A part of the training series as inputs (T, 1) and what follows each, (T, AHEAD).
local function random_window()
  local first = generator:integer(trained - LENGTH - AHEAD + 1)
  local following = {}
  for k = 0, AHEAD do
    following[k] = scaled:slice(1, first + k, first + k + LENGTH - 1)
  end
  return following[0]:reshape(-1, 1), saros.stack(following, 2)
end

local start = saros.clock()
local schedule = optim.schedule.cosine { steps = args.steps, floor = 0.02 }
local adam = optim.adam(net:parameters(), { lr = 3e-3, schedule = schedule })
for _ = 1, args.steps do
  local inputs, targets = {}, {}
  for row = 1, BATCH do
    inputs[row], targets[row] = random_window()
  end
  local tape <close> = saros.tape()
  tape:backward(nn.mse(predict(saros.stack(inputs, 2)), saros.stack(targets, 2)))
  optim.clip_norm(net:parameters(), 1)
  adam:step()
end
print(("%d values, %d of them for training (%.0f s); in the rest, the root of the mean square error:"):format(
  #values, trained, saros.clock() - start))

-- The network reads the whole series once.
local outputs = predict(scaled:reshape(-1, 1, 1)):reshape(-1, AHEAD) * deviation + mean
local predicted = outputs:totable()

-- Of guess(t, k) for values[t + k], t being now.
local function root_mean_square(k, guess)
  local sum, first, last = 0, trained, #values - AHEAD
  for t = first, last do
    sum = sum + (guess(t, k) - values[t + k]) ^ 2
  end
  return (sum / (last - first + 1)) ^ 0.5
end

print "steps ahead       GRU   persistence   one season before"
for k = 1, AHEAD do
  local seasons = math.ceil(k / args.season) * args.season -- to a value known now
  print(("%11d  %8.3f      %8.3f            %8.3f"):format(k,
    root_mean_square(k, function(t) return predicted[t][k] end),
    root_mean_square(k, function(t) return values[t] end),
    root_mean_square(k, function(t) return values[t + k - seasons] end)))
end
