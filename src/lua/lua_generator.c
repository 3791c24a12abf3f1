/*
** Random generators. All of the state is in the object, so that a seed, or a
** saved state, determines what follows.
*/
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "binding.h"

/* Hex digits of a word, and of a whole state. */
#define WORD_DIGITS 16
#define STATE_DIGITS (SAROS_GENERATOR_WORDS * WORD_DIGITS)

saros_generator *bind_check_generator(lua_State *L, int arg) {
  return *(saros_generator **)bind_check_box(L, arg, BIND_GENERATOR);
}

static uint64_t check_seed(lua_State *L, int arg) {
  return (uint64_t)bind_check_integer(L, arg, LUA_MININTEGER, LUA_MAXINTEGER,
                                      "an integer seed");
}

static int generator_new(lua_State *L) {
  uint64_t seed = check_seed(L, 1);
  saros_generator **box = bind_push_box(L, BIND_GENERATOR);
  BIND_ATTEMPT(L, saros_generator_new(bind_context_of(L), seed, box));
  return 1;
}

static int generator_gc(lua_State *L) {
  saros_generator **box = bind_to_box(L, 1, BIND_GENERATOR);
  if (box != NULL) {
    saros_generator *generator = *box;
    *box = NULL;
    saros_generator_release(generator);
  }
  return 0;
}

static int itself(lua_State *L, int arg) {
  lua_settop(L, arg);
  return 1;
}

/* --- State -------------------------------------------------------------------------- */

static int generator_seed(lua_State *L) {
  uint64_t seed = check_seed(L, 2);
  saros_generator_seed(bind_check_generator(L, 1), seed);
  return itself(L, 1);
}

static int generator_state(lua_State *L) {
  uint64_t words[SAROS_GENERATOR_WORDS];
  char text[STATE_DIGITS + 1];
  saros_generator_save(bind_check_generator(L, 1), words);
  for (int i = 0; i < SAROS_GENERATOR_WORDS; i++)
    snprintf(text + i * WORD_DIGITS, WORD_DIGITS + 1, "%016" PRIx64, words[i]);
  lua_pushlstring(L, text, STATE_DIGITS);
  return 1;
}

static int is_state(lua_State *L, int arg) {
  return lua_type(L, arg) == LUA_TSTRING &&
         lua_rawlen(L, arg) == STATE_DIGITS &&
         strspn(lua_tostring(L, arg), "0123456789abcdefABCDEF") == STATE_DIGITS;
}

static int generator_restore(lua_State *L) {
  uint64_t words[SAROS_GENERATOR_WORDS];
  bind_check_generator(L, 1);
  if (!is_state(L, 2))
    bind_argument_error(L, 2, "a state of 64 hex digits");
  for (int i = 0; i < SAROS_GENERATOR_WORDS; i++)
    sscanf(lua_tostring(L, 2) + i * WORD_DIGITS, "%16" SCNx64, &words[i]);
  BIND_RUN(L, saros_generator_restore(bind_check_generator(L, 1), words));
  return itself(L, 1);
}

/* --- Numbers --------------------------------------------------------------------------- */

static int generator_number(lua_State *L) {
  lua_pushnumber(L, saros_uniform(bind_check_generator(L, 1)));
  return 1;
}

static int generator_integer(lua_State *L) {
  bind_check_generator(L, 1);
  lua_Integer limit =
      bind_check_integer(L, 2, 1, LUA_MAXINTEGER, "a limit >= 1");
  uint64_t below = saros_below(bind_check_generator(L, 1), (uint64_t)limit);
  lua_pushinteger(L, (lua_Integer)(below + 1));
  return 1;
}

/* --- Tensors ---------------------------------------------------------------------------- */

typedef saros_status (*filler)(saros_generator *generator, double a, double b,
                               saros_tensor *tensor);

static void check_shape_table(lua_State *L) {
  if (lua_type(L, 2) == LUA_TNUMBER)
    bind_failure(L, "%s: expected a table of sizes, got %s; write %s({5, 5})",
                 bind_function_name(L), bind_push_description(L, 2),
                 bind_function_name(L));
}

/* g:f(shape [, a, b]): a new tensor. */
static int fill_new(lua_State *L, filler f, double a, double b) {
  bind_shape sizes;
  bind_check_generator(L, 1);
  check_shape_table(L);
  bind_check_shape(L, 2, &sizes);
  a = bind_opt_number(L, 3, a);
  b = bind_opt_number(L, 4, b);
  saros_tensor **out = bind_push_zeros(L, SAROS_REAL, &sizes);
  BIND_ATTEMPT(L, f(bind_check_generator(L, 1), a, b, *out));
  return bind_new_tensor(L, out);
}

static int generator_uniform(lua_State *L) {
  lua_settop(L, 4);
  return fill_new(L, saros_fill_uniform, 0, 1);
}

static int generator_normal(lua_State *L) {
  lua_settop(L, 4);
  return fill_new(L, saros_fill_normal, 0, 1);
}

/* g:f(t [, a, b]): fills t. */
static int fill_old(lua_State *L, filler f, double a, double b) {
  bind_check_generator(L, 1);
  bind_check_tensor(L, 2);
  a = bind_opt_number(L, 3, a);
  b = bind_opt_number(L, 4, b);
  BIND_ATTEMPT(L, f(bind_check_generator(L, 1), a, b, bind_check_tensor(L, 2)));
  return itself(L, 2);
}

static int generator_fill_uniform(lua_State *L) {
  return fill_old(L, saros_fill_uniform, 0, 1);
}

static int generator_fill_normal(lua_State *L) {
  return fill_old(L, saros_fill_normal, 0, 1);
}

static int generator_fill_orthogonal(lua_State *L) {
  bind_check_generator(L, 1);
  bind_check_tensor(L, 2);
  double gain = bind_opt_number(L, 3, 1);
  BIND_ATTEMPT(L, saros_fill_orthogonal(bind_check_generator(L, 1), gain,
                                        bind_check_tensor(L, 2)));
  return itself(L, 2);
}

static int generator_categorical(lua_State *L) {
  lua_settop(L, 2);
  bind_check_generator(L, 1);
  saros_tensor **out = bind_push_tensor(L);
  BIND_ATTEMPT(L, saros_categorical(bind_check_generator(L, 1),
                                    bind_check_tensor(L, 2), out));
  return bind_new_tensor(L, out);
}

static int generator_permutation(lua_State *L) {
  lua_settop(L, 2);
  bind_check_generator(L, 1);
  int count = bind_check_size(L, 2);
  saros_tensor **out = bind_push_tensor(L);
  BIND_ATTEMPT(L, saros_permutation(bind_check_generator(L, 1), count, out));
  return bind_new_tensor(L, out);
}

static int generator_tostring(lua_State *L) {
  saros_generator **box = bind_to_box(L, 1, BIND_GENERATOR);
  if (box == NULL)
    bind_argument_error(L, 1, "a generator");
  lua_pushstring(L, *box == NULL ? "generator (closed)" : "generator");
  return 1;
}

/* --- Registration ---------------------------------------------------------------------- */

static const luaL_Reg functions[] = {{"generator", generator_new},
                                     {NULL, NULL}};

static const luaL_Reg methods[] = {
    {"seed", generator_seed},
    {"state", generator_state},
    {"restore", generator_restore},
    {"number", generator_number},
    {"integer", generator_integer},
    {"uniform", generator_uniform},
    {"normal", generator_normal},
    {"fill_uniform", generator_fill_uniform},
    {"fill_normal", generator_fill_normal},
    {"fill_orthogonal", generator_fill_orthogonal},
    {"categorical", generator_categorical},
    {"permutation", generator_permutation},
    {NULL, NULL},
};

static const luaL_Reg metamethods[] = {
    {"__gc", generator_gc},
    {"__tostring", generator_tostring},
    {NULL, NULL},
};

void bind_open_generator(lua_State *L) {
  bind_register_functions(L, BIND_MODULE, functions);
  bind_register_type(L, BIND_GENERATOR, metamethods, methods);
  lua_pop(L, 1);
}
