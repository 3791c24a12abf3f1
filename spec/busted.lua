-- Runs busted under the interpreter that reads this file:
--   build/saros spec/busted.lua [busted's options] [files or folders]
-- Debian's own `busted` command would run an older Lua without the toolkit.

require "busted.runner" { standalone = false }
