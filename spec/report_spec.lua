-- Reports about run folders. Cases that need dygraphs or Chromium are announced
-- as pending where those are missing.

local commands = require "spec.support.commands"
local files = require "spec.support.files"
local saros = require "saros"

local LIBRARY = "/usr/share/javascript/dygraphs/dygraph.min.js"

local function content(path)
  local file <close> = io.open(path, "rb")
  return file and file:read "a"
end

local write, with_folder = files.write, files.with_folder

-- A run folder as saros.fit leaves it.
local function write_run(folder, epochs)
  assert(saros.make_folder(folder .. "/samples"))
  local lines = {}
  for step = 1, epochs * 10 do
    lines[#lines + 1] = saros.json_encode { event = "window", epoch = (step - 1) // 10 + 1, step = step,
      loss = 4 / step, lr = 1e-3, norm = 0.25, symbols_per_second = 1000 + step, memory = 5e6 }
    if step % 10 == 0 then
      lines[#lines + 1] = saros.json_encode { event = "epoch", epoch = step // 10, step = step,
        train = 4 / step, valid = 0.5 + math.abs(step - 20) / 100, symbols_per_second = 1000, seconds = 2 }
      write(("%s/samples/epoch-%04d.txt"):format(folder, step // 10), "written in " .. step // 10)
    end
  end
  write(folder .. "/metrics.jsonl", table.concat(lines, "\n") .. "\n")
  write(folder .. "/config.json", saros.json_encode { training = { lr = 1e-3, epochs = epochs } })
end

-- An `it` that needs the charting library.
local function report_it(name, test)
  it(name, function()
    if not content(LIBRARY) then
      return pending "dygraphs is not installed: make setup"
    end
    with_folder(test)
  end)
end

local function data_of(html)
  return assert(saros.json_decode(html:match '<script type="application/json" id="data">(.-)</script>'))
end

-- What a browser makes of a page, or nil where there is none.
local function rendered(path)
  for _, browser in ipairs { "chromium", "chromium-browser", "google-chrome" } do
    if os.execute("command -v " .. browser .. " >/dev/null") then
      local pipe = assert(io.popen(("%s --headless --no-sandbox --disable-gpu --user-data-dir='%s.profile' "
        .. "--virtual-time-budget=5000 --dump-dom 'file://%s' 2>/dev/null"):format(browser, path, path)))
      local dom = pipe:read "a"
      pipe:close()
      return dom
    end
  end
end

describe("a report", function()
  report_it("has the numbers of the run folder", function(folder)
    write_run(folder, 3)
    assert.equal(folder .. "/report.html", saros.report(folder))
    local html = content(folder .. "/report.html")
    local run = data_of(html)[1]
    assert.equal(folder:match "[^/]+$", run.name)
    assert.equal(30, #run.windows.step)
    assert.near(4 / 7, run.windows.loss[7], 1e-12)
    assert.same({ 10, 20, 30 }, run.epochs.step)
    assert.same({ 0.6, 0.5, 0.6 }, run.epochs.valid)
    for _, shown in ipairs {
      "<td>30</td>", "<td>0.5000</td><td>2</td>", "<td>training.lr</td><td>0.001</td>",
      "<summary>epoch 1</summary><pre>written in 1</pre>", "<details open><summary>epoch 3</summary>",
    } do
      assert.matches(shown, html, 1, true)
    end
  end)

  report_it("counts symbols where there are some, else steps", function(folder)
    write_run(folder, 1)
    saros.report(folder)
    local html = content(folder .. "/report.html")
    assert.matches("<th>steps a second</th>", html, 1, true)
    assert.matches("<figcaption>Steps a second<", html, 1, true)
    local metrics = content(folder .. "/metrics.jsonl")
    write(folder .. "/metrics.jsonl", (metrics:gsub('"train":', '"bits":2,%0')))
    saros.report(folder)
    html = content(folder .. "/report.html")
    assert.matches("<th>symbols a second</th>", html, 1, true)
    assert.matches("<figcaption>Symbols a second<", html, 1, true)
  end)

  report_it("is in the run folder when a training ends, however it ends", function(folder)
    local text = saros.data.text({ string = ("abc "):rep(100) }, { valid = 0 })
    local lm = saros.nn.language_model { vocabulary = text.vocabulary, hidden = 4, seed = 1 }
    local o = { batch = 4, length = 10, run = folder .. "/run" }
    function o.on_window(record)
      lm.head.bias:fill(record.step == 3 and 0 / 0 or 0)
    end
    assert.is_false(pcall(saros.fit, lm, text, o))
    assert.same({ 1, 2, 3 }, data_of(content(folder .. "/run/report.html"))[1].windows.step)
  end)

  report_it("needs no network and no other file, and keeps the library's licence", function(folder)
    write_run(folder, 1)
    local html = content(assert(saros.report(folder)))
    for _, forbidden in ipairs { "<script[^>]-%ssrc", "<link", "<img", "@import", "url%(", "sourceMappingURL" } do
      assert.is_nil(html:find(forbidden), forbidden)
    end
    assert.matches("default-src 'none'", html, 1, true)
    assert.matches("@license", html, 1, true)
    assert.matches("Permission is hereby granted", html, 1, true)
    assert.equal(4, select(2, html:gsub("<script", "")))
    assert.equal(4, select(2, html:gsub("</script>", "")))
  end)

  report_it("about several runs leaves the report of each as it was", function(folder)
    local own = {}
    for n, name in ipairs { "a", "b" } do
      own[n] = folder .. "/" .. name
      assert(saros.make_folder(own[n]))
      write_run(own[n], n)
      assert.equal(own[n] .. "/report.html", saros.report(own[n]))
    end
    local before = { content(own[1] .. "/report.html"), content(own[2] .. "/report.html") }
    assert.equal(own[1] .. "/comparison.html", saros.report(own))
    assert.equal(2, #data_of(content(own[1] .. "/comparison.html")))
    assert.same(before, { content(own[1] .. "/report.html"), content(own[2] .. "/report.html") })
  end)

  report_it("compares several runs, and shows what differs", function(folder)
    for n, name in ipairs { "a/run", "b/run", "c" } do
      assert(saros.make_folder(folder .. "/" .. name))
      write_run(folder .. "/" .. name, n)
    end
    local path = assert(saros.report({ folder .. "/a/run", folder .. "/b/run/", folder .. "/c" },
      { path = folder .. "/all.html", title = "Three <runs>", smoothing = 0.5 }))
    local html = content(path)
    local runs = data_of(html)
    assert.same({ "run", "run (2)", "c" }, { runs[1].name, runs[2].name, runs[3].name })
    assert.matches('<tr class="differs"><td>training.epochs</td><td>1</td><td>2</td><td>3</td></tr>', html, 1, true)
    assert.matches('<tr class=""><td>training.lr</td>', html, 1, true)
    assert.matches("<title>Three &lt;runs&gt;</title>", html, 1, true)
    assert.matches('id="smoothing" type="range" min="0" max="0.99" step="0.01" value="0.5"', html, 1, true)
  end)

  report_it("has sections for a confusion matrix and a forecast", function(folder)
    write_run(folder, 1)
    local html = content(assert(saros.report(folder, {
      confusion = { labels = { "x", "y" }, counts = { { 3, 1 }, { 0, 2 } } },
      forecast = { truth = { 1, 2, 3 }, prediction = saros.arange(3) },
    })))
    assert.matches("<h2>Confusion</h2>\n<div class=\"scroll\"><svg", html, 1, true)
    assert.matches("x as y: 1 (25.0 %)", html, 1, true)
    assert.matches("<h2>Forecast and truth</h2>\n<div class=\"scroll\"><svg", html, 1, true)
    assert.matches(">forecast</text>", html, 1, true)
    assert.error_matches(function() saros.report(folder, { confusion = { counts = 1 } }) end,
      "^report: plot.confusion: expected option 'counts'")
  end)

  report_it("shows what the model makes of the held-out part, if the run folder knows", function(folder)
    for _, name in ipairs { "a", "b" } do
      assert(saros.make_folder(folder .. "/" .. name))
      write_run(folder .. "/" .. name, 1)
    end
    write(folder .. "/a/held_out.json", saros.json_encode {
      confusion = { labels = { "x", "y" }, counts = { { 3, 1 }, { 0, 2 } } },
    })
    write(folder .. "/b/held_out.json", saros.json_encode { forecasts = {
      { name = "Temp <C>", x = { 7, 8 }, truth = { 1, 2 }, predictions = { { ahead = 3, y = { 1, 3 } } } },
      { name = "broken", x = { 7 }, truth = { 1, 2 }, predictions = {} },
      "no table",
    } })
    local html = content(assert(saros.report { folder .. "/a", folder .. "/b" }))
    for _, part in ipairs { "<h2>Confusion of a</h2>", "x as y: 1 (25.0 %)",
      "<h2>Forecast and truth: Temp &lt;C&gt; of b</h2>", ">told 3 steps before</text>" } do
      assert.matches(part, html, 1, true)
    end
    assert.is_nil(html:find("broken", 1, true))
    assert.matches("<h2>Confusion</h2>", content(assert(saros.report(folder .. "/a"))), 1, true)
    write(folder .. "/a/held_out.json", "[]{")
    assert.is_nil(content(assert(saros.report(folder .. "/a"))):find("<h2>Confusion", 1, true))
  end)

  report_it("has the accuracy of models that choose a label", function(folder)
    write_run(folder, 1)
    assert.is_nil(content(assert(saros.report(folder))):find("<th>accuracy then</th>", 1, true))
    write(folder .. "/metrics.jsonl", [[{"step":1,"loss":1,"accuracy":0.5}
      {"event":"epoch","epoch":1,"step":1,"train":1,"valid":2,"accuracy":0.25}]])
    local html = content(assert(saros.report(folder)))
    assert.matches("<th>accuracy then</th>", html, 1, true)
    assert.matches("<td>0.2500</td>", html, 1, true)
    assert.same({ 0.5 }, data_of(html)[1].windows.accuracy)
  end)

  report_it("takes what there is of a damaged folder", function(folder)
    write(folder .. "/metrics.jsonl", table.concat({
      '{"step": 1, "loss": 2, "extra": {"a": 1}}', "", "not JSON", '{"step": "x"}', "[1]", "null",
      '{"step": 2, "norm": 1e999}', '{"step": 2, "loss": null}', '{"event": "epoch", "step": 2, "train": 1}',
      '{"step": 3, "loss": 1}', '{"step": 2, "loss": 7}',
      '{"event": "rollback", "step": 2, "scale": 0.5}', '{"step": 3, "lo',
    }, "\n"))
    write(folder .. "/config.json", "{")
    write(folder .. "/samples", "a file, not a folder")
    local html = content(assert(saros.report(folder)))
    local run = data_of(html)[1]
    assert.same({ 1, 2 }, run.windows.step)
    assert.same({ 2, 7 }, run.windows.loss)
    assert.same({ saros.null, saros.null }, run.windows.norm)
    assert.same({ 2 }, run.epochs.step)
    assert.matches("There is no config.json.", html, 1, true)
  end)

  report_it("stays small after a long training", function(folder)
    local lines = {}
    for step = 1, 10000 do
      lines[step] = ('{"step":%d,"loss":%d}'):format(step, step % 2)
    end
    write(folder .. "/metrics.jsonl", table.concat(lines, "\n"))
    local html = content(assert(saros.report(folder)))
    local run = data_of(html)[1]
    assert.equal(2000, #run.windows.step)
    assert.same({ 5, 10 }, { run.windows.step[1], run.windows.step[2] })
    assert.near(0.6, run.windows.loss[1], 1e-12)
    assert.matches("Each point is the mean of up to 5 updates.", html, 1, true)
  end)

  report_it("shows any text as text", function(folder)
    local hostile = folder .. "/<!--<script>alert(1)"
    assert(saros.make_folder(hostile .. "/samples"))
    write(hostile .. "/config.json", '{"</td><script>": "</script><script>alert(1)</script>"}')
    write(hostile .. "/samples/<b>.txt", "</pre><script>alert(1)</script>\0\xFF")
    local html = content(assert(saros.report(hostile)))
    assert.is_truthy(utf8.len(html))
    assert.equal(4, select(2, html:gsub("<script", "")))
    assert.equal(4, select(2, html:gsub("</script>", "")))
    assert.matches("&lt;/pre&gt;&lt;script&gt;alert(1)&lt;/script&gt;\u{FFFD}", html, 1, true)
  end)

  report_it("draws its curves in a browser, with the values under the mouse", function(folder)
    write_run(folder, 3)
    local path = assert(saros.report(folder))
    local html = content(path)
    local probe = [[<script>
      log.checked = true;
      log.dispatchEvent(new Event("change"));
      smoothing.value = 0.5;
      smoothing.dispatchEvent(new Event("input"));
      charts[0].chart.setSelection(19);
      document.documentElement.dataset.legend = document.querySelector(".legend").textContent;
      document.documentElement.dataset.charts = charts.length;
    </script></body>]]
    write(path, (html:gsub("</body>", function() return probe end)))
    local dom = rendered(path)
    if not dom then
      return pending "no Chromium here: whether reports run in a browser is not checked"
    end
    local root = dom:match "<html[^>]*>"
    assert.matches('data-state="ready"', root, 1, true)
    assert.is_nil(root:find "data%-error", root)
    assert.matches('data-charts="5"', root, 1, true)
    assert.matches('data%-legend="update 20 *training 0%.2%d+ *validation 0%.5"', root)
    assert.equal(10, select(2, dom:gsub("<canvas", "")))
    assert.equal(5, select(2, dom:gsub('dygraph%-xlabel">update<', "")))
  end)

  it("says what is missing", function()
    with_folder(function(folder)
      local path, message = saros.report(folder, { library = folder })
      assert.is_nil(path)
      assert.matches("^report: expected dygraph.min.js and dygraph.min.css, got .* libjs%-dygraphs: make setup$",
        message)
      write(folder .. "/dygraph.min.js", "")
      write(folder .. "/dygraph.min.css", "")
      path, message = saros.report(folder, { library = folder })
      assert.is_nil(path)
      assert.matches("^report: expected a run folder with metrics.jsonl or config.json, got ", message)
      write_run(folder, 1)
      assert.error_matches(function() saros.report(folder, { path = "x.svg" }) end,
        'report: expected a name that ends in .html or .htm, as it is a page, got "x.svg"', 1, true)
      path, message = saros.report(folder, { library = folder, path = folder .. "/no/such/x.html" })
      assert.is_nil(path)
      assert.matches("no/such", message, 1, true)
    end)
  end)

  it("refuses what is no list of folders", function()
    for _, wrong in ipairs { 3, {}, { 3 }, { {} } } do
      assert.error_matches(function() saros.report(wrong) end,
        "^report: expected a run folder or a list of them, got ")
    end
  end)

  it("can be had by a command", function()
    local output, status = commands.run("examples/report.lua", "no/such/run")
    assert.equal(1, status)
    assert.matches("report: expected .*\n$", output)
  end)
end)
