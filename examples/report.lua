-- A page about one or several trainings: loss, learning rate, gradients, speed,
-- samples and configuration, in one HTML file that needs no network.
--
--   build/saros examples/report.lua runs/first
--   build/saros examples/report.lua runs/lstm runs/gru --output compare.html

package.path = (arg[0]:match "^.*/" or "") .. "?.lua;" .. package.path
local argparse = require "argparse"
local numbers = require "numbers"
local saros = require "saros"

local parser = argparse("report.lua", "Write a report about run folders.")
parser:argument("runs", "Run folders, which are compared."):args "+"
parser:option("--output", "The file; else report.html in the folder, of several comparison.html in the first.")
parser:option("--title", "Its title.")
numbers.fraction(parser, "--smoothing", "Where the slider stands at first, 0 to 0.99."):default "0"
local args = parser:parse()

local path, message = saros.report(args.runs, {
  path = args.output,
  title = args.title,
  smoothing = args.smoothing,
})
print("written: " .. (path or error(message, 0)))
