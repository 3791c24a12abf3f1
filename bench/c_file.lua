--- One step of models as C files, in float and in 8 bits: compiled with -O2 alone, and
--- with everything that this machine has. The programs run in turns; of each the best of
--- many blocks of steps counts, as other work only adds to a time.
---
---   build/saros bench/c_file.lua [HIDDEN]

local saros = require "saros"
local files = require "spec.support.files"

local nn = saros.nn
local H = tonumber(arg[1] or 128)
local ROUNDS = 5
local FLAGS = { "-O2", "-O3 -march=native -ffast-math" }

local MAIN = [[
#define _POSIX_C_SOURCE 199309L
#include "model.c"
#include <stdio.h>
#include <time.h>
int main(void) {
  static model_state state;
  static float in[MODEL_INPUTS], out[MODEL_OUTPUTS];
  double best = 1e9;
  for (int i = 0; i < MODEL_INPUTS; i++)
    in[i] = (float)((i * 37) % 101) / 50 - 1;
  model_reset(&state);
  for (int block = 0; block < 400; block++) {
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int step = 0; step < 50; step++)
      model_step(&state, in, out);
    clock_gettime(CLOCK_MONOTONIC, &end);
    const double time = (double)(end.tv_sec - begin.tv_sec) * 1e6 +
                        (double)(end.tv_nsec - begin.tv_nsec) * 1e-3;
    best = time < best ? time : best;
  }
  printf("%.4g\n", best / 50);
  return out[0] != out[0];
}
]]

local function run(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read "a"
  assert(pipe:close(), command)
  return text
end

--- Microseconds of a step by compiler and flags, in their order.
local function times_of(folder, compilers)
  local programs, best = {}, {}
  for _, compiler in ipairs(compilers) do
    for _, flags in ipairs(FLAGS) do
      programs[#programs + 1] = ("%s/%d"):format(folder, #programs)
      run(("cd '%s' && %s -std=c99 %s main.c -o '%s' -lm"):format(folder, compiler, flags, programs[#programs]))
    end
  end
  for _ = 1, ROUNDS do
    for n, path in ipairs(programs) do
      best[n] = math.min(best[n] or math.huge, tonumber(run("'" .. path .. "'")))
    end
  end
  return best
end

local compilers = {}
for _, name in ipairs { "gcc", "clang" } do
  compilers[#compilers + 1] = os.execute("command -v " .. name .. " > /dev/null 2>&1") and name or nil
end
print "| model | weights | compiler | -O2 | for this machine | ratio |"
print "|---|---|---|---|---|---|"
for _, case in ipairs { { "lstm", 1 }, { "gru", 1 }, { "lstm", 2 } } do
  for _, weights in ipairs { "real", "int8" } do
    files.with_folder(function(folder)
      local model = nn[case[1]]({ H, H, layers = case[2] }):init { seed = 1 }
      assert(saros.export_c(model, folder .. "/model.c", { weights = weights }))
      files.write(folder .. "/main.c", MAIN)
      local best = times_of(folder, compilers)
      for n, compiler in ipairs(compilers) do
        local plain, native = best[2 * n - 1], best[2 * n]
        print(("| %s %d x %d | %s | %s | %.2f us | %.2f us | %.2f |"):format(case[1], case[2], H, weights, compiler,
          plain, native, plain / native))
      end
    end)
  end
end
