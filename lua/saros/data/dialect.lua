--- How a table is written: its separator, its decimal mark, whether its first
--- record names the columns. It is found in many records, not in one: a separator
--- gives the same number of fields everywhere, a decimal comma stands where no
--- thousands end, and names stand above numbers. What stays open is refused with
--- the option that decides it.

local core = require "saros.core"
local csv = require "saros.data.csv"
local dates = require "saros.data.dates"
local numbers = require "saros.data.numbers"
local problem = require "saros.data.problem"

local dialect = {}

local RECORDS = 1000 -- that are looked at
local TYPED = 100 -- whose numbers count in the choice of the separator
local SEPARATORS = { ",", ";", "\t", "|" }

-- --- The separator ------------------------------------------------------------------------

---@class saros.data.Sample
---@field records string[][]  trimmed fields
---@field counts integer[]  fields of each
---@field lines integer[]  where each begins
---@field common integer  the number of fields that most records have
---@field agreeing integer  records with that number

--- The number of fields that most records have; the first record's, if equally many have it.
local function common_count(counts)
  local frequency, common = {}, counts[1]
  for _, count in ipairs(counts) do
    frequency[count] = (frequency[count] or 0) + 1
  end
  for count, times in pairs(frequency) do
    if times > frequency[common] or times == frequency[common] and common ~= counts[1] and count > common then
      common = count
    end
  end
  return common, frequency[common]
end

--- The first records of a text.
local function sample_of(content, form, name)
  local sample = { records = {}, counts = {}, lines = {} }
  local next_record = csv.records(content, form, name)
  for n = 1, RECORDS do
    local fields, count, line = next_record()
    if not fields then
      break
    end
    local record = {}
    for position = 1, count do
      record[position] = numbers.trim(fields[position])
    end
    sample.records[n], sample.counts[n], sample.lines[n] = record, count, line
  end
  if #sample.counts > 0 then
    sample.common, sample.agreeing = common_count(sample.counts)
  end
  return sample
end

--- True if a field is a number, perhaps with a unit, looks like a date, or is missing.
local function is_typed(text)
  return numbers.is_missing(text) or numbers.looks_like(text) or text:find "^%d+[-/.]%d+[-/.]%d[^,;\t|]*$" ~= nil
    or numbers.looks_like(numbers.split_unit(text) or "")
end

--- The shares of fields that are typed, and of those that are not and have another separator in them.
local function shares_of(sample, separator)
  local typed, crossed, all = 0, 0, 0
  local others = "[" .. table.concat(SEPARATORS):gsub("%" .. separator, "") .. "]"
  for n = 1, math.min(#sample.records, TYPED) do
    for _, text in ipairs(sample.records[n]) do
      all = all + 1
      if is_typed(text) then
        typed = typed + 1
      elseif text:find(others) then
        crossed = crossed + 1
      end
    end
  end
  return typed / math.max(all, 1), crossed / math.max(all, 1)
end

--- The more records agree in the number of their fields, the more fields are numbers or times, and the
--- fewer have another separator in them, the better.
local function score_of(sample, separator)
  if not sample.common or sample.common < 2 then
    return 0
  end
  local typed, crossed = shares_of(sample, separator)
  return sample.agreeing / #sample.counts * (1 + typed) * (1 - crossed)
end

--- True if some field has a separator in quotes.
local function quotes(sample, separator)
  for _, record in ipairs(sample.records) do
    for _, text in ipairs(record) do
      if text:find(separator, 1, true) then
        return true
      end
    end
  end
  return false
end

--- The best separator and the sample that it gives. Without any, a table has one column.
--- A comma that is decimal separates as well only where fields with it are quoted.
local function separate(content, form, name, o)
  local best, most, broken = nil, 0, nil
  for _, separator in ipairs(SEPARATORS) do
    form.separator = separator
    local sample, message = problem.try(sample_of, content, form, name)
    local fits = sample and (separator ~= o.decimal or quotes(sample, separator))
    local score = fits and score_of(sample, separator) or 0
    broken = broken or message
    if score > most then
      best, most = { separator = separator, sample = sample }, score
    end
  end
  if not best and broken then
    problem.raise("%s", broken)
  end
  form.separator = best and best.separator or o.decimal == "," and ";" or ","
  return best and best.sample or sample_of(content, form, name)
end

--- Refuse a table of one column whose fields would be several numbers apart by blanks.
local function refuse_blanks(sample, name)
  local several = 0
  for n, record in ipairs(sample.records) do
    local count, typed = 0, 0
    for word in record[1]:gmatch "%S+" do
      count, typed = count + 1, typed + (numbers.looks_like(word) and 1 or 0)
    end
    several = several + (n > 1 and count > 1 and typed * 2 > count and 1 or 0)
  end
  if sample.common == 1 and several > 0 and several >= #sample.records - 1 then
    problem.raise("%s: expected a separator among , ; | and tabs, got fields apart by blanks; "
      .. "separator = \" \" reads them, and thousands = \" \" numbers with blanks in them", name)
  end
end

--- Records before a table have other numbers of fields than most.
local function refuse_preamble(sample, form, name)
  local first, counts, n = sample.counts[1], sample.counts, 1
  if not first or first == sample.common then
    return
  end
  while counts[n] ~= sample.common do
    n = n + 1
  end
  local line, got = sample.lines[n], table.concat(sample.records[n], form.separator)
  local hint = ("skip = %d leaves out the lines before line %d"):format(line - 1, line)
  local mark = sample.records[1][1]:match "^[#%%!;/]+"
  hint = mark and ("comment = %q leaves out lines that begin with it, "):format(mark) .. hint or hint
  if sample.records[n][sample.common] == "" then
    hint = hint .. "; or lines end in a separator that the first one lacks"
  elseif form.separator == "," and first < sample.common and got:find "%d,%d" then
    hint = hint .. ("; if a comma in %s is a decimal one and no separator, decimal = \",\" says so"):format(got)
  end
  problem.raise("%s, line %d: expected %d fields, as in line %d and most others, got %d; %s",
    name, sample.lines[1], sample.common, line, first, hint)
end

-- --- What the columns hold -----------------------------------------------------------------

local function are_truth(texts)
  for _, text in ipairs(texts) do
    if not numbers.truth(text) then
      return false
    end
  end
  return true
end

--- True if all are numbers with one unit.
local function has_unit(texts)
  local _, unit = numbers.split_unit(texts[1])
  for _, text in ipairs(texts) do
    if not unit or select(2, numbers.split_unit(text)) ~= unit then
      return false
    end
  end
  return true
end

--- What most fields of a column behind the first record are: "number", "time", "truth" or
--- "text"; nil where all are missing.
local function kind_of(sample, position, missing)
  local number, text, texts = 0, 0, {}
  for n = 2, #sample.records do
    local field = sample.records[n][position]
    if field and not (numbers.is_missing(field) or missing[field]) then
      local is_number = numbers.looks_like(field)
      number, text = number + (is_number and 1 or 0), text + (is_number and 0 or 1)
      texts[#texts + 1] = not is_number and #texts < 20 and field or nil
    end
  end
  if number + text == 0 then
    return nil
  elseif number == 0 and has_unit(texts) then
    return "number"
  end
  if number < text and are_truth(texts) then
    return "truth"
  end
  return number >= text and "number" or #dates.fitting(texts, #texts // 2) > 0 and "time" or "text"
end

local function kinds_of(sample, missing)
  local kinds = {}
  for position = 1, sample.common or 0 do
    kinds[position] = kind_of(sample, position, missing) or "nothing"
  end
  return kinds
end

local function is_year(value)
  return math.type(value) == "integer" and value >= 1800 and value <= 2100
end

--- True if whole numbers rise by one step, as names of columns do. Of two, which always have one
--- step, only 0, 1 or 1, 2 or years are taken for names.
local function count_up(list)
  for n, value in ipairs(list) do
    local step = n > 1 and math.type(value) == "integer" and value - list[n - 1]
    if math.type(value) ~= "integer" or n > 1 and (step <= 0 or step ~= list[2] - list[1]) then
      return false
    end
  end
  return #list > 2 or #list == 2 and (list[2] == list[1] + 1 and list[1] >= 0 and list[1] <= 1
    or is_year(list[1]) and is_year(list[2]))
end

--- True if most numbers of some columns are years, too.
local function hold_years(sample, positions)
  local years, all = 0, 0
  for n = 2, #sample.records do
    for _, position in ipairs(positions) do
      all, years = all + 1, years + (is_year(core.to_number(sample.records[n][position] or "")) and 1 or 0)
    end
  end
  return all == 0 or years * 2 > all
end

--- True if a field of the first record comes again in a column of text, so that it is no name.
local function comes_again(sample, kinds)
  for position, kind in ipairs(kinds) do
    for n = 2, kind == "text" and #sample.records or 1 do
      if sample.records[n][position] == sample.records[1][position] then
        return true
      end
    end
  end
  return false
end

--- True if the first column has no name and counts the rows.
local function has_index(sample)
  for n = 2, #sample.records do
    local before = core.to_number(sample.records[n - 1][1] or "")
    local value = core.to_number(sample.records[n][1] or "")
    if math.type(value) ~= "integer" or value ~= (before or value) + 1 and (n > 2 or value > 1 or value < 0) then
      return false
    end
  end
  return sample.records[1][1] == "" and #sample.records > 1
end

--- True if a field may stand in a column of a kind.
local function fits(text, kind)
  return numbers.is_missing(text) or kind == "number" and numbers.looks_like(numbers.split_unit(text) or text)
    or kind == "time" and #dates.fitting { text } > 0 or kind == "truth" and numbers.truth(text) ~= nil
end

local TYPED_KINDS = { number = true, time = true, truth = true }

--- True if the first record names the columns: it has text above numbers, times, or true and false.
--- Numbers may be names, too, if they count up beside text, or are years above
--- what is none.
local function find_header(sample, kinds, name)
  local first, named, values, above, typed = sample.records[1], nil, {}, {}, false
  for position, kind in ipairs(kinds) do
    local text = first[position]
    typed = typed or TYPED_KINDS[kind]
    if numbers.looks_like(text) then
      values[#values + 1], above[#above + 1] = core.to_number(text) or text, position
    elseif TYPED_KINDS[kind] and not fits(text, kind) then
      named = named or position
    end
  end
  local are_years = count_up(values) and is_year(values[1]) and is_year(values[#values])
    and not hold_years(sample, above)
  if #values == 0 then
    return named ~= nil or #sample.records == 1
      or (not typed or has_index(sample)) and not comes_again(sample, kinds)
  elseif not named or are_years or count_up(values) then
    return are_years or named ~= nil
  end
  problem.raise("%s, line %d: expected names of columns or numbers in the first line, got both (%s, %s); "
    .. "header = true or false says which they are", name, sample.lines[1], first[named], first[above[1]])
end

--- What the points in a column may be: a field such as 1.234, a whole number of at most three digits, and
--- whether a longer one shows that thousands have no marks.
local function thousands_in(sample, position, first)
  local weak, short, long
  for n = first, #sample.records do
    local text = sample.records[n][position] or ""
    weak = weak or numbers.evidence(text) == "weak" and n
    short = short or text:find "^[+-]?[1-9]%d?%d?$" and text
    long = long or text:find "^[+-]?%d%d%d%d+$" ~= nil
  end
  return weak, short, long
end

--- Refuse a column with 1.234 beside 567, as German numbers are written, where nothing says which it is.
local function refuse_points(sample, kinds, first, name)
  for position, kind in ipairs(kinds) do
    local weak, short, long = thousands_in(sample, position, first)
    if kind == "number" and weak and short and not long then
      local text = sample.records[weak][position]
      problem.raise("%s, line %d, column %d: expected a number, got %s beside %s, so its point may stand behind "
        .. "thousands; it is %s with thousands = \".\" and %s with decimal = \".\"; one of these options says which",
        name, sample.lines[weak], position, text, short, (text:gsub("%.", "")), text)
    end
  end
end

--- What a field, with a unit or without, says of the decimal mark.
local function evidence_of(text)
  return numbers.evidence(numbers.split_unit(text) or text)
end

--- The decimal mark that numbers of the table prove; nil where none does.
local function find_decimal(sample, kinds, form, name)
  local count = { [","] = 0, ["."] = 0, either = 0, weak = 0 }
  local first = form.header and 2 or 1
  for n = first, #sample.records do
    for position, kind in ipairs(kinds) do
      local says = kind == "number" and evidence_of(sample.records[n][position] or "")
      if says then
        count[says] = count[says] + 1
      end
    end
  end
  if count[","] == 0 and count["."] == 0 then
    if count.weak > 0 and not form.thousands then
      refuse_points(sample, kinds, first, name)
    end
    return nil
  end
  return count[","] > count["."] and "," or "."
end

--- Refuse two columns without names of which the second may be the decimals of the first: 3,50 and 12,05.
local function refuse_decimals(sample, form, name)
  local zero, digits = nil, #(sample.records[1][2] or "")
  for n, record in ipairs(sample.records) do
    if not record[1]:find "^[+-]?%d+$" or not (record[2] or ""):find "^%d%d+$" or #record[2] ~= digits then
      return
    end
    zero = zero or record[2]:find "^0" and n
  end
  if form.separator == "," and not form.header and sample.common == 2 and zero then
    problem.raise("%s, line %d: expected two columns or numbers with decimal commas, got %s; decimal = \",\" or "
      .. "separator = \",\" says which", name, sample.lines[zero], table.concat(sample.records[zero], ","))
  end
end

-- --- All of it --------------------------------------------------------------------------------

--- Blanks between fields as one tab, for which it is read.
local function with_tabs(content)
  return (("\n" .. content):gsub("[ \t]+%f[\r\n\0]", ""):gsub("\n[ \t]+", "\n"):gsub("[ \t]+", "\t"):sub(2))
end

--- Where a table begins behind `skip` lines and a line sep=; as Excel has it: the byte, the lines before it,
--- and the separator of that line.
local function begin(content, skip)
  local first, line = 1, 0
  while line < skip and first <= #content do
    first, line = (content:find("\n", first, true) or #content) + 1, line + 1
  end
  local separator, behind = content:match('^"?[sS][eE][pP]=([^\r\n])"?\r?\n()', first)
  return behind or first, line + (behind and 1 or 0), separator
end

---@class saros.data.DialectOptions
---@field separator? string  (what gives all records the same number of fields: , ; tab or |)
---@field header? boolean  (names above numbers)
---@field decimal? "."|","  (what the numbers prove)
---@field thousands? string  between groups of digits (the other one of . and ,)
---@field comment? string  lines that begin with it are left out
---@field skip? integer  lines before the table (0)

--- Find out how a table is written. Returns its text, which differs only where
--- blanks are its separator, and the first record that names columns, or is one.
---@param content string
---@param name string  of the file
---@param o saros.data.DialectOptions
---@param missing table<string, any>  texts that say that there is no value
---@return string content, saros.data.Dialect dialect, string[] first
function dialect.of(content, name, o, missing)
  if o.decimal and o.decimal == o.thousands then
    problem.raise("%s: expected decimal and thousands to differ, got %q for both", name, o.decimal)
  end
  local first, line, separator = begin(content, o.skip or 0)
  separator = o.separator or separator
  if separator == " " then
    content, separator = content:sub(1, first - 1) .. with_tabs(content:sub(first)), "\t"
  end
  local form = { separator = separator, first = first, line = line, comment = o.comment }
  local sample = separator and sample_of(content, form, name) or separate(content, form, name, o)
  if #sample.records == 0 then
    problem.raise("%s: expected a table, got nothing", name)
  end
  if not separator and o.thousands ~= " " then
    refuse_blanks(sample, name)
  end
  refuse_preamble(sample, form, name)
  local kinds = kinds_of(sample, missing)
  form.header = o.header
  if form.header == nil then
    form.header = find_header(sample, kinds, name)
  end
  form.decimal, form.thousands = o.decimal, o.thousands
  if not form.decimal then
    form.decimal = o.thousands == "," and "." or o.thousands == "." and "," or find_decimal(sample, kinds, form, name)
  end
  if not separator and not o.decimal then
    refuse_decimals(sample, form, name)
  end
  return content, form, sample.records[1]
end

return dialect
