/*
** Memory that several have: buffers of the host's as tensors, weights that many
** contexts read, tensors that go between a host and its scripts.
*/
#include <lauxlib.h>
#include <lualib.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "saros.h"

/* --- Buffers of the host's ------------------------------------------------------ */

static void count_release(void *user) {
  ++*(int *)user;
}

static saros_tensor *wrap(saros_context *context, saros_real *data,
                          int read_only, int *released) {
  const saros_buffer buffer = {data, read_only, count_release, released};
  saros_tensor *x = NULL;
  CHECK(saros_tensor_wrap(context, SAROS_REAL, 2, (const int[]){2, 3}, &buffer,
                          &x) == SAROS_OK,
        "%s", saros_error(context));
  return x;
}

static void wrap_buffers(void) {
  saros_real data[6] = {1, 2, 3, 4, 5, 6};
  int released = 0;
  saros_tensor *row = NULL;
  saros_context *context = saros_context_new(NULL, NULL);
  saros_tensor *x = wrap(context, data, 0, &released);
  CHECK(saros_tensor_reals(x) == data, "the memory is the host's");
  CHECK(saros_fill(x, 7) == SAROS_OK && data[5] == 7, "writes arrive there");
  CHECK(saros_select(x, 0, 1, &row) == SAROS_OK, "a view");
  saros_tensor_release(x);
  data[4] = 9;
  CHECK(released == 0 && saros_tensor_get(row, 1) == 9, "a view keeps it");
  saros_tensor_release(row);
  CHECK(released == 1, "it is released once, got %d", released);
  wrap(context, data, 0, &released);
  saros_context_destroy(context);
  CHECK(released == 2, "also with the context, got %d", released);
}

static void refuse_buffers(void) {
  saros_real data[6];
  int released = 0;
  saros_context *context = saros_context_new(NULL, NULL);
  void *const wrong[] = {NULL, (char *)data + 1};
  for (int i = 0; i < 2; i++) {
    const saros_buffer buffer = {wrong[i], 0, count_release, &released};
    saros_tensor *x = NULL;
    CHECK(saros_tensor_wrap(context, SAROS_REAL, 1, (const int[]){5}, &buffer,
                            &x) == SAROS_EARGUMENT &&
              x == NULL && strstr(saros_error(context), "expected memory"),
          "%s", saros_error(context));
  }
  CHECK(released == 0, "nothing is released after an error");
  CHECK(saros_memory_of(context).in_use == 0, "nor kept");
  saros_context_release(context);
}

static void keep_read_only(void) {
  saros_real data[6] = {1, 2, 3, 4, 5, 6};
  const saros_real before[6] = {1, 2, 3, 4, 5, 6};
  int released = 0;
  saros_context *context = saros_context_new(NULL, NULL);
  saros_generator *g = NULL;
  saros_tape *tape = NULL;
  saros_tensor *x = wrap(context, data, 1, &released), *y = NULL, *row = NULL;
  saros_tensor *own = NULL;
  const saros_update update = {.rule = SAROS_SGD, .rate = 1};
  saros_generator_new(context, 1, &g);
  saros_tensor_new(context, SAROS_REAL, 2, (const int[]){2, 3}, &own);
  saros_select(x, 0, 0, &row);
  CHECK(saros_fill(x, 0) == SAROS_ESTATE &&
            strstr(saros_error(context), "read-only") != NULL,
        "%s", saros_error(context));
  CHECK(saros_fill(row, 0) == SAROS_ESTATE, "a view is read-only, too");
  CHECK(saros_assign(x, own) == SAROS_ESTATE, "assign");
  CHECK(saros_clamp(x, 0, 0) == SAROS_ESTATE, "clamp");
  CHECK(saros_add_scaled(x, 1, own) == SAROS_ESTATE, "add_scaled");
  CHECK(saros_fill_normal(g, 0, 1, x) == SAROS_ESTATE, "fill_normal");
  saros_set_trainable(x, 1);
  saros_tape_open(context, 1, &tape);
  CHECK(saros_sum(x, SAROS_ALL_AXES, 0, &y) == SAROS_OK &&
            saros_tape_backward(tape, y, NULL) == SAROS_OK &&
            saros_tensor_get(saros_gradient(x), 5) == 1,
        "it may be read, and have a gradient");
  saros_tape_release(tape);
  CHECK(saros_update_parameter(&update, x, NULL, NULL) == SAROS_ESTATE,
        "a step of an optimizer");
  CHECK(memcmp(data, before, sizeof data) == 0, "nothing was written");
  CHECK(saros_tensor_adopt(own, x) == SAROS_OK &&
            saros_tensor_reals(own) == data,
        "another tensor takes its elements");
  saros_tensor *const all[] = {row, y, own, x};
  for (int i = 0; i < 4; i++)
    saros_tensor_release(all[i]);
  saros_generator_release(g);
  CHECK(released == 1, "released once, got %d", released);
  CHECK(saros_memory_of(context).in_use == 0, "nothing is left");
  saros_context_release(context);
}

/* --- Weights that many contexts read --------------------------------------------- */

enum { H = 24, READERS = 8 };

typedef struct meter {
  size_t live;
  long requests, refuse_at;
} meter;

static void *metered(void *user, void *block, size_t old, size_t new) {
  meter *m = user;
  old = block == NULL ? 0 : old;
  if (new > old && ++m->requests == m->refuse_at)
    return NULL;
  m->live += new - old;
  if (new == 0) {
    free(block);
    return NULL;
  }
  return realloc(block, new);
}

static saros_archive *make_archive(saros_context *context) {
  static const char *const names[] = {"weight_ih", "weight_hh"};
  saros_archive *archive = NULL;
  saros_generator *g = NULL;
  saros_archive_new(context, &archive);
  saros_generator_new(context, 1, &g);
  for (int i = 0; i < 2; i++) {
    saros_tensor *x = NULL;
    saros_tensor_new(context, SAROS_REAL, 2, (const int[]){4 * H, H}, &x);
    saros_fill_uniform(g, -1, 1, x);
    saros_archive_add(archive, names[i], x);
    saros_tensor_release(x);
  }
  saros_archive_add_metadata(archive, "key", "value");
  saros_generator_release(g);
  return archive;
}

/* Steps a session on shared weights; gives back the sum of what came out, or 0
** if there was no session. No thread but the first counts checks. */
static double run_session(saros_context *context, saros_archive *archive) {
  const saros_stage stage = {
      .kind = SAROS_STAGE_RECURRENT,
      .cell = SAROS_LSTM,
      .layer = {.weight_ih = saros_archive_tensor(archive, 0),
                .weight_hh = saros_archive_tensor(archive, 1)}};
  saros_session *session = NULL;
  saros_real x[H] = {1};
  double sum = 0;
  if (saros_session_new(context, 1, &stage, 1, SAROS_WEIGHTS_REAL, &session) !=
      SAROS_OK)
    return 0;
  for (int step = 0; step < 50; step++) {
    saros_session_step(session, x);
    sum += saros_tensor_get(saros_session_output(session), (size_t)step % H);
  }
  saros_session_release(session);
  return sum;
}

typedef struct reader {
  saros_shared *shared;
  double sum;
  const void *elements;
} reader;

/* Whole life of a context in a thread; it lets go of the weights last. */
static void *read_shared(void *argument) {
  reader *r = argument;
  saros_archive *archive = NULL;
  saros_context *context = saros_context_new(NULL, NULL);
  if (saros_shared_archive(r->shared, context, &archive) == SAROS_OK) {
    r->elements = saros_tensor_reals(saros_archive_tensor(archive, 1));
    saros_shared_release(r->shared);
    r->sum = run_session(context, archive);
  }
  saros_archive_release(archive);
  saros_context_release(context);
  return NULL;
}

static void share_among_threads(void) {
  meter m = {0};
  saros_shared *shared = NULL;
  reader readers[READERS] = {{0}};
  pthread_t threads[READERS];
  saros_context *context = saros_context_new(NULL, NULL);
  saros_archive *archive = make_archive(context);
  const double right = run_session(context, archive);
  CHECK(saros_shared_new(archive, metered, &m, &shared) == SAROS_OK, "%s",
        saros_error(context));
  saros_archive_release(archive);
  saros_context_release(context);
  CHECK(m.live > 2 * 4 * H * H * sizeof(saros_real) &&
            saros_shared_bytes(shared) <= m.live,
        "%zu bytes, %zu shared", m.live, saros_shared_bytes(shared));
  for (int i = 0; i < READERS; i++) {
    readers[i].shared = saros_shared_retain(shared);
    CHECK(pthread_create(&threads[i], NULL, read_shared, &readers[i]) == 0,
          "a thread");
  }
  saros_shared_release(shared);
  for (int i = 0; i < READERS; i++) {
    pthread_join(threads[i], NULL);
    CHECK(readers[i].sum == right && right != 0, "thread %d: %g, not %g", i,
          readers[i].sum, right);
    CHECK(readers[i].elements == readers[0].elements, "one copy for all");
  }
  CHECK(m.live == 0, "the last one frees it, %zu bytes left", m.live);
}

static void refuse_sharing(void) {
  saros_context *context = saros_context_new(NULL, NULL);
  saros_archive *archive = make_archive(context);
  for (long at = 1;; at++) {
    meter m = {.refuse_at = at};
    saros_shared *shared = NULL;
    saros_status status = saros_shared_new(archive, metered, &m, &shared);
    saros_shared_release(shared);
    CHECK(m.live == 0, "refusal %ld: %zu bytes lost", at, m.live);
    if (status == SAROS_OK)
      break;
    CHECK(status == SAROS_EMEMORY && shared == NULL &&
              strstr(saros_error(context), "bytes of memory"),
          "refusal %ld: %s", at, saros_error(context));
  }
  saros_archive_release(archive);
  saros_context_release(context);
}

static void refuse_readers(void) {
  saros_context *source = saros_context_new(NULL, NULL);
  saros_archive *archive = make_archive(source), *mine = NULL;
  saros_shared *shared = NULL;
  CHECK(saros_shared_new(archive, NULL, NULL, &shared) == SAROS_OK, "shared");
  saros_archive_release(archive);
  saros_context_release(source);
  for (long at = 1, done = 0; !done; at++) {
    meter m = {0};
    saros_context *context = saros_context_new(metered, &m);
    m.refuse_at = m.requests + at;
    done = saros_shared_archive(shared, context, &mine) == SAROS_OK;
    CHECK(done || mine == NULL, "nothing comes of it");
    saros_archive_release(mine);
    CHECK(saros_memory_of(context).in_use == 0, "refusal %ld: bytes lost", at);
    saros_context_release(context);
    CHECK(m.live == 0, "refusal %ld: %zu bytes lost", at, m.live);
  }
  saros_shared_release(shared);
}

/* --- Between a host and its scripts ----------------------------------------------- */

static const char script[] =
    "local x, tensors, metadata = ...\n"
    "assert(x:sum():item() == 21 and metadata.key == 'value')\n"
    "x[1] = 0\n"
    "local w = tensors.weight_hh\n"
    "local ok, message = pcall(w.fill, w, 0)\n"
    "assert(not ok and message:find 'read%-only', message)\n"
    "local lstm = saros.nn.lstm { 24, 24, bias = false }\n"
    "lstm:adopt { weight_ih_l0 = tensors.weight_ih, weight_hh_l0 = w }\n"
    "assert(lstm(saros.ones(3, 2, 24)):all_finite())\n"
    "kept = x\n"
    "return w, 'no tensor'\n";

static void cross_border(void) {
  saros_real data[6] = {1, 2, 3, 4, 5, 6};
  int released = 0;
  saros_context *source = saros_context_new(NULL, NULL);
  saros_archive *archive = make_archive(source);
  saros_shared *shared = NULL;
  CHECK(saros_shared_new(archive, NULL, NULL, &shared) == SAROS_OK, "shared");
  saros_archive_release(archive);
  saros_context_release(source);
  lua_State *L = luaL_newstate();
  luaL_openlibs(L);
  CHECK(saros_context_in(L) == NULL && saros_to_tensor(L, 1) == NULL,
        "no toolkit yet");
  luaL_requiref(L, "saros", luaopen_saros, 1);
  lua_settop(L, 0);
  CHECK(luaL_loadstring(L, script) == LUA_OK, "%s", lua_tostring(L, -1));
  saros_tensor *x = wrap(saros_context_in(L), data, 0, &released);
  saros_push_tensor(L, x);
  saros_tensor_release(x);
  saros_push_shared(L, shared);
  CHECK(lua_pcall(L, 3, 2, 0) == LUA_OK, "%s", lua_tostring(L, -1));
  CHECK(data[0] == 0 && data[3] == 4, "scripts write to the host's memory");
  x = saros_to_tensor(L, 1);
  CHECK(x != NULL && saros_tensor_shape(x)[0] == 4 * H, "a tensor back");
  CHECK(saros_to_tensor(L, 2) == NULL, "a string is none");
  saros_shared_release(shared);
  CHECK(saros_tensor_get(x, 0) != 0, "the script keeps the weights");
  lua_close(L);
  CHECK(released == 1, "released with the state, got %d", released);
}

int main(void) {
  wrap_buffers();
  refuse_buffers();
  keep_read_only();
  share_among_threads();
  refuse_sharing();
  refuse_readers();
  cross_border();
  return report();
}
