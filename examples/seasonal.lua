-- What the examples about series know of seasons: how long one is, and a series as
-- what each value makes of the one a season before.

local saros = require "saros"

local seasonal = {}

-- Values without the straight line through them: a trend is no season.
local function without_trend(values)
  local n, sum, moment = #values, 0, 0
  for t, value in ipairs(values) do
    sum, moment = sum + value, moment + (t - (n + 1) / 2) * value
  end
  local slope, rest = moment * 12 / (n * (n * n - 1)), {}
  for t, value in ipairs(values) do
    rest[t] = value - sum / n - slope * (t - (n + 1) / 2)
  end
  return rest
end

-- The steps after which some values are most like themselves again, by their
-- autocorrelation; nil if there is no such number below a third of them.
function seasonal.find(values)
  local rest = without_trend(table.move(values, math.max(1, #values - 4999), #values, 1, {}))
  local function at(lag)
    local sum = 0
    for t = lag + 1, #rest do
      sum = sum + rest[t] * rest[t - lag]
    end
    return sum / (#rest - lag)
  end
  local all, raw, likeness, most, first = at(0), {}, {}, 0.3, nil
  for lag = 1, math.min(#rest // 3, 1000) do
    raw[lag] = at(lag) / all
    first = first or raw[lag] < 0 and lag -- before, values are alike because they are near
  end
  first = first or #raw + 1
  local around = first // 6 -- the mean of neighbours, as long seasons have noisy peaks
  local last = #raw - around
  for lag = first, last do
    local sum = 0
    for neighbour = lag - around, lag + around do
      sum = sum + raw[neighbour]
    end
    likeness[lag] = sum / (2 * around + 1)
    most = math.max(most, likeness[lag])
  end
  for lag = first, last do
    if likeness[lag] >= 0.9 * most then -- the first peak of this height, not one of its multiples
      local best = lag
      for later = lag, math.min(last, lag + lag // 4) do
        best = likeness[later] > likeness[best] and later or best
      end
      return best
    end
  end
end

-- True if a series of positive values has grown by half from its first season to its last.
-- Then its swings have mostly grown with it, and quotients say more than differences.
function seasonal.grows(values, season)
  local function level(last)
    local sum = 0
    for t = last - season + 1, last do
      if values[t] <= 0 then
        return 0
      end
      sum = sum + values[t]
    end
    return sum
  end
  for t = season, #values do
    if level(t) == 0 then
      return false
    end
  end
  return level(#values) > 1.5 * level(season)
end

-- Values (N, F) as what each makes of the one a season before, (N - season, F): the
-- difference or, with `log`, the logarithm of the quotient.
function seasonal.compare(values, season, log)
  local x = log and saros.log(values) or values
  return x:slice(1, season + 1) - x:slice(1, 1, -season - 1)
end

-- Back again: from predictions[k] of such a difference for k steps after values[last]
-- to values.
function seasonal.restore(predictions, values, last, season, log)
  local restored = {}
  for k, difference in ipairs(predictions) do
    local before = k <= season and values[last + k - season] or restored[k - season]
    restored[k] = log and before * math.exp(difference) or before + difference
  end
  return restored
end

return seasonal
