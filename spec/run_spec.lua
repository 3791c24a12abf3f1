-- The runner of all specs: what it counts, and that it names what failed.

local commands = require "spec.support.commands"
local files = require "spec.support.files"

-- What spec/run.sh prints for suites, each a shell command, and its exit status.
local function run(...)
  return commands.shell(("spec/run.sh" .. (" %q"):rep(select("#", ...))):format(...))
end

describe("a run of the specs", function()
  it("adds up what suites report, in busted's words or in those of the C specs", function()
    local output, status = run("echo 3 passed, 0 failed", "echo '4 successes / 0 failures / 0 errors / 0 pending'")
    assert.matches("\n\n7 passed, 0 failed\n$", output)
    assert.equal(0, status)
  end)

  it("counts a suite that ends badly, or says nothing, as a failure", function()
    for _, suite in ipairs { "false", "true" } do
      local output, status = run("echo 3 passed, 0 failed", suite)
      assert.matches("\nfailed: " .. suite .. "\n3 passed, 1 failed\n$", output)
      assert.equal(1, status)
    end
  end)

  it("starts as many at once as it is told", function()
    files.with_folder(function(folder)
      local wait = "cd %s; until test -e b; do sleep 0.01; done; touch a; echo 1 passed, 0 failed"
      local tell = "cd %s; touch b; until test -e a; do sleep 0.01; done; echo 1 passed, 0 failed"
      local output, status = run("-j", "2", wait:format(folder), tell:format(folder))
      assert.matches("\n2 passed, 0 failed\n$", output)
      assert.equal(0, status)
    end)
  end)

  it("runs several at once, a line each, and shows what failed whole", function()
    local output, status = run("-j", "2", "echo out of sight; echo 3 passed, 0 failed",
      "echo seen; echo 1 passed, 1 failed", "echo a report; false")
    for _, part in ipairs { "     3 passed, 0 failed: echo out of sight; ", "\nseen\n1 passed, 1 failed\n",
      "     0 passed, 1 failed: echo a report; false\na report\n== exit status 1 and no failed test" } do
      assert.matches(part, "\n" .. output, 1, true)
    end
    assert.is_nil(output:find "\nout of sight")
    assert.matches("\nfailed: echo seen.*\nfailed: echo a report; false\n4 passed, 2 failed\n$", output)
    assert.equal(1, status)
  end)

  it("names what failed at the end, also of runs within a run", function()
    files.with_folder(function(folder)
      local path = folder .. "/some_spec.lua"
      files.write(path, [[
        describe("one", function()
          it("is two", function() assert.equal(1, 2) end)
          it("is one", function() assert.equal(1, 1) end)
        end)]])
      local busted = commands.interpreter .. " spec/busted.lua " .. path
      local c = "echo 'spec/c/some.c:12: expected 3, got 4'; echo 5 passed, 1 failed"
      local output, status = run(("spec/run.sh '%s' %q"):format(busted, c), "echo 2 passed, 0 failed")
      assert.equal(1, status)
      local named = output:match ".*\n(  failed: .-  failed: .*)$"
      assert.matches("^  failed: [^\n]*\n    Failure %S+ %S+/some_spec.lua @ 2\n      one is two\n  failed: ", named)
      assert.matches("\n    spec/c/some.c:12: expected 3, got 4\n8 passed, 2 failed\n$", named)
    end)
  end)
end)
