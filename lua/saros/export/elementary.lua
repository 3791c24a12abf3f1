--- Elementary functions of exported files. Those in single precision have no
--- branch, no table and no call, so compilers make vector code of loops over them;
--- their errors are those of the library's own (src/kernel/elementary.h). In double
--- precision they are those of math.h.

local elementary = {}

elementary.float = {
  { "power_of_two", [[
static inline float $name_power_of_two(int32_t n) {
  const uint32_t bits = (uint32_t)(n + 127) << 23;
  float power;
  memcpy(&power, &bits, sizeof power);
  return power;
}
]] },
  { "exp_parts", [[
/*
** The parts of exp(x) for x in -104..89: *n = x / log(2), rounded, and
** exp(x - n log(2)) - 1 by a polynomial. Adding 1.5 2^23 rounds and leaves n in the
** low bits of the sum, from where -ffast-math cannot take the rounding away.
*/
static inline float $name_exp_parts(float x, int32_t *n) {
  const float sum = x * 1.442695041f + 12582912.0f;
  uint32_t bits;
  memcpy(&bits, &sum, sizeof bits);
  *n = (int32_t)(bits - 0x4b400000u);
  const float whole = (float)*n;
  const float r = x - whole * 0.693145752f - whole * 1.428606820e-6f;
  const float r2 = r * r;
  const float p =
      (1.389823388e-3f * r2 + (8.366076276e-3f * r + 4.166685417e-2f)) * r2 +
      (1.666654795e-1f * r + 0.5f);
  return p * r2 + r;
}
]] },
  { "exp", [[
/* exp(x) within 2 ulp */
static inline float $name_exp(float x) {
  int32_t n, half;
  x = x < -104 ? -104 : x;
  x = x > 89 ? 89 : x;
  const float p = 1 + $name_exp_parts(x, &n);
  half = n >> 1;
  return p * $name_power_of_two(half) * $name_power_of_two(n - half);
}
]] },
  { "sigmoid", [[
/* 1 / (1 + exp(-x)) within 3 ulp */
static inline float $name_sigmoid(float x) {
  const float distance = -fabsf(x);
  int32_t n;
  const float p = $name_exp_parts(distance < -88 ? -88 : distance, &n);
  const float scale = $name_power_of_two(n);
  const float e = scale * p + scale;
  return (x < 0 ? e : 1) / (scale * p + (scale + 1));
}
]] },
  { "tanh", [[
/* tanh(x) within 3 ulp */
static inline float $name_tanh(float x) {
  const float distance = -2 * fabsf(x);
  int32_t n;
  const float p = $name_exp_parts(distance < -20 ? -20 : distance, &n);
  const float scale = $name_power_of_two(n);
  const float e = scale * p + (scale - 1);
  return copysignf(e / (scale * p + (scale + 1)), x);
}
]] },
}

elementary.double = {
  { "exp", [[
static inline double $name_exp(double x) {
  return exp(x);
}
]] },
  { "sigmoid", [[
static inline double $name_sigmoid(double x) {
  const double e = exp(-fabs(x));
  return (x < 0 ? e : 1) / (1 + e);
}
]] },
  { "tanh", [[
static inline double $name_tanh(double x) {
  return tanh(x);
}
]] },
}

-- Made of those.
for _, list in pairs(elementary) do
  list[#list + 1] = { "softplus", [[
/* log(1 + exp(x)) */
static inline $real $name_softplus($real x) {
  return (x > 0 ? x : 0) + log1p$f($name_exp(-fabs$f(x)));
}
]] }
  list[#list + 1] = { "gelu", [[
static inline $real $name_gelu($real x) {
  return x * ($real)0.5 * erfc$f(x * ($real)-0.707106781186547524);
}
]] }
  list[#list + 1] = { "clamped", [[
static inline $real $name_clamped($real x, $real low, $real high) {
  return x < low ? low : x > high ? high : x;
}
]] }
  list[#list + 1] = { "gelu_tanh", [[
static inline $real $name_gelu_tanh($real x) {
  const $real near = $name_clamped(x, -100, 100);
  return x * $name_sigmoid(($real)1.59576912160573072 *
                           (near + ($real)0.044715 * near * near * near));
}
]] }
end

return elementary
