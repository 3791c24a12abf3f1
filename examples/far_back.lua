-- Learning without stopping, from what lies further back than any window. On an
-- endless stream a sign comes now and then, and is asked for many steps later. A
-- learner whose gradients reach back a window stays at chance; with exact gradients,
-- in constant memory as well, it finds out what to remember.
--
--   build/saros examples/far_back.lua --lag 100 --window 10 --steps 1000000 --save far_back.svg

package.path = (arg[0]:match "^.*/" or "") .. "?.lua;" .. package.path
local argparse = require "argparse"
local numbers = require "numbers"
local saros = require "saros"
local nn = saros.nn

local parser = argparse("far_back.lua", "Exact gradients on a stream, beside those of windows.")
numbers.whole(parser, "--lag", "Steps from a sign to the question."):default "50"
numbers.whole(parser, "--window", "Steps that are learned from together."):default "10"
numbers.whole(parser, "--steps", "Length of the stream."):default "60000"
numbers.positive(parser, "--rate", "Learning rate."):default "1e-2"
numbers.whole(parser, "--seed", "Same seed, same result.", 0):default "1"
parser:option("--save", "Picture of the answers that are right, as SVG.")
local args = parser:parse()

-- The share of the questions answered right, in each of 20 parts of the stream.
local function shares(method)
  local model = nn.chain { nn.mingru { 2, 16, remember = 2 * args.lag }, nn.linear { 16, 1 } }
  local s = model:init({ seed = args.seed }):learner { method = method, window = args.window, lr = args.rate }
  local generator, period, sign = saros.generator(args.seed), args.lag + args.window, nil
  local list, right, asked, before = {}, 0, 0, saros.clock()
  for t = 0, args.steps - 1 do
    local at = t % period
    if at == 0 then
      sign = 2 * generator:integer(2) - 3
    end
    local is_question = at == args.lag
    local y = s:learn({ at == 0 and sign or 0, is_question and 1 or 0 }, is_question and sign or nil)
    if is_question then
      asked, right = asked + 1, right + (y[1] * sign > 0 and 1 or 0)
    end
    if (t + 1) % (args.steps // 20) == 0 then
      list[#list + 1], right, asked = 100 * right / asked, 0, 0
    end
  end
  return list, (saros.clock() - before) / args.steps * 1e6, saros.memory().in_use
end

local lists, x = {}, {}
for _, method in ipairs { "window", "exact" } do
  local list, microseconds, bytes = shares(method)
  lists[#lists + 1] = { name = method, x = x, y = list }
  print(("%-7s %5.1f %% right at the end, %3.0f us a step, %.1f MB"):format(
    method, list[#list], microseconds, bytes / 1e6))
end
for n in ipairs(lists[1].y) do
  x[n] = n * (args.steps // 20)
end
if args.save then
  local ok, message = saros.plot.lines { series = lists, title = ("A question about %d steps ago, windows of %d")
    :format(args.lag, args.window), x = "step", y = "right, %" }:save(args.save)
  assert(ok, message)
end
