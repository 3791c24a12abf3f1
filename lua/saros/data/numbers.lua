--- What stands for a number in a field of a table, and what for none.
---
--- Beside what Lua reads, a number may have white space around it, a minus sign
--- U+2212, groups of thousands, a per cent sign or a currency sign. The sign is a
--- unit: 5% is 5, in per cent, as $5 is 5, in dollars. A comma is the decimal one
--- or stands between thousands; `evidence` tells what a field says about that.

local core = require "saros.core"

local numbers = {}

--- Numbers between -LIMIT and LIMIT are finite, as the elements of tensors, too.
numbers.LIMIT = core.tensor(1e39):all_finite() and math.huge or 0x1.ffffffp127

local LIMIT = numbers.LIMIT

local MISSING = {}
for text in ([[- -- --- . .. ... ? * na n/a n.a. nan null none nil nat missing (null) <na> #n/a #na \n #null! #num!
  #value! #div/0! #ref! #name? 1.#qnan -1.#qnan 1.#ind -1.#ind 1.#snan -nan +nan nan(ind) -nan(ind)]]):gmatch "%S+" do
  MISSING[text] = true
end
for _, text in ipairs { "", "\u{2013}", "\u{2014}", "\u{2212}", "#n/a n/a" } do
  MISSING[text] = true
end

local LONGEST = 12 -- bytes of the longest of these

local SPACES = { "\u{A0}", "\u{202F}", "\u{2007}", "\u{2009}", "\u{200B}", "\u{FEFF}" }
local CURRENCIES = { "$", "\u{20AC}", "\u{A3}", "\u{A5}", "\u{20B9}", "\u{20A9}", "\u{20BD}", "\u{20BA}", "\u{20BF}" }

--- A field without white space around it, and with plain characters for a few
--- others.
---@param text string
---@return string
function numbers.trim(text)
  if text:find "[\x80-\xFF]" then
    for _, space in ipairs(SPACES) do
      text = text:gsub(space, " ")
    end
  end
  local first = text:find "%S"
  return first and text:match("^.*%S", first) or ""
end

--- True if a trimmed field says that there is no value.
---@param text string
---@return boolean
function numbers.is_missing(text)
  return #text <= LONGEST and (MISSING[text] or MISSING[text:lower()]) or false
end

--- A number without its unit, and the unit: "-$5" -> "-5", "$".
local function without_unit(text)
  local bare = text:match "^(.-)%s*%%$"
  if bare then
    return bare, "%"
  end
  for _, sign in ipairs(CURRENCIES) do
    local first, last = text:find(sign, 1, true)
    if first then
      local before, behind = text:sub(1, first - 1), text:sub(last + 1)
      if behind == "" then
        return before:match "^(.-)%s*$", sign
      elseif before:find "^[+-]?%s*$" then
        return before:match "^[+-]?" .. behind:match "^%s*(.*)$", sign
      end
    end
  end
  return text
end

--- A number in front of a unit that is no sign, and the unit: "5.2 km/h" -> "5.2", "km/h"; nil for other text.
---@param text string  trimmed
---@return string? digits, string? unit
function numbers.split_unit(text)
  local digits, unit = text:match "^([+-]?%d[%d.,' ]-)%s*(\xC2?\xB0?%a[%a\u{B2}\u{B3}\u{B0}/%%23]*)$"
  if digits and not digits:find "[.,]$" and not text:find "^[+-]?0[xX]" and not unit:find "^[eE]%d+$" then
    return digits, unit
  end
end

--- Digits without the marks between groups of them; nil if the groups are none.
--- Groups have three digits, but for the first; between commas, two as well (12,34,567).
local function ungrouped(whole, mark)
  local escaped = "%" .. mark
  if not whole:find(mark, 1, true) then
    return whole:find "^%d*$" and whole
  elseif not whole:find("^[1-9]%d?%d?" .. escaped) or not whole:find(escaped .. "%d%d%d$")
    or whole:find(escaped .. (mark == "," and "%d?" or "%d?%d?") .. escaped)
    or whole:find(escaped .. "%d%d%d%d") then
    return nil
  end
  return (whole:gsub(escaped, ""))
end

--- Digits with a decimal mark and marks between thousands as Lua writes them;
--- nil if they are not of this form.
local function plain_of(digits, decimal, thousands)
  local whole, fraction = digits, ""
  local at = digits:find(decimal, 1, true)
  if at then
    whole, fraction = digits:sub(1, at - 1), digits:sub(at + 1)
  end
  whole = ungrouped(whole, thousands)
  if not whole or not fraction:find "^%d*$" or whole .. fraction == "" then
    return nil
  end
  return whole .. (at and "." or "") .. fraction
end

--- The parts of what may be a number: sign, digits with . and ,, exponent and unit.
local function parts_of(text)
  if #text >= 200 or not text:find "%d" then
    return nil
  end
  local bare, unit = without_unit((text:gsub("\u{2212}", "-"):gsub("\u{2019}", "'")))
  local sign, digits, exponent = bare:match "^([+-]?)([%d.,' ]+)([eE]?[+-]?%d*)$"
  if not digits or exponent ~= "" and not exponent:find "^[eE][+-]?%d+$" then
    return nil
  end
  for _, mark in ipairs { " ", "'" } do
    if digits:find(mark, 1, true) then
      local whole, rest = digits:match "^([^.,]*)(.*)$"
      digits = (ungrouped(whole, mark) or "?") .. rest
    end
  end
  if digits:find "^[%d.,]+$" then
    return sign, digits, exponent, unit
  end
end

local OTHER = { ["."] = ",", [","] = "." }

--- What a trimmed field says about the marks of its table: "," or "." if that
--- must be the decimal one; "either" for 1,234; "weak" for 1.234; nil for nothing.
---@param text string
---@return string?
function numbers.evidence(text)
  local _, digits = parts_of(text)
  if not digits or not digits:find "[.,]" then
    return nil
  end
  local point, comma = plain_of(digits, ".", ","), plain_of(digits, ",", ".")
  if point and comma then
    return digits:find(",", 1, true) and "either" or "weak"
  end
  return point and "." or comma and "," or nil
end

--- True if a trimmed field is a number in some way.
---@param text string
---@return boolean
function numbers.looks_like(text)
  local _, digits = parts_of(text)
  return digits ~= nil and (plain_of(digits, ".", ",") or plain_of(digits, ",", ".")) ~= nil
end

--- A function that reads trimmed fields: the number, nil if it is none; and the
--- unit, or why it is none ("either": a comma of unknown meaning; "other": with the other
--- decimal mark it is one; "infinite").
---@param marks { decimal?: string, thousands?: string }  nil: not known
---@return fun(text: string): number?, string?
function numbers.reader(marks)
  local decimal = marks.decimal or "."
  local thousands = marks.thousands or OTHER[decimal]
  return function(text)
    local sign, digits, exponent, unit = parts_of(text)
    local plain = digits and plain_of(digits, decimal, thousands)
    if not plain then
      return nil, digits and plain_of(digits, OTHER[decimal], decimal) and "other" or nil
    elseif not marks.decimal and digits:find(",", 1, true) and plain_of(digits, ",", ".") then
      return nil, "either"
    end
    local value = core.to_number(plain .. exponent)
    if value >= LIMIT then
      return nil, "infinite"
    end
    return sign == "-" and -value or value, unit
  end
end

local TRUTH = { ["true"] = 1, ["false"] = 0 }

--- True and false as 1 and 0.
---@param text string  trimmed
---@return integer?
function numbers.truth(text)
  return TRUTH[text:lower()]
end

return numbers
