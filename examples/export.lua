-- A trained model as one C file that needs no library.
--
--   build/saros examples/export.lua --model runs/first --out model.c
--   cc -std=c99 -O2 -DMODEL_TEST model.c -lm && ./a.out

local argparse = require "argparse"
local saros = require "saros"

-- What a user can mend is said in one line, without a traceback.
local function need(value, message)
  return value or error(message, 0)
end

local function identifier(word)
  if #word <= 40 and word:find "^%a[%w_]*$" then
    return word
  end
  return nil, ("--name: expected a letter, then up to 39 letters, digits and _, got '%s'"):format(word)
end

local parser = argparse("export.lua", "Write a trained model as a C file.")
parser:option("--model", "Run folder or model file."):count(1)
parser:option("--out", "The C file."):default "model.c"
parser:option("--name", "What its functions and types begin with."):convert(identifier):default "model"
parser:option("--weights", "As they are, or in 8 bits, a quarter of the size."):choices { "real", "int8" }
  :default "real"
local args = parser:parse()

local model = need(saros.load(args.model))
local fits, done, message = pcall(saros.export_c, model, args.out, { name = args.name, weights = args.weights })
need(fits, not fits and "no C file of this model: " .. done:gsub("^[^:]*:%d+: %a+: ", ""))
need(done, message)
print(("%s: %s, %d weights"):format(args.out, model:describe(), model:count()))
print(("check it:  cc -std=c99 -O2 -D%s_TEST %s -lm && ./a.out"):format(args.name:upper(), args.out))
