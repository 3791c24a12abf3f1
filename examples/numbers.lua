-- Options that are numbers, for the command lines of the examples: who mistypes
-- one reads which, and what was expected.

local numbers = {}

local function option(parser, name, description, expected, fits)
  return parser:option(name, description):convert(function(word)
    local number = tonumber(word)
    if number and fits(number) then
      return math.tointeger(number) or number
    end
    return nil, ("%s: expected %s, got '%s'"):format(name, expected, word)
  end)
end

-- An option of a parser that is a whole number, and at least so large, or 1.
function numbers.whole(parser, name, description, least)
  least = least or 1
  return option(parser, name, description, ("a whole number, %d or more"):format(least), function(number)
    return math.tointeger(number) and number >= least
  end)
end

-- One that is any number from 0 on.
function numbers.real(parser, name, description)
  return option(parser, name, description, "a number, 0 or more", function(number)
    return number >= 0 and number < math.huge
  end)
end

-- One above 0, such as a learning rate.
function numbers.positive(parser, name, description)
  return option(parser, name, description, "a number above 0", function(number)
    return number > 0 and number < math.huge
  end)
end

-- One from 0 on, but below 1.
function numbers.fraction(parser, name, description)
  return option(parser, name, description, "a number from 0 on and below 1", function(number)
    return number >= 0 and number < 1
  end)
end

-- One above 0 and up to 1.
function numbers.share(parser, name, description)
  return option(parser, name, description, "a number above 0, 1 at most", function(number)
    return number > 0 and number <= 1
  end)
end

return numbers
