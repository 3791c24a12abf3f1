-- The benchmark says what it promises; how fast anything is, no spec asks.

local saros = require "saros"
local core = require "saros.core"
local cases = require "bench.cases"
local measure = require "bench.measure"
local processor = require "bench.processor"
local rows_file = require "bench.rows"
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

  it("makes every product that is counted: no layer reads ids and looks its products up", function()
    for _, written_out in ipairs { true, false } do
      local run = training.prepare(cases.case("S1", "lstm", { batch = 4 }), { written_out = written_out })
      local ranks = {}
      local _ <close> = saros.no_gradient()
      local _ <close> = core.record(function(name, arguments)
        ranks[#ranks + 1] = name == "recurrent" and arguments[2]:rank() or nil
      end)
      run.model(run.windows[1].inputs)
      assert.same({ written_out and 3 or 2 }, ranks)
    end
  end)

  it("trains with products of each precision", function()
    local rows = rows_of("--case", "A", "--cell", "rnn", "--threads", 1, "--seconds", 0.01)
    local found = {}
    for position, row in ipairs(rows) do
      found[position] = row.precision
      assert_positive(row, { "samples", "fraction" })
      assert.is_true(row.waited == nil or row.waited >= 0 and row.waited <= 1)
    end
    assert.same({ "real", "bf16" }, found)
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

  it("measures on one thread by the time in which it had a processor", function()
    local pipes = {}
    for n = 1, 2 * saros.info().threads do -- programs that keep every processor busy
      pipes[n] = assert(io.popen("exec timeout 2 sh -c 'while :; do :; done'"))
    end
    local samples = measure.beside_peak(function()
      local begin, wall = os.clock(), saros.clock()
      repeat
        local spent = os.clock() - begin -- time of a processor, not of the day
      until spent > 0.05
      return { seconds = saros.clock() - wall, flops = 0.05 }
    end, { seconds = 0.5, threads = 1 })
    for _, pipe in ipairs(pipes) do
      pipe:close()
    end
    for _, sample in ipairs(samples) do
      -- One operation a second, by the processor's time: without it, half of that and less.
      assert.is_true(not sample.waited or sample.fraction * sample.peak > 0.7, sample.fraction * sample.peak)
    end
  end)

  it("prints one object for each kernel and call", function()
    local found = {}
    for _, row in ipairs(rows_of("--case", "product", "--case", "activation", "--case", "call")) do
      if not (row.kernel or ""):find "^packed_" then -- not every set of kernels has those
        found[#found + 1] = table.concat({ row.case, row.shape or row["function"] or row.call, row.kernel }, " ")
      end
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

  it("prints one object for each precision of whole sequences", function()
    local found = {}
    for _, row in ipairs(rows_of("--case", "sequence", "--cell", "lstm", "--seconds", 0.01)) do
      found[#found + 1] = row.precision .. " " .. row.batch
      assert_positive(row, { "ms", "ms_least", "layers", "hidden", "length" })
    end
    assert.same({ "real 1", "bf16 1", "int8 1", "real 8", "bf16 8", "int8 8" }, found)
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

describe("a processor's name", function()
  it("says of which family it is, as the maker's name may not", function()
    local text = "processor\t: 0\nvendor_id\t: %s\ncpu family\t: %d\nmodel\t\t: %d\nmodel name\t: %s\nstepping\t: 1\n"
    for _, known in ipairs {
      { "AuthenticAMD", 26, 2, "AMD EPYC", "AMD EPYC (Zen 5)", "amd-epyc-zen-5" },
      { "AuthenticAMD", 25, 0x11, "AMD EPYC 9R14 96-Core Processor", "AMD EPYC 9R14 (Zen 4)", "amd-epyc-9r14-zen-4" },
      { "AuthenticAMD", 25, 1, "AMD EPYC 7R13", "AMD EPYC 7R13 (Zen 3)", "amd-epyc-7r13-zen-3" },
      { "GenuineIntel", 6, 143, "Intel(R) Xeon(R) Platinum 8488C CPU @ 2.40GHz",
        "Intel Xeon Platinum 8488C (Sapphire Rapids)", "intel-xeon-platinum-8488c-sapphire-rapids" },
      { "Another", 6, 143, "Some CPU", "Some", "some" },
    } do
      local name = processor.name(text:format(table.unpack(known, 1, 4)))
      assert.same({ known[5], known[6] }, { name, processor.file(name) })
    end
    assert.equal("Neoverse V1", processor.name "processor\t: 0\nCPU part\t: 0xd40\n")
    assert.equal("unknown processor", processor.name "")
  end)
end)

describe("the page of performance", function()
  local folder, page

  before_each(function()
    folder = os.tmpname()
    os.remove(folder)
    os.execute("mkdir -p " .. folder .. "/rows")
    page = folder .. "/page.md"
    files.write(page, "Before.\n<!-- table summary -->\n<!-- end -->\nBetween.\n"
      .. "<!-- table processors -->\nas it was\n<!-- end -->\nBehind.\n")
  end)

  after_each(function()
    os.execute("rm -r " .. folder)
  end)

  local function text_of(path)
    local file <close> = assert(io.open(path))
    return file:read "a"
  end

  local function write_rows(name, ...)
    local path = folder .. "/rows/" .. name .. ".jsonl"
    local lines = {}
    for position, row in ipairs { ... } do
      lines[position] = saros.json_encode(row) .. "\n"
    end
    files.write(path, table.concat(lines))
    return path
  end

  local function machine_of(name, date)
    return { case = "machine", processor = name, processors = 2, isa = "some", version = "9.8", date = date }
  end

  local function training_of(precision, threads, fraction, waited)
    return {
      case = "A", cell = "lstm", precision = precision, threads = threads, symbols_per_s = 12345.6, fraction = fraction,
      waited = waited, peak_mb = 25.4, date = "2026-01-02",
    }
  end

  it("begins with a line for each processor that trained, the newest first", function()
    local old = write_rows("old", machine_of("Old", "2025-01-01"), training_of("real", 1, 0.5))
    local new = write_rows("new", machine_of("New", "2026-01-02"), training_of("real", 1, 0.8),
      training_of("bf16", 1, 1.2), {
        case = "peer", of = "A", cell = "lstm", precision = "real", threads = 1, library = "PyTorch",
        peer = "PyTorch 9.1+cpu", ratio = 2.345, symbols_per_s = 1, peer_symbols_per_s = 1, peer_resident_mb = 1,
      })
    local none = write_rows("steps", machine_of("Steps", "2027-01-01"))
    commands.succeed("bench/report.lua", page, old, none, new)
    assert.equal([[
Before.
<!-- table summary -->

| processor | kernels | beside | fp32: times as fast | bf16 to fp32 | of the fp32 peak |
|---|---|---|---|---|---|
| New | some | PyTorch 9.1 | 2.35 / - / - | 1.50 / - / - | 80 / - / - % |
| Old | some |  |  |  | 50 / - / - % |

<!-- end -->
Between.
]], text_of(page):match "^.*Between.\n")
    local headings = {}
    for heading in text_of(page):gmatch "\n## ([^\n]+)" do
      headings[#headings + 1] = heading
    end
    assert.same({ "Steps", "New", "Old" }, headings)
  end)

  it("has a section for each processor, with the tables that there are rows for", function()
    local path = write_rows("new", machine_of("New", "2026-01-01"), training_of("real", 1, 0.8),
      training_of("real", 2, 0.6, 0.5), training_of("bf16", 1, 1.2),
      { case = "activation", ["function"] = "exp", ns_per_element = 0.25, max_ulp = 1 })
    for _ = 1, 2 do
      commands.succeed("bench/report.lua", page, path)
      assert.equal([[
<!-- table processors -->

## New

2 processors; some kernels; Saros 9.8; 2026-01-01 to 2026-01-02. Rows: `]] .. path .. [[`.

### Training, beside the peak

| case | cell | symbols/s | of the peak | on 2 threads | speed-up | bf16 to fp32 | memory |
|---|---|---|---|---|---|---|---|
| A | lstm | 12,346 | 80 % | ~60 % | 1.50 | 1.50 | 25 MB |

### Functions of the gates

| function | per element | largest error |
|---|---|---|
| exp | 0.25 ns | 1.00 ulp |

<!-- end -->
Behind.
]], text_of(page):match "<!%-%- table processors.*")
    end
  end)

  it("compares sequences and steps with each library", function()
    local function sequence(library, ms, peer_ms)
      return {
        case = "peer_sequence", of = "tagger", cell = "lstm", precision = "int8", threads = 1, layers = 3, hidden = 384,
        batch = 1, length = 64, directions = 2, library = library, ms = ms, peer_ms = peer_ms, ratio = peer_ms / ms,
      }
    end
    local function step(library, how, us, peer_us)
      return { case = "peer_step", cell = "gru", hidden = 32, library = library, how = how, us = us, peer_us = peer_us,
        ratio = peer_us / us }
    end
    local path = write_rows("new", machine_of("New"), sequence("ONNX Runtime", 10, 12), step("PyTorch", "eager", 2, 30),
      step("ONNX Runtime", "run", 3, 30))
    commands.succeed("bench/report.lua", page, path)
    local text = text_of(page)
    assert.truthy(text:find("| net | B x T | precision | threads | Saros, ms | ONNX Runtime |\n"
      .. "|---|---|---|---|---|---|\n"
      .. "| bidirectional lstm of 3 x 384 | 1 x 64 | int8 | 1 | 10 | 12 (1.20) |\n", 1, true), text)
    assert.truthy(text:find("| cell | H | Saros, us | PyTorch | ONNX Runtime |\n|---|---|---|---|---|\n"
      .. "| gru | 32 | 2.5 | 30 (15.0) | 30 (10.0) |\n", 1, true), text)
  end)

  it("draws how cost grows, beside the rows", function()
    local list = { machine_of("New") }
    for _, batch in ipairs { 1, 2, 4 } do
      local row = cases.case("growth", "lstm", { batch = batch })
      row.varies, row.threads, row.fraction, row.peak_gflops, row.peak_mb = "batch", 1, 0.5, 100, 10
      list[#list + 1] = row
    end
    commands.succeed("bench/report.lua", page, write_rows("new", table.unpack(list)))
    assert.matches("^<svg .*Update by batch B.*<polyline", text_of(folder .. "/rows/new.svg"))
    assert.matches("!%[Time and memory of an update[^\n]*%]%(rows/new%.svg%)", text_of(page))
  end)

  --- What the one command says, and the rows that it leaves in this processor's file.
  local function perform(...)
    local said = commands.succeed("bench/performance.lua", "--page", page, "--rows", folder .. "/rows", ...)
    local path = ("%s/rows/%s.jsonl"):format(folder, processor.file(processor.here()))
    return said, rows_file.by_case(rows_file.read(path)), path
  end

  it("is made by one command, which measures a part and keeps the other rows", function()
    local other = write_rows("other", machine_of("Other", "2020-01-01"), training_of("real", 1, 0.5))
    local before = text_of(other)
    perform("--case", "call", "--case", "activation")
    local said, found, path = perform("--case", "S1", "--cell", "mingru", "--threads", 1, "--quick")
    assert.matches("rows go to " .. path:gsub("%p", "%%%0"), said)
    assert.same({ 1, 1, 3, 3 }, { #found.machine, #found.S1, #found.call, #found.activation })
    assert.matches("^%d%d%d%d%-%d%d%-%d%d$", found.S1[1].date)
    local again = select(2, perform("--case", "S1", "--cell", "mingru", "--threads", 1, "--quick"))
    assert.equal(1, #again.S1)
    assert.equal(before, text_of(other))
    assert.matches("\n## Other\n", text_of(page))
    assert.matches("\n| S1 | mingru | ", text_of(page))
  end)

  it("keeps what it has when a part fails or the time is up", function()
    local python = folder .. "/python"
    files.write(python, "#!/bin/sh\n[ \"$1\" = -c ] && { echo 'version: 9'; exit; }\nexit 1\n")
    os.execute("chmod +x " .. python)
    local said, status = commands.run("bench/performance.lua", "--page", page, "--rows", folder .. "/rows",
      "--case", "S1", "--cell", "rnn", "--threads", 1, "--quick", "--python", python)
    assert.equal(1, status)
    assert.matches("expected an answer, got none", said)
    assert.matches("\n| S1 | rnn | ", text_of(page))
    said = perform("--case", "S1", "--cell", "lru", "--minutes", 0)
    assert.matches("the time is up: 2 measurements were left out", said)
    assert.matches("\n| S1 | rnn | ", text_of(page))
  end)

  it("is made without measuring anything, and refuses what it does not know", function()
    write_rows("other", machine_of("Other", "2020-01-01"))
    commands.succeed("bench/performance.lua", "--only-page", "--page", page, "--rows", folder .. "/rows")
    assert.matches("\n## Other\n", text_of(page))
    local said, status = commands.run("bench/performance.lua", "--case", "Z")
    assert.not_equal(0, status)
    assert.matches('no case or part is called "Z"', said)
  end)
end)
