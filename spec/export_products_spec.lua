-- The products of a C file, for each kind of registers, beside plain loops: those of whole
-- numbers are the same bits.

local c = require "spec.support.c_files"
local files = require "spec.support.files"
local saros = require "saros"
local nn = saros.nn

-- Inputs and outputs: blocks of every loop with and without a rest, and rows whose sums
-- do not fit into 32 bits.
local SHAPES = { { 1, 1 }, { 3, 5 }, { 7, 8 }, { 64, 4 }, { 67, 9 }, { 130, 16 }, { 512, 7 }, { 1100, 13 } }

-- What makes a file use registers of 16 bytes, those of AVX2, and the widest that there are.
local REGISTERS = {
  "#define %s_PLAIN\n",
  "#if defined(__GNUC__) && defined(__x86_64__)\n#define %s_WIDE __attribute__((target(\"avx2,fma\")))\n#endif\n",
  "",
}

local INCLUDE = '%s#include "%s.c"\n'

-- The products are asked for with the largest weights and numbers, with others, and with
-- numbers that are not finite.
local CHECK = {
  int8 = [[
static int check_$name(void) {
  static int16_t whole[$k];
  static float x[$k], y[$n];
  int wrong = 0;
  for (int round = 0; round < 6; round++) {
    float largest = 0;
    for (int j = 0; j < $k; j++) {
      x[j] = round == 0 ? 1 : round == 1 ? 0 : (float)((j * 37 + round) % 101) / 50 - 1;
      x[j] = round == 3 && j == $k - 1 ? NAN : round == 4 && j == 0 ? INFINITY : x[j];
      largest = fabsf(x[j]) > largest ? fabsf(x[j]) : largest;
    }
    $name_affine_int8(y, $weights, $name_0_weight_scale, $name_0_bias, x, whole, $n, $k);
    for (int i = 0; i < $n; i++) {
      float expected = 0;
      if (round == 3 || round == 4) {
        for (int j = 0; j < $k; j++)
          expected += (float)$weights[i * $k + j] * x[j];
        expected *= $name_0_weight_scale[i];
      } else {
        for (int from = 0; from < $k; from += 512) {
          int64_t sum = 0;
          for (int j = from; j < $k && j < from + 512; j++) {
            const float inverse = largest < 1e-30f ? 0 : 32766 / largest;
            sum += $weights[i * $k + j] * ((int)(x[j] * inverse + 32768.5f) - 32768);
          }
          expected += (float)sum;
        }
        expected *= $name_0_weight_scale[i] * (largest < 1e-30f ? 0 : largest / 32766);
      }
      expected += $name_0_bias[i];
      wrong += !(y[i] == expected || (y[i] != y[i] && expected != expected));
    }
  }
  return wrong;
}
]],
  real = [[
static int check_$name(void) {
  static $real x[$k], y[$n];
  int wrong = 0;
  for (int j = 0; j < $k; j++)
    x[j] = ($real)((j * 37) % 101) / 50 - 1;
  $name_affine(y, $weights, $name_0_bias, x, $n, $k);
  for (int i = 0; i < $n; i++) {
    double expected = $name_0_bias[i], size = 1;
    for (int j = 0; j < $k; j++) {
      expected += (double)$weights[i * $k + j] * x[j];
      size += fabs((double)$weights[i * $k + j] * x[j]);
    }
    wrong += !(fabs(y[i] - expected) <= $bound * size);
  }
  return wrong;
}
]],
}

-- A program that checks all shapes with one kind of registers, in the folder.
local function write_all(folder, weights, registers)
  local parts, calls = {}, {}
  for n, shape in ipairs(SHAPES) do
    local name = "m" .. n
    local model = nn.chain { nn.linear { shape[1], shape[2] } }:init { seed = n }
    model.steps[1].weight:select(1, 1):fill(0.5) -- all of them are the largest
    assert(saros.export_c(model, ("%s/%s.c"):format(folder, name), { name = name, weights = weights }))
    parts[#parts + 1] = INCLUDE:format(registers:gsub("%%s", name:upper()), name)
    local kept = shape[2] <= 4 and "real" or weights -- so few outputs are exact
    parts[#parts + 1] = CHECK[kept]:gsub("%$(%a+)", { name = name, k = shape[1], n = shape[2], real = c.REAL,
      weights = name .. "_0_weight", bound = c.is_double and "1e-14" or "1e-6" })
    calls[n] = ("  wrong += check_%s();\n"):format(name)
  end
  files.write(folder .. "/all.c", ("%s#include <stdio.h>\nint main(void) {\n  int wrong = 0;\n%s"
    .. "  printf(\"%%d wrong\\n\", wrong);\n  return wrong != 0;\n}\n"):format(table.concat(parts),
    table.concat(calls)))
end

local function check_all(weights, flags)
  for _, registers in ipairs(REGISTERS) do
    files.with_folder(function(folder)
      write_all(folder, weights, registers)
      for _, compiler in ipairs(c.COMPILERS) do
        c.succeed("cd '%s' && %s %s %s all.c -o all -lm && ./all", folder, compiler, c.FLAGS, flags)
      end
    end)
  end
end

describe("the products of a C file", function()
  it("of whole numbers are exact, whatever registers a machine has", function()
    if not c.is_double then -- where they are sums in double precision
      check_all("int8", "-O2 -ffp-contract=off")
    end
  end)

  it("of numbers agree with sums in double precision", function()
    check_all("real", "-O2")
  end)
end)

describe("the norms of a C file", function()
  it("tell values apart that hardly differ", function()
    local x = saros.generator(1):normal { 12, 96 }
    x:slice(1, 1, 6):assign(x:slice(1, 1, 6) + 1000)
    for _, norm in ipairs { nn.layer_norm { 96 }, nn.rms_norm { 96 } } do
      local model = nn.chain { norm }:init { seed = 1 }
      files.with_folder(function(folder)
        assert(saros.export_c(model, folder .. "/a.c", { test = x }))
        for _, compiler in ipairs(c.COMPILERS) do
          local output, ok = c.test_alone(folder, compiler, "MODEL")
          assert(ok, output)
          local off = tonumber(output:match "off by at most ([^:]+)")
          assert.is_true(off <= (c.is_double and 1e-11 or 3e-7), output)
        end
      end)
    end
  end)
end)
