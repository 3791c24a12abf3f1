-- Figures in a locale with a decimal comma.

local commands = require "spec.support.commands"
local files = require "spec.support.files"

local NAME = "de_DE.UTF-8"

-- What printed.lua prints, and what it says Lua itself prints.
local function printed(locale, folder)
  local errors = folder .. "/errors"
  local line = "{ LOCPATH='%s' SAROS_PROFILE= %s spec/support/printed.lua %s '%s' 2>'%s'; }"
  local output, status = commands.shell(line:format(folder, commands.interpreter, locale, folder, errors))
  local own = files.read(errors)
  assert(status == 0, own)
  return output, own
end

describe("a decimal comma that the host has set", function()
  it("changes no figure in pictures, reports, tensors, files and messages", function()
    files.with_folder(function(folder)
      -- macOS has the locale; elsewhere it is made from the sources of "locales".
      commands.shell(("localedef -i de_DE -f UTF-8 '%s/%s'"):format(folder, NAME))
      local plain, with_point = printed("C", folder)
      assert(os.execute(("rm -r '%s/run' '%s/past'"):format(folder, folder)))
      local output, with_comma = printed(NAME, folder)
      assert.equal("0.5\n", with_point)
      assert.equal("0,5\n", with_comma)
      assert.equal(plain, output)
    end)
  end)
end)
