-- The benchmark says what it promises; how fast anything is, no spec asks.

local saros = require "saros"
local cases = require "bench.cases"
local measure = require "bench.measure"
local training = require "bench.training"
local commands = require "spec.support.commands"
local files = require "spec.support.files"

--- What the benchmark prints for these options: rows, and nothing else.
local function rows_of(...)
  local rows = {}
  for line in commands.succeed("bench/bench.lua", "--quiet", ...):gmatch "[^\n]+" do
    rows[#rows + 1] = assert(saros.json_decode(line), line)
  end
  return rows
end

local function assert_positive(row, fields)
  for _, field in ipairs(fields) do
    assert.is_true(type(row[field]) == "number" and row[field] > 0, field)
  end
end

describe("the benchmark", function()
  it("prints one object for each case of training", function()
    local rows = rows_of("--case", "S1", "--cell", "rnn", "--cell", "lstm", "--threads", 1, "--seconds", 0.01)
    assert.equal(2, #rows)
    for position, cell in ipairs { "rnn", "lstm" } do
      local row = rows[position]
      assert.same({ "S1", cell, 1, 16, 1, 50, 1, "real", saros.info().isa },
        { row.case, row.cell, row.layers, row.hidden, row.batch, row.length, row.threads, row.precision, row.isa })
      assert_positive(row, {
        "symbols_per_s", "gflops", "peak_gflops", "fraction", "ms_forward", "ms_backward", "ms_optimizer", "peak_mb",
      })
      local counted = cases.flops_per_symbol(cases.case("S1", cell)) * row.symbols_per_s / 1e9
      assert.is_true(math.abs(row.gflops / counted - 1) < 1e-3)
    end
  end)

  it("trains with products of each precision that nets know", function()
    local rows = rows_of("--case", "A", "--cell", "rnn", "--threads", 1, "--seconds", 0.01)
    local found = {}
    for position, row in ipairs(rows) do
      found[position] = row.precision
      assert_positive(row, { "samples", "fraction" })
      assert.is_true(row.waited == nil or row.waited >= 0)
    end
    assert.same(training.knows "bf16" and { "real", "bf16" } or { "real" }, found)
  end)

  it("leaves out samples that others disturbed where three others remain", function()
    local function count(...)
      local samples = {}
      for position, waited in ipairs { ... } do
        samples[position] = { waited = waited, change = 0.01 }
      end
      return #measure.undisturbed(samples)
    end
    assert.equal(4, count(0, 0.5, 0, 0.5, 0, 0))
    assert.equal(4, count(0, 0.5, 0, 0.5))
    assert.equal(1, #measure.undisturbed { { change = 0.5 } })
    local four = { { change = 0.01 }, { change = 0.5 }, { change = 0.02 }, { change = 0.03 } }
    assert.equal(3, #measure.undisturbed(four))
  end)

  it("prints one object for each kernel and call", function()
    local found = {}
    for _, row in ipairs(rows_of("--case", "product", "--case", "activation", "--case", "call")) do
      found[#found + 1] = table.concat({ row.case, row.shape or row["function"] or row.call, row.kernel }, " ")
      if row.case == "product" then
        assert_positive(row, { "rows", "columns", "depth", "gflops", "peak_gflops", "fraction" })
      elseif row.case == "activation" then
        assert_positive(row, { "ns_per_element" })
        assert.is_true(row.max_ulp >= 0 and row.max_ulp < 4)
      else
        assert_positive(row, { "ns" })
      end
    end
    assert.same({
      "product A packed", "product A openblas", "product B packed", "product B openblas", "product C packed",
      "product C openblas", "activation exp", "activation tanh", "activation sigmoid", "call x:rank()",
      "call x:add_scaled(1, x)", "call x + x",
    }, found)
  end)

  it("says which libraries it cannot compare with", function()
    local output = commands.succeed("bench/peers.lua", "--python", "/nonexistent", "--precision", "real")
    assert.equal("bench-peers: no PyTorch: rows left out, as /nonexistent cannot import it\n"
      .. "bench-peers: no ONNX Runtime: rows left out, as /nonexistent cannot import it\n", output)
  end)

  describe("beside a library that always takes the same time", function()
    local python = os.tmpname()

    setup(function()
      files.write(python, [[
#!/bin/sh
if [ "$1" = -c ]; then echo 'onednn_verbose,v1,info,cpu,isa:some set'; echo 'version: 9'; exit; fi
echo '{"name": "Library 9", "peak_resident_mb": 7}'
while read -r runs; do echo '{"seconds": 0.25, "peak_resident_mb": 8}'; done
]])
      os.execute("chmod +x " .. python)
    end)

    teardown(function()
      os.remove(python)
    end)

    --- The rows of a comparison, and what it says to people.
    local function compare(...)
      local rows, said = {}, {}
      for line in commands.succeed("bench/peers.lua", "--python", python, "--seconds", 0.01, ...):gmatch "[^\n]+" do
        local list = line:match "^{" and rows or said
        list[#list + 1] = line:match "^{" and assert(saros.json_decode(line)) or line
      end
      return rows, said
    end

    it("compares training, and names the library and its instructions", function()
      local rows, said = compare("--case", "S1", "--cell", "rnn", "--threads", 1)
      assert.same({ case = "peers", pytorch = "9", onnxruntime = "9", onednn_instructions = "some set" }, rows[1])
      assert.same({ "peer", "S1", "rnn", 1, "real", "PyTorch", "Library 9", 200, 8, 3 }, {
        rows[2].case, rows[2].of, rows[2].cell, rows[2].threads, rows[2].precision, rows[2].library, rows[2].peer,
        rows[2].peer_symbols_per_s, rows[2].peer_resident_mb, rows[2].pairs,
      })
      assert.is_true(math.abs(rows[2].symbols_per_s / 200 / rows[2].ratio - 1) < 0.5)
      assert.equal(2, #rows)
      assert.matches("^bench%-peers: oneDNN of PyTorch 9 uses: some set$", said[1])
    end)

    it("compares steps and whole sequences with every library", function()
      local function names_of(...)
        local names = {}
        for position, row in ipairs((compare("--cell", "gru", "--threads", 1, "--precision", "real", ...))) do
          local words = {}
          for _, field in ipairs { "case", "library", "how", "hidden" } do
            words[#words + 1] = row[field]
          end
          names[position] = table.concat(words, " ")
        end
        return names
      end
      assert.same({
        "peers", "peer_step PyTorch eager 32", "peer_step PyTorch traced 32", "peer_step ONNX Runtime run 32",
        "peer_step PyTorch eager 128", "peer_step PyTorch traced 128", "peer_step ONNX Runtime run 128",
        "peer_step PyTorch eager 512", "peer_step PyTorch traced 512", "peer_step ONNX Runtime run 512",
      }, names_of("--case", "step"))
      assert.same({ "peers", "peer_sequence PyTorch 384", "peer_sequence ONNX Runtime 384" },
        names_of("--case", "sequence"))
    end)

    it("begins nothing more when its time is up", function()
      local rows, said = compare("--case", "S1", "--until", os.time())
      assert.equal("peers", rows[1].case)
      assert.is_nil(rows[2])
      assert.equal("the time is up: 6 measurements were left out", said[#said])
    end)
  end)

  it("fills the tables of a page for which there are rows", function()
    local page, rows, write = os.tmpname(), os.tmpname(), files.write
        write(page, "<!-- table activation -->\n<!-- end -->\n<!-- table call -->\nas it was\n<!-- end -->\nand more\n")
    write(rows, saros.json_encode { case = "activation", ["function"] = "exp", ns_per_element = 0.25, max_ulp = 1 })
    for _ = 1, 2 do
      commands.succeed("bench/report.lua", page, rows)
      local file <close> = assert(io.open(page))
      assert.equal("<!-- table activation -->\n\n| function | per element | largest error |\n|---|---|---|\n"
        .. "| exp | 0.25 ns | 1.00 ulp |\n\n<!-- end -->\n<!-- table call -->\nas it was\n<!-- end -->\nand more\n",
        file:read "a")
    end
    os.remove(page)
    os.remove(rows)
  end)

  it("prints what a step of a session takes, from C and from Lua", function()
    for _, case in ipairs {
      { "gru", "real", 0 }, { "gru", "bf16", 0 }, { "gru", "int8", 0 }, { "mingru", "real", 0 }, { "lstm", "real", 1 },
    } do
      local cell, weights, outputs = table.unpack(case)
      local row = assert(saros.json_decode(commands.succeed("bench/step.lua", cell, 16, weights, outputs)))
      assert.same({ "step", cell, 16, weights, outputs },
        { row.case, row.cell, row.hidden, row.weights, row.outputs })
      assert_positive(row, { "us_per_step", "us_per_step_lua", "us_single", "us_single_999" })
      if outputs == 1 then
        assert_positive(row, { "us_plain" })
      else
        assert.is_nil(row.us_plain)
      end
    end
  end)

  it("refuses what it does not know", function()
    local output, status = commands.run("bench/bench.lua", "--case", "Z")
    assert.not_equal(0, status)
    assert.matches("'--case' must be one of", output)
  end)
end)
