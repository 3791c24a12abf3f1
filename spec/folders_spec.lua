-- The folders of the C source: what each may include, and how its names begin.

local commands = require "spec.support.commands"
local files = require "spec.support.files"
local sources = require "spec.support.sources"

-- The folders of the core, each on top of those before it in its list.
local BELOW = {
  base = {},
  tensor = { "base" },
  tape = { "base", "tensor" },
  math = { "base" },
  op = { "base", "tensor", "tape", "math" },
  recurrent = { "base", "tensor", "tape", "math", "op" },
  program = { "base", "tensor", "tape", "math", "op", "recurrent" },
  session = { "base", "tensor", "tape", "math", "op", "recurrent", "program", "file" },
  file = { "base", "tensor" },
  text = { "base", "tensor", "file" },
  cells = { "base", "tensor", "tape", "math", "op", "recurrent", "program", "session", "file" },
}

-- How the symbols of a folder begin that other files see, beside saros_.
local PREFIXES = {
  base = { "base", "pool", "team", "array", "profile" },
  math = { "product" },
  kernel = { "kernel" },
  lua = { "bind", "luaopen" },
  cells = { "recurrent", "cell" },
  program = { "program", "loop" },
}

-- How types, enumerators and macros of headers begin, beside the prefixes above. Each word
-- belongs to one folder, so two headers never define the same name.
local WORDS = {
  base = { "try" },
  recurrent = { "r", "recurrence" },
  program = { "node", "at", "number", "attribute" },
  kernel = { "real", "kernels", "packed", "unary", "binary", "step", "loss", "ctc", "crf", "attention", "finite",
    "delta", "square" },
  lua = { "binding" },
}

local function lines_of(command)
  local output, status = commands.shell(command)
  assert.equal(0, status, output)
  return output:gmatch "[^\n]+"
end

-- The folder of each file below src, by its base name, which only it has.
local function folders()
  local folder = {}
  for path in lines_of "find src -name '*.[ch]'" do
    local place, name = path:match "([^/]+)/([^/]+)$"
    assert.is_nil(folder[name], name .. " is there twice")
    folder[name] = place
  end
  return folder
end

-- The first words that names of a folder may have, as keys.
local function words_of(place)
  local words = {}
  for _, list in ipairs { PREFIXES[place] or { place }, WORDS[place] or {} } do
    for _, word in ipairs(list) do
      words[word] = true
    end
  end
  return words
end

-- True if a name that a header defines is one of its folder's. Types of functions of kernels
-- end in the word, and the files of kernels alone see the functions in their headers.
local function is_named(definition, place, header)
  local name = definition.name
  return words_of(place)[(name:match "^%a%w*" or ""):lower()]
    or definition.kind == "type" and name:find "^saros_"
    or name == header:upper() .. "_H"
    or place == "kernel" and (definition.kind == "function" or name:find "_kernels$")
end

describe("the folders of the C source", function()
  it("include what lies below them, and hold each name of a file once", function()
    local folder, wrong = folders(), {}
    for line in lines_of "grep -rn '#include \"' src/core" do
      local place, name, included = line:match '(%w+)/([^/:]+):%d+:.*"(.-)"'
      local from = assert(folder[included], included)
      local allowed = " kernel src " .. place .. " " .. table.concat(BELOW[place], " ") .. " "
      if not allowed:find(" " .. from .. " ", 1, true) then
        wrong[#wrong + 1] = ("%s/%s includes %s"):format(place, name, included)
      end
    end
    assert.same({}, wrong)
  end)

  it("give their prefix to whatever other files see", function()
    local build, folder, wrong, seen = commands.interpreter:match "^(.*)/[^/]*$", folders(), {}, 0
    local objects = ("find '%s/core' '%s/kernel' '%s/lua' -name '*.o'"):format(build, build, build)
    for line in lines_of(objects .. " | xargs nm -A") do
      local place, file, kind, name = line:match "(%w+)/([%w_]+)%.o:%x+ (%u) _?([%w_]+)$"
      place = line:find "/kernel/" and "kernel" or place
      local is_seen = kind and ("TDRBSC"):find(kind, 1, true) and not name:find "^saros_"
      if is_seen and folder[file .. ".c"] == place then -- no object of a file that has moved
        local known = PREFIXES[place] or { place }
        seen = seen + 1
        if not (" " .. table.concat(known, " ") .. " "):find(" " .. (name:match "^(%a%w*)_" or "") .. " ", 1, true) then
          wrong[#wrong + 1] = line
        end
      end
    end
    assert.same({}, wrong)
    assert.is_true(seen > 100)
  end)

  it("give their words to what their headers define", function()
    local wrong, seen = {}, 0
    for path in lines_of "find src/core src/kernel src/lua -name '*.h'" do
      local place, header = path:match "([^/]+)/([^/]+)%.h$"
      for _, definition in ipairs(sources.definitions(files.read(path))) do
        seen = seen + 1
        if not is_named(definition, place, header) then
          wrong[#wrong + 1] = ("%s: %s %s"):format(path, definition.kind, definition.name)
        end
      end
    end
    assert.same({}, wrong)
    assert.is_true(seen > 400, seen)
  end)

  it("share no word", function()
    local owner = {}
    for _, place in ipairs { "base", "tensor", "tape", "math", "op", "recurrent", "program", "session", "file", "text",
      "kernel", "lua" } do
      for word in pairs(words_of(place)) do
        assert.is_nil(owner[word], ("%s: %s and %s"):format(word, place, owner[word]))
        owner[word] = place
      end
    end
  end)

  it("are seen to define every kind of name", function()
    local found = {}
    for _, definition in ipairs(sources.definitions [[
#ifndef A_H  /* #define NOT_THIS 1 */
#define A_H
#define A_MACRO(x) \
  do { x; } while (0)
enum { A_ONE = 1, A_TWO };  // A_NOT
typedef enum a_kind { A_THREE, A_FOUR = A_ONE } a_kind;
typedef struct a_list {
  struct a_other *next;
  int x[A_TWO];
} a_list;
typedef struct a_opaque a_opaque;
struct a_body { int x; };
typedef void a_step(int x, const a_list *l);
typedef int (*a_hook)(void *user);
typedef float a_lanes __attribute__((vector_size(32), may_alias));
static inline int a_double(int x) {
  return x * 2;
}
const char *a_declared(void);
#endif
]]) do
      found[definition.name] = definition.kind
    end
    assert.same({
      A_H = "macro", A_MACRO = "macro", A_ONE = "enumerator", A_TWO = "enumerator", A_THREE = "enumerator",
      A_FOUR = "enumerator", a_kind = "type", a_list = "type", a_opaque = "type", a_body = "type", a_step = "type",
      a_hook = "type", a_lanes = "type", a_double = "function",
    }, found)
  end)
end)
