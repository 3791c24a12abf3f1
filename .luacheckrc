std = "lua54"
max_line_length = 120
include_files = { "**/*.lua", "*.rockspec" }
exclude_files = { "build" }
files["lua/saros/meta"] = { ignore = { "1", "2", "6" } } -- declarations without code
files["spec"] = { std = "+busted" }
files["*.rockspec"] = { std = "rockspec" }
