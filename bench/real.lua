--- Published nets, read from the files as they were published, beside their originals:
---
---   make real
---
--- prints for each of them the largest difference of an output from the original's, over a whole
--- sequence and from a session step by step, the largest difference of its C file from the net
--- here, and how fast it is: against the original, and against real time where there is one.
--- bench/real.py fetches the nets and asks the originals. What is missing is said.

local argparse = require "argparse"
local saros = require "saros"
local lfs = require "lfs"
local nn = saros.nn

local parser = argparse("real", "Published nets beside their originals.")
parser:option("--python", "A Python with NumPy; with ONNX Runtime, h5py and Keras for some nets."):default "python3"
parser:option("--folder", "Where the nets are kept."):default "build/real"
parser:option("--compiler", "Compiles the C files."):default "cc"
local args = parser:parse()

local LEAST_SECONDS = 0.2 -- of a measurement

-- --- The nets ---------------------------------------------------------------------------------------

local nets = {}

function nets.silero(entry)
  return assert(saros.onnx.read(entry.weights, { constants = { sr = 16000 }, sizes = { input = 576 } }))
end

function nets.chars2vec(entry)
  return (nn.lstm { entry.inputs, entry.hidden, layers = 2 }:load(entry.weights, { names = "keras" }))
end

-- A weighted mean over the steps until now: its state is the sums of both sides of the fraction.
local Average = nn.cell("average", { states = { { "sum", 356 }, { "weight", 1 } }, output = true },
  function(p, x, sum, weight)
    local a = saros.exp(p.attention(x, 1))
    sum, weight = sum + a * x, weight + a
    return sum / weight, sum, weight
  end)

function nets.textgenrnn(entry)
  local tensors = assert(saros.read_tensors(entry.weights))
  tensors.attention = tensors["attention/attention/attention_W:0"]:transpose()
  tensors["attention/attention/attention_W:0"], tensors.none = nil, saros.zeros(1)
  local function through(x)
    return x
  end
  local net = nn.chain { nn.embedding { 465, 100 },
    nn.concatenate { through, nn.chain { nn.lstm { 100, 128 }, nn.concatenate { through, nn.lstm { 128, 128 } } } },
    nn.recurrent { 356, 356, cell = Average }, nn.linear { 356, 465 }, saros.softmax }
  return (net:load(tensors, { names = { "keras", ["2.cell_l0.attention.weight"] = "attention",
    ["2.cell_l0.attention.bias"] = "none" } }))
end

local HEADS = { sigmoid = saros.sigmoid, softmax = saros.softmax }

function nets.madmom(entry)
  local layer = nn[entry.cell] { entry.inputs, entry.hidden, layers = entry.layers, bidirectional = entry.both,
    peepholes = entry.peepholes or nil }
  local head = nn.linear { (entry.both and 2 or 1) * entry.hidden, entry.outputs }
  return (nn.chain { layer, head, HEADS[entry.head] }:load(entry.weights))
end

function nets.amp(entry)
  return assert(saros.rtneural.read(entry.weights))
end

-- --- What is asked of each -------------------------------------------------------------------------------

local function difference(a, b)
  return ((a:contiguous():reshape(-1) - b:contiguous():reshape(-1)):abs():max():item())
end

-- The result of act, and seconds of a call.
local function timed(act)
  local result = act()
  local count, begin = 0, saros.clock()
  repeat
    act()
    count = count + 1
  until saros.clock() - begin > LEAST_SECONDS
  return result, (saros.clock() - begin) / count
end

-- What a session reads at each step: numbers, where there is one of them.
local function steps_of(x)
  local list = {}
  for step = 1, x:size(1) do
    list[step] = x[step]
    if x:dtype() == "real" and x[step]:count() == 1 then
      list[step] = x[step]:item()
    end
  end
  return list
end

-- All steps of a session, (T, 1, F).
local function streamed(session, x)
  local list = {}
  for step = 1, x:size(1) do
    list[step] = session:step(x[step]):clone()
  end
  return saros.stack(list, 1)
end

local function shell(line)
  local pipe = assert(io.popen(line .. " 2>&1"))
  local text = pipe:read "a"
  return pipe:close(), text
end

-- What the test of a C file says of itself.
local function c_file(net, entry, test)
  local path = ("%s/%s.c"):format(args.folder, entry.net:gsub("%W+", "_"))
  local ok, done, message = pcall(saros.export_c, net, path, { name = "model", test = test })
  if not ok or not done then
    return "none: " .. tostring(ok and message or done):gsub("^[^\n]-: ", "")
  end
  local made, text = shell(("%s -std=c99 -O2 -DMODEL_TEST '%s' -lm -o '%s.out' && '%s.out'"):format(args.compiler,
    path, path, path))
  local off = text:match "off by at most ([%d.e+-]+)"
  return made and off or "fails: " .. (text:match "[^\n]*" or "")
end

local function speed(entry, seconds, steps, session_seconds)
  local text = ("%.1f x %s"):format(entry.seconds / seconds, entry.original)
  if entry.rate then
    text = text .. (", %.0f x real time%s"):format(steps / entry.rate / (session_seconds or seconds),
      session_seconds and " in a session" or "")
  end
  return text
end

local function compare(entry)
  local net, values = nets[entry.kind](entry), assert(saros.read_tensors(entry.values))
  local x, y = values.x, values.y
  local _ <close> = saros.no_gradient()
  local here, seconds = timed(function() return (net(x)) end)
  local ok, session = pcall(net.session, net)
  local row = { entry.net, ("%.1e"):format(difference(y, here)) }
  local session_seconds
  if ok then
    local steps = steps_of(x)
    row[3] = ("%.1e"):format(difference(y, streamed(session, x)))
    session_seconds = select(2, timed(function()
      for _, step in ipairs(steps) do
        session:step(step)
      end
    end))
  else
    row[3] = "both ways"
  end
  local length = math.min(x:size(1), 50)
  row[4] = c_file(net, entry, x:slice(1, 1, length):select(2, 1))
  row[5] = speed(entry, math.min(seconds, session_seconds or seconds), x:size(1), session_seconds)
  return row
end

-- --- Letters to phonemes ------------------------------------------------------------------------------------

local MAIN = [[
#include <stdio.h>
#include <stdlib.h>
#include "g2p.c"
int main(void) {
  static g2p_state state;
  int length;
  while (scanf("%d", &length) == 1) {
    int32_t source[64], target[20];
    g2p_NUMBER memory[G2P_MEMORY(64)];
    for (int i = 0; i < length; i++)
      if (scanf("%d", &source[i]) != 1) return 1;
    int count = g2p_translate(&state, source, length, target, 20, memory);
    for (int i = 0; i < count; i++) printf("%d ", target[i]);
    printf("\n");
  }
  return 0;
}
]]

-- The file's symbols are <pad>, <unk>, <s>, </s> and 70 phonemes; here the end and the
-- beginning are one symbol behind the others, so <s> and </s> leave their places.
local function g2p_net(path)
  local t = assert(saros.read_tensors(path))
  local function without(x, begin_or_end)
    return saros.concatenate({ x:slice(1, 1, 2), x:slice(1, 5, 74), x:slice(1, begin_or_end, begin_or_end) }, 1)
  end
  local net = nn.encoder_decoder { source = 29, target = 72, cell = "gru", embedding = 256, hidden = 256,
    attention = false }
  local tensors = { ["source_embedding.weight"] = t.enc_emb, ["target_embedding.weight"] = without(t.dec_emb, 3),
    ["head.weight"] = without(t.fc_w, 4), ["head.bias"] = without(t.fc_b, 4) }
  for ours, theirs in pairs { encoder = "enc", decoder = "dec" } do
    for name, of in pairs { weight_ih = "w_ih", weight_hh = "w_hh", bias_ih = "b_ih", bias_hh = "b_hh" } do
      tensors[("%s.%s_l0"):format(ours, name)] = t[theirs .. "_" .. of]
    end
  end
  return net:load(tensors)
end

-- Ids from 1 of a word's letters and the end, and what the original says, in our places.
local function g2p_words(path)
  local list = {}
  for line in io.lines(path) do
    local word, said = line:match "^(%a+) ?(.*)$"
    local source, target = {}, {}
    for letter in word:gmatch "%a" do
      source[#source + 1] = letter:byte() - ("a"):byte() + 4
    end
    source[#source + 1] = 3 -- </s>
    for id in said:gmatch "%d+" do
      target[#target + 1] = id < "2" and #id == 1 and id + 1 or id - 1
    end
    list[#list + 1] = { source = source, target = table.concat(target, " ") }
  end
  return list
end

local function g2p(entry)
  local net, words, equal = g2p_net(entry.weights), g2p_words(entry.words), 0
  local _, seconds = timed(function()
    equal = 0
    for _, word in ipairs(words) do
      local found = net:translate(word.source, { beam = 1, max_length = 20 })[1].ids
      equal = equal + (table.concat(found, " ") == word.target and 1 or 0)
    end
  end)
  local folder = args.folder .. "/g2p_en"
  assert(saros.export_c(net, folder .. "/g2p.c", { name = "g2p" }))
  local lines, of_file = {}, 0
  for n, word in ipairs(words) do
    local ids = {}
    for k, id in ipairs(word.source) do
      ids[k] = id - 1
    end
    lines[n] = #ids .. " " .. table.concat(ids, " ")
  end
  local function write(name, text)
    local file = assert(io.open(folder .. "/" .. name, "w"))
    file:write(text)
    file:close()
  end
  write("main.c", (MAIN:gsub("g2p_NUMBER", saros.info().real)))
  write("ids.txt", table.concat(lines, "\n"))
  local ok, text = shell(("cd '%s' && %s -std=c99 -O2 main.c -lm -o g2p.out"):format(folder, args.compiler))
  if not ok then
    error(text, 0)
  end
  local n, begin = 0, saros.clock()
  ok, text = shell(("'%s/g2p.out' < '%s/ids.txt'"):format(folder, folder))
  local file_seconds = saros.clock() - begin
  for line in text:gmatch "([^\n]*)\n" do
    local target = {}
    n = n + 1
    for id in line:gmatch "%d+" do
      target[#target + 1] = id + 1
    end
    of_file = of_file + (ok and words[n] and table.concat(target, " ") == words[n].target and 1 or 0)
  end
  local function of_words(right)
    return ("%d of %d words"):format(right, #words)
  end
  return { entry.net, of_words(equal), "reads ahead", of_words(of_file),
    ("%s, C file %.1f x"):format(speed(entry, seconds), entry.seconds / file_seconds) }
end

-- --- All of them ------------------------------------------------------------------------------------------

local COLUMNS = { "net", "largest difference", "session", "C file", "speed" }
local WIDTHS = { 34, 20, 12, 20 }

local function print_row(row)
  local line = {}
  for n, text in ipairs(row) do
    line[n] = WIDTHS[n] and text .. (" "):rep(WIDTHS[n] - #text) or text
  end
  print(table.concat(line, " "))
  io.stdout:flush()
end

lfs.mkdir "build" -- there already, for the most part
lfs.mkdir(args.folder)
print(saros.info())
print_row(COLUMNS)
local command = ("'%s' bench/real.py '%s' 2>'%s/python.txt'"):format(args.python, args.folder, args.folder)
local pipe = assert(io.popen(command))
local count = 0
for line in pipe:lines() do
  local entry = assert(saros.json_decode(line))
  count = count + 1
  if entry.missing then
    print(("%s: not compared: %s"):format(entry.net, entry.missing))
  else
    local ok, row = pcall(entry.kind == "g2p" and g2p or compare, entry)
    if ok then
      print_row(row)
    else
      print(("%s: fails: %s"):format(entry.net, row))
    end
  end
end
if not pipe:close() or count == 0 then
  local said = io.open(args.folder .. "/python.txt"):read "a":match "([^\n]*)\n*$"
  error(("expected %s, with NumPy, to run bench/real.py, got: %s"):format(args.python, said), 0)
end
