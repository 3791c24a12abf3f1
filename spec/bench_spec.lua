-- The benchmark says what it promises; how fast anything is, no spec asks.

local saros = require "saros"
local commands = require "spec.support.commands"

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
      assert.same({ "S1", cell, 1, 16, 1, 50, 1, saros.info().isa },
        { row.case, row.cell, row.layers, row.hidden, row.batch, row.length, row.threads, row.isa })
      assert_positive(row, {
        "symbols_per_s", "gflops", "peak_gflops", "fraction", "ms_forward", "ms_backward", "ms_optimizer", "peak_mb",
      })
      assert.is_true(row.fraction < 1.5 and row.gflops < 1.5 * row.peak_gflops)
    end
  end)

  it("refuses what it does not know", function()
    local output, status = commands.run("bench/bench.lua", "--case", "Z")
    assert.not_equal(0, status)
    assert.matches("'--case' must be one of", output)
  end)
end)
