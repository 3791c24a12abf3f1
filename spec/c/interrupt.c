/*
** A host that ends long work between its blocks: at every place where it is
** asked, the call says so, makes nothing, loses nothing, and works the next
** time as if nothing had been. The same through a hook of Lua, which may raise
** what it likes and finds the toolkit closed. How often it is asked is left to
** chance where several threads take the blocks.
*/
#include <lauxlib.h>
#include <lualib.h>
#include <string.h>

#include "check.h"
#include "saros.h"

/* Stops at the n-th question; 0: never. */
typedef struct patience {
  int questions, stop_at;
} patience;

static int count_questions(void *user) {
  patience *p = user;
  return ++p->questions == p->stop_at;
}

/* --- From C ------------------------------------------------------------------- */

enum { T = 6, B = 70, N = 64 };

typedef struct bench {
  saros_context *context;
  saros_tensor *x, *w, *u, *logits, *targets;
} bench;

static saros_tensor *filled(saros_context *context, saros_generator *g,
                            int rank, int a, int b, int c) {
  saros_tensor *x = NULL;
  const int shape[3] = {a, b, c};
  CHECK(saros_tensor_new(context, SAROS_REAL, rank, shape, &x) == SAROS_OK &&
            saros_fill_uniform(g, -0.1, 0.1, x) == SAROS_OK,
        "%s", saros_error(context));
  return x;
}

static void open_bench(bench *b, int threads) {
  saros_generator *g = NULL;
  b->context = saros_context_new(NULL, NULL);
  saros_set_threads(b->context, threads);
  saros_generator_new(b->context, 1, &g);
  b->x = filled(b->context, g, 3, T, B, N);
  b->w = filled(b->context, g, 2, 4 * N, N, 0);
  b->u = filled(b->context, g, 2, 4 * N, N, 0);
  b->logits = filled(b->context, g, 3, T, B, N);
  saros_tensor_new(b->context, SAROS_IDS, 2, (const int[]){2, B}, &b->targets);
  for (int i = 0; i < 2 * B; i++)
    saros_tensor_ids(b->targets)[i] = 1 + i % 7;
  saros_set_trainable(b->w, 1);
  saros_set_trainable(b->u, 1);
  saros_generator_release(g);
}

static void close_bench(bench *b) {
  saros_tensor *const all[] = {b->x, b->w, b->u, b->logits, b->targets};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    saros_tensor_release(all[i]);
  saros_context_release(b->context);
}

static saros_status product(bench *b, saros_tensor **y) {
  return saros_linear(b->x, b->w, NULL, y);
}

static saros_status recurrence(bench *b, saros_tensor **y) {
  const saros_named_tensor named[] = {{"weight_ih", b->w}, {"weight_hh", b->u}};
  saros_tensor *last[SAROS_MAX_STATES];
  saros_status status =
      saros_recurrent(SAROS_LSTM, b->x, NULL, named, 2, NULL, y, last);
  for (int i = 0; i < 2 && status == SAROS_OK; i++)
    saros_tensor_release(last[i]);
  return status;
}

static saros_status alignment(bench *b, saros_tensor **y) {
  return saros_ctc_loss(b->logits, b->targets, NULL, NULL, 0, SAROS_CTC_MEAN,
                        y);
}

static saros_status way_back(bench *b, saros_tensor **y) {
  saros_tape *tape;
  saros_tensor *all = NULL;
  *y = NULL;
  saros_clear_gradient(b->w);
  saros_clear_gradient(b->u);
  saros_status status = saros_tape_open(b->context, 1, &tape);
  if (status == SAROS_OK)
    status = recurrence(b, &all);
  if (status == SAROS_OK)
    status = saros_sum(all, SAROS_ALL_AXES, 0, y);
  if (status == SAROS_OK)
    status = saros_tape_backward(tape, *y, NULL);
  saros_tensor_release(all);
  saros_tape_release(tape);
  if (status != SAROS_OK) {
    saros_tensor_release(*y);
    *y = NULL;
  }
  return status;
}

static saros_status text(bench *b, saros_tensor **y) {
  const char *const words = "the cat sat on the mat and the dog sat on it";
  const saros_text from = {.bytes = words, .size = strlen(words)};
  const saros_learning wanted = {.size = 262};
  saros_codec *codec;
  *y = NULL;
  saros_status status =
      saros_codec_learn(b->context, SAROS_BPE, &from, &wanted, &codec);
  if (status == SAROS_OK)
    status = saros_codec_encode(codec, &from, y);
  saros_codec_release(codec);
  return status;
}

/* Rows in blocks, elements in blocks, and the way back through both. */
static saros_status elements(bench *b, saros_tensor **y) {
  enum { CHAIN = 6 };
  saros_tensor *t[CHAIN] = {NULL}, *gain = NULL;
  saros_tape *tape = NULL;
  const int rows[2] = {700, 300}, row[1] = {300};
  saros_status status = SAROS_OK;
  *y = NULL;
#define DO(call) status = status == SAROS_OK ? (call) : status
  DO(saros_tensor_new(b->context, SAROS_REAL, 2, rows, &t[0]));
  DO(saros_tensor_new(b->context, SAROS_REAL, 1, row, &gain));
  DO(saros_tape_open(b->context, 1, &tape));
  DO(saros_tape_watch(tape, t[0]));
  DO(saros_combine(SAROS_ADD, t[0], gain, &t[1]));
  DO(saros_apply(SAROS_SIGMOID, t[1], &t[2]));
  DO(saros_layer_norm(t[2], gain, gain, 1e-5, &t[3]));
  DO(saros_softmax(t[3], -1, &t[4]));
  DO(saros_combine(SAROS_MULTIPLY, t[4], t[4], &t[5]));
  DO(saros_sum(t[5], SAROS_ALL_AXES, 0, y));
  DO(saros_tape_backward(tape, *y, NULL));
#undef DO
  if (status != SAROS_OK) {
    saros_tensor_release(*y);
    *y = NULL;
  }
  for (int i = 0; i < CHAIN; i++)
    saros_tensor_release(t[i]);
  saros_tensor_release(gain);
  saros_tape_release(tape);
  return status;
}

static double sum_of(const saros_tensor *x) {
  double sum = 0;
  for (size_t i = 0; i < saros_tensor_count(x); i++)
    sum += saros_tensor_get(x, i);
  return sum;
}

static void stop_everywhere(const char *name,
                            saros_status (*work)(bench *, saros_tensor **),
                            int threads) {
  bench b;
  patience p = {0, 0};
  saros_tensor *y = NULL;
  open_bench(&b, threads);
  saros_set_interrupt(b.context, count_questions, &p);
  CHECK(work(&b, &y) == SAROS_OK, "%s: %s", name, saros_error(b.context));
  const double right = sum_of(y);
  const int questions = p.questions;
  CHECK(questions > 0, "%s: nobody was asked", name);
  saros_tensor_release(y);
  saros_clear_gradient(b.w);
  saros_clear_gradient(b.u);
  const size_t before = saros_memory_of(b.context).in_use;
  for (int at = 1; at <= questions; at += 1 + questions / 40) {
    p = (patience){0, at};
    saros_status status = work(&b, &y);
    CHECK(threads > 1 && p.questions < at
              ? status == SAROS_OK
              : status == SAROS_EINTERRUPT && y == NULL,
          "%s: stopped at question %d", name, at);
    saros_tensor_release(y);
    saros_clear_gradient(b.w);
    saros_clear_gradient(b.u);
    CHECK(saros_memory_of(b.context).in_use == before,
          "%s: question %d lost %zu bytes", name, at,
          saros_memory_of(b.context).in_use - before);
  }
  p = (patience){0, 0};
  CHECK(work(&b, &y) == SAROS_OK && sum_of(y) == right,
        "%s: the same once more", name);
  saros_tensor_release(y);
  close_bench(&b);
}

/* --- From Lua ------------------------------------------------------------------ */

static void refuse(lua_State *L, lua_Debug *call) {
  CHECK(lua_getinfo(L, "S", call) && strcmp(call->what, "C") == 0,
        "the hook is called in the function that computes");
  lua_newtable(L);
  lua_error(L);
}

/* What a hook must not do: use, close and collect what the core is using. */
static void meddle(lua_State *L, lua_Debug *call) {
  (void)call;
  lua_getglobal(L, "meddle");
  lua_call(L, 0, 0);
}

static const char script[] =
    "x, w = saros.ones(200, 64, 64), saros.ones(64, 64)\n"
    "function work() return x:matmul(w):sum():item() end\n"
    "function meddle()\n"
    "  asked = true\n"
    "  used = pcall(saros.sum, x)\n"
    "  do local _ <close> = w end\n"
    "end\n";

/* A hook whose count of instructions does not come while so little Lua runs. */
static int work_with(lua_State *L, lua_Hook hook, int instructions) {
  lua_sethook(L, hook, LUA_MASKCOUNT, instructions);
  lua_getglobal(L, "work");
  int status = lua_pcall(L, 0, 1, 0);
  CHECK(lua_gethook(L) == hook, "the hook is still there");
  lua_sethook(L, NULL, 0, 0);
  return status;
}

static void hook_lua(void) {
  lua_State *L = luaL_newstate();
  luaL_openlibs(L);
  luaL_requiref(L, "saros", luaopen_saros, 1);
  CHECK(luaL_dostring(L, script) == LUA_OK, "%s", lua_tostring(L, -1));
  lua_settop(L, 0);
  CHECK(work_with(L, refuse, 100) == LUA_ERRRUN && lua_istable(L, -1),
        "the hook's error arrives as it is");
  lua_settop(L, 0);
  CHECK(work_with(L, NULL, 0) == LUA_OK, "usable: %s", lua_tostring(L, -1));
  const double right = lua_tonumber(L, -1);
  CHECK(work_with(L, refuse, 1 << 30) == LUA_OK,
        "a hook that has time is not called: %s", lua_tostring(L, -1));
  lua_settop(L, 0);
  CHECK(luaL_dostring(L,
                      "collectgarbage() before = saros.memory().in_use\n"
                      "thread = coroutine.create(work)") == LUA_OK,
        "%s", lua_tostring(L, -1));
  lua_getglobal(L, "thread");
  lua_State *thread = lua_tothread(L, -1);
  lua_sethook(thread, refuse, LUA_MASKCOUNT, 100);
  int count;
  CHECK(lua_resume(thread, L, 0, &count) == LUA_ERRRUN, "in a coroutine, too");
  lua_settop(L, 0);
  CHECK(work_with(L, meddle, 100) == LUA_OK && lua_tonumber(L, -1) == right,
        "what the hook does changes nothing: %s", lua_tostring(L, -1));
  CHECK(luaL_dostring(L,
                      "thread = nil collectgarbage()\n"
                      "assert(asked and not used)\n"
                      "assert(saros.memory().in_use == before)") == LUA_OK,
        "%s", lua_tostring(L, -1));
  lua_close(L);
}

int main(void) {
  for (int threads = 1; threads <= 3; threads += 2) {
    stop_everywhere("a product", product, threads);
    stop_everywhere("a recurrence", recurrence, threads);
    stop_everywhere("an alignment", alignment, threads);
    stop_everywhere("a way back", way_back, threads);
    stop_everywhere("elements and rows", elements, threads);
    stop_everywhere("learning a text", text, threads);
  }
  hook_lua();
  return report();
}
