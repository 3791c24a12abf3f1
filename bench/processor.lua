--- The processor that runs this: its name with the family that it belongs to, so
--- that figures of one are never taken for those of another.

local processor = {}

-- By maker, family and models, as cpuid has them. The last match counts.
local FAMILIES = {
  { "AuthenticAMD", 23, 0, 255, "Zen 2" }, { "AuthenticAMD", 23, 0, 0x2f, "Zen" },
  { "AuthenticAMD", 25, 0, 255, "Zen 3" }, { "AuthenticAMD", 25, 0x10, 0x1f, "Zen 4" },
  { "AuthenticAMD", 25, 0x60, 0x7f, "Zen 4" }, { "AuthenticAMD", 25, 0xa0, 0xaf, "Zen 4" },
  { "AuthenticAMD", 26, 0, 255, "Zen 5" },
  { "GenuineIntel", 6, 60, 63, "Haswell" }, { "GenuineIntel", 6, 79, 79, "Broadwell" },
  { "GenuineIntel", 6, 85, 85, "Skylake" }, { "GenuineIntel", 6, 106, 108, "Ice Lake" },
  { "GenuineIntel", 6, 143, 143, "Sapphire Rapids" }, { "GenuineIntel", 6, 151, 154, "Alder Lake" },
  { "GenuineIntel", 6, 173, 174, "Granite Rapids" }, { "GenuineIntel", 6, 183, 191, "Raptor Lake" },
  { "GenuineIntel", 6, 207, 207, "Emerald Rapids" },
}

-- ARM's own cores, by part.
local PARTS = {
  ["0xd08"] = "Cortex-A72", ["0xd0b"] = "Cortex-A76", ["0xd0c"] = "Neoverse N1", ["0xd40"] = "Neoverse V1",
  ["0xd49"] = "Neoverse N2", ["0xd4f"] = "Neoverse V2", ["0xd84"] = "Neoverse V3",
}

local function family_of(maker, family, model)
  local found
  for _, known in ipairs(FAMILIES) do
    if known[1] == maker and known[2] == family and model >= known[3] and model <= known[4] then
      found = known[5]
    end
  end
  return found
end

--- "Intel(R) Xeon(R) Platinum 8488C CPU @ 2.40GHz" as "Intel Xeon Platinum 8488C".
local function plain(name)
  name = name:gsub("%(%a+%)", ""):gsub("@.*", ""):gsub("%d+%-Core Processor", ""):gsub("%f[%w]CPU%f[%W]", "")
  return (name:gsub("%s+", " "):gsub("^ ", ""):gsub(" $", ""))
end

--- The name in the text of /proc/cpuinfo.
---@param text string
---@return string
function processor.name(text)
  local function field(name)
    return text:match("%f[%C]" .. name .. "%s*: ([^\n]*)")
  end
  local name = field "model name"
  if not name then
    return PARTS[field "CPU part"] or "unknown processor"
  end
  local family = family_of(field "vendor_id", tonumber(field "cpu family"), tonumber(field "model") or 0)
  name = plain(name)
  return family and ("%s (%s)"):format(name, family) or name
end

--- The name of this machine's processor.
---@return string
function processor.here()
  local file = io.open "/proc/cpuinfo"
  if file then
    local text = file:read "a"
    file:close()
    return processor.name(text)
  end
  local pipe = io.popen "sysctl -n machdep.cpu.brand_string 2>&-" -- macOS
  local name = pipe and pipe:read "l"
  return name and plain(name) or "unknown processor"
end

--- A name as one of a file: "AMD EPYC (Zen 5)" as "amd-epyc-zen-5".
---@param name string
---@return string
function processor.file(name)
  return (name:lower():gsub("[^%w]+", "-"):gsub("^%-", ""):gsub("%-$", ""))
end

return processor
