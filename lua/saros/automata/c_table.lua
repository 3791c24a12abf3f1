--- Automata as C.

local core = require "saros.core"
local options = require "saros.options"

local FORM = [[
/*
** A finite automaton of %d states that reads tokens 0..%d and gives answers
** 0..%d. It begins in state 0. Made by %s.
*/
#include <stdint.h>

int NAME_step(int *state, int token);

/* By state and token: the next state; %d: the token is not allowed. */
static const uint%d_t NAME_next[%d][%d] = {
%s
};

/* By state: 1 + the answer there; 0: none is asked. */
static const uint%d_t NAME_answers[%d] = {
%s
};

/* Reads a token, and returns the answer behind it. -1, with the state unchanged:
** the token is not allowed. -2: no answer is asked here. */
int NAME_step(int *state, int token) {
  if (token < 0 || token >= %d || NAME_next[*state][token] == %d)
    return -1;
  *state = NAME_next[*state][token];
  return NAME_answers[*state] == 0 ? -2 : NAME_answers[*state] - 1;
}
]]

--- Numbers in lines of at most 80 columns.
local function lines_of(numbers, indent)
  local lines, line = {}, indent
  for _, number in ipairs(numbers) do
    local more = number .. ", "
    if #line + #more > 80 then
      lines[#lines + 1], line = line:gsub(" $", ""), indent
    end
    line = line .. more
  end
  lines[#lines + 1] = line:gsub(", $", "")
  return table.concat(lines, "\n")
end

local function bits_of(most)
  return most < 255 and 8 or most < 65535 and 16 or 32
end

---@param a saros.automata.Automaton
---@param name string
---@return string
return function(a, name)
  if type(name) ~= "string" or not name:find "^[%a_][%w_]*$" then
    options.fail("write_c: expected a name of C, got " .. options.describe(name))
  end
  local bits, rows, answers = bits_of(#a.next), {}, {}
  local none = (1 << bits) - 1
  for state, next in ipairs(a.next) do
    local row = {}
    for token = 1, a.tokens do
      row[token] = next[token] and next[token] - 1 or none
    end
    rows[state], answers[state] = "  {\n" .. lines_of(row, "    ") .. "\n  }", a.told[state] or 0
  end
  local text = FORM:gsub("NAME", name)
  return text:format(#a.next, a.tokens - 1, a.answers - 1, "Saros " .. core.info().version, none, bits, #a.next,
    a.tokens, table.concat(rows, ",\n"), bits_of(a.answers), #a.next, lines_of(answers, "  "), a.tokens, none)
end
