-- The pages of docs/guide do what they say: their blocks are files and commands, run in
-- order in a fresh folder, and print what stands below them.
--
--   ```lua with a first line "-- name.lua", ```c with "// name.c": a file
--   ```sh: commands
--   ``` behind commands: what they print; "..." stands for anything in a line

local commands = require "spec.support.commands"
local files = require "spec.support.files"
local saros = require "saros"

local lfs = require "lfs"
local is_double = saros.info().real == "double"

-- The folder of the interpreter that runs this, from the root.
local function build_folder()
  local path = commands.interpreter:match "^(.*)/[^/]*$" or "."
  return path:find "^/" and path or lfs.currentdir() .. "/" .. path
end

-- Blocks { kind, text, line } of a page.
local function blocks_of(page)
  local blocks, block, number = {}, nil, 0
  for line in (files.read(page):gsub("\n?$", "\n")):gmatch "([^\n]*)\n" do
    number = number + 1
    local kind = line:match "^```(.*)$"
    if kind and block then
      block = nil
    elseif kind then
      block = { kind = kind, lines = {}, at = ("%s:%d"):format(page, number) }
      blocks[#blocks + 1] = block
    elseif block then
      table.insert(block.lines, line)
    end
  end
  assert.is_nil(block, "a block without an end")
  return blocks
end

-- True if a line is what the page shows.
local function matches(shown, line)
  local pattern = shown:gsub("[%^%$%(%)%%%.%[%]%*%+%-%?]", "%%%0"):gsub("%%%.%%%.%%%.", ".*")
  return line:find("^" .. pattern .. "$") ~= nil
end

local function assert_printed(block, output)
  local shown, count = block.lines, 0
  for line in output:gsub("\n?$", "\n"):gmatch "([^\n]*)\n" do
    count = count + 1
    assert(shown[count] and matches(shown[count], line), ("%s: expected line %d to be %s, got %s, in\n%s"):format(
      block.at, count, shown[count] or "absent", line, output))
  end
  assert.equal(#shown, count, block.at .. ": lines of\n" .. output)
end

local function write(folder, block)
  local text = table.concat(block.lines, "\n") .. "\n"
  local name = assert(text:match "^%-%- (%S+)\n" or text:match "^// (%S+)\n", block.at .. ": expected a file name")
  if is_double and block.kind == "c" then -- the files of this build compute in double
    text = text:gsub("float", "double"):gsub('scanf%("%%f"', 'scanf("%%lf"')
  end
  files.write(folder .. "/" .. name, text)
end

-- Runs the blocks; the counts of files, commands and outputs.
local function run(page, folder)
  local counts, output = { lua = 0, c = 0, sh = 0, [""] = 0 }, nil
  for _, block in ipairs(blocks_of(page)) do
    counts[block.kind] = assert(counts[block.kind], block.at .. ": a block of an unknown kind") + 1
    if block.kind == "sh" then
      local status
      files.write(folder .. "/commands", "set -e\n" .. table.concat(block.lines, "\n"))
      output, status = commands.shell(("cd '%s' && PATH='%s':$PATH sh commands"):format(folder, build_folder()))
      assert(status == 0, block.at .. ": " .. output)
    elseif block.kind == "" then
      assert_printed(block, assert(output, block.at .. ": nothing has been run"))
      output = nil
    else
      write(folder, block)
    end
  end
  return counts
end

describe("a page of the guide", function()
  local count = 0
  for name in lfs.dir "docs/guide" do
    if name:find "%.md$" then
      count = count + 1
      it("does what it says: " .. name, function()
        files.with_folder(function(folder)
          local counts = run("docs/guide/" .. name, folder)
          assert.is_true(counts.lua > 0 and counts.sh > 0 and counts[""] > 0)
        end)
      end)
    end
  end

  it("shows pictures that are there", function()
    local shown = 0
    for name in lfs.dir "docs/guide" do
      for path in (name:find "%.md$" and files.read("docs/guide/" .. name) or ""):gmatch "!%[[^%]]*%]%(([^)]+)%)" do
        shown = shown + 1
        assert.matches("^<svg ", files.read("docs/guide/" .. path))
      end
    end
    assert.is_true(shown > 0)
  end)

  it("is there", function()
    assert.is_true(count > 0)
  end)

  it("has an output compared line by line", function()
    assert.is_true(matches("off by ...: well", "off by 1e-8: well"))
    assert.is_false(matches("off by ...: well", "off by 1e-8: WRONG"))
    assert.is_false(matches("a+", "aa"))
  end)
end)
