-- Tunes in ABC notation, for examples/tunes.lua: a reader that says whether one
-- is well-formed, and simple made-up ones where there is no file at hand.

local abc = {}

-- What may stand in a tune beside its notes: bar lines, and marks without a length.
local BARS = { "^:?|[|:%]]*%s*%[[1-9]", "^:?|[|:%]]*%s*[1-9]?", "^::", "^%[|" }
local MARKS = { "^%s+", '^"[^"\n]*"', "^%b{}", "^[-~.()<>\\!vuTHL]", "^%[[1-9]" }
local NOTE = "^[_^=]*[A-Ga-gxz][,']*(%d*)(/*)(%d*)()"

local function first_match(patterns, text, at)
  for _, pattern in ipairs(patterns) do
    local _, last = text:find(pattern, at)
    if last then
      return last + 1
    end
  end
end

-- The length of a note or chord, in units, and where it ends.
local function note_at(text, at)
  local chord, behind = text:match("^%[([^%]|\n]+)%]()", at)
  local times, slashes, parts, stop = (chord or text):match(NOTE, chord and 1 or at)
  if not times then
    return nil
  end
  local divisor = tonumber(parts) or 2 ^ #slashes
  return (tonumber(times) or 1) / (slashes == "" and 1 or divisor), behind or stop
end

-- The lengths of all bars in units; nil and the character that makes no sense.
local function bars_of(body)
  local bars, length, at, left = {}, 0, 1, 0 -- left: notes of a triplet to come
  while at <= #body do
    local stop = first_match(BARS, body, at)
    local tuplet, behind = body:match("^%(([2-9])[:%d]*()", at)
    if stop then
      bars[#bars + 1], length = length > 0 and length or nil, 0
    elseif tuplet then
      left, stop = tuplet == "3" and 3 or 0, behind
    else
      local note
      note, stop = note_at(body, at)
      length = length + (note and left > 0 and note * 2 / 3 or note or 0)
      left = note and math.max(0, left - 1) or left
    end
    at = stop or first_match(MARKS, body, at)
    if not at then
      return nil, body
    end
  end
  return bars, length
end

-- How many bars a tune has, and how many of them are as long as its meter says;
-- or nil and what is wrong with it.
function abc.bars(tune)
  local head, body = tune:match "^(.-%f[^\n\0]K:[^\n]+)\n(.+)$"
  if not (head and head:find "^X:%d+\n") then
    return nil, "expected X: first and K: before the notes"
  end
  for line in head:gmatch "[^\n]+" do
    if not line:find "^%a:" then
      return nil, "expected fields before K:, got " .. line
    end
  end
  local bars, rest = bars_of((body:gsub("%f[^\n\0]%a:[^\n]*", "")))
  if not bars then
    return nil, "expected notes and bar lines behind K:"
  elseif #bars < 4 or rest > 0 then
    return nil, "expected at least 4 bars, and a bar line at the end"
  end
  local beats, beat = head:match "\nM:%s*(%d+)/(%d+)"
  local unit = tonumber(head:match "\nL:%s*1/(%d+)") or 8
  local whole, full = (tonumber(beats) or 4) / (tonumber(beat) or 4) * unit, 0
  for _, length in ipairs(bars) do
    full = full + (math.abs(length - whole) < 1e-6 and 1 or 0)
  end
  return #bars, full
end

local CHORDS = { "GBd", "Ace", "DFA", "CEG" }
local RHYTHMS = { { 2, 1, 1, 2, 2 }, { 1, 1, 2, 1, 1, 2 }, { 2, 2, 2, 2 }, { 3, 1, 2, 2 } }

local function bar(generator, chord)
  local notes = {}
  for n, length in ipairs(RHYTHMS[generator:integer(#RHYTHMS)]) do
    local place = generator:integer(#chord)
    notes[n] = chord:sub(place, place) .. (length > 1 and length or "")
  end
  return table.concat(notes)
end

-- A list of tunes of two parts, each of four bars.
function abc.made_up(generator, count)
  local tunes = {}
  for number = 1, count do
    local parts = {}
    for part = 1, 2 do
      local bars = {}
      for n = 1, 3 do
        bars[n] = bar(generator, CHORDS[generator:integer(#CHORDS)])
      end
      parts[part] = table.concat(bars, "|") .. "|" .. bar(generator, CHORDS[1]) .. ":|"
    end
    tunes[number] = ("X:1\nT:Tune %d\nM:4/4\nL:1/8\nK:G\n%s"):format(number, table.concat(parts, "\n"))
  end
  return tunes
end

return abc
