-- Runs busted under the interpreter that reads this file:
--   build/saros spec/busted.lua [busted's options] [files or folders]
-- Debian's own `busted` command would run an older Lua without the toolkit.

-- busted asks it only whether to print in colours. Debian installs its C part for
-- one processor, so it is missing under emulation of another.
if not pcall(require, "term") then
  package.loaded["term"] = { isatty = function() return false end }
end

require "busted.runner" { standalone = false }
