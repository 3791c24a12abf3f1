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
#include "stages.h"

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

/* A layer on the weights of an archive. */
static stage layer_on(const saros_archive *archive) {
  return (stage){.kind = STAGE_RECURRENT,
                 .cell = SAROS_LSTM,
                 .layer = {.weight_ih = saros_archive_tensor(archive, 0),
                           .weight_hh = saros_archive_tensor(archive, 1)}};
}

static saros_session *open_session(saros_context *context,
                                   const saros_archive *archive, int streams,
                                   saros_weights weights) {
  const stage layer = layer_on(archive);
  saros_session *s = stages_session(context, 1, &layer, streams, weights);
  return s;
}

/* Steps a session of one stream; the sum of what came out, of its fork if there
** is to be one half way. */
static double walk(saros_session *s, int forks) {
  const saros_real x[H] = {1};
  saros_session *fork = NULL;
  double sum = 0;
  for (int step = 0; step < 50; step++) {
    if (forks && step == 25 && saros_session_fork(s, &fork) == SAROS_OK)
      s = fork;
    saros_session_step(s, x);
    sum += saros_tensor_get(saros_session_output(s), (size_t)step % H);
  }
  saros_session_release(fork);
  return sum;
}

/* 0 if there was no session. No thread but the first counts checks. */
static double run_session(saros_context *context, const saros_archive *archive,
                          saros_weights weights) {
  saros_session *s = open_session(context, archive, 1, weights);
  double sum = s != NULL ? walk(s, 1) : 0;
  saros_session_release(s);
  return sum;
}

enum { ROUNDS = 6 };

typedef struct reader {
  saros_shared *shared;
  int number;
  double sums[ROUNDS];
  const void *elements;
} reader;

/* Whole life of a context in a thread; it lets go of the weights last. Sessions
** with weights of all kinds come and go, in another order in each thread. */
static void *read_shared(void *argument) {
  reader *r = argument;
  saros_archive *archive = NULL;
  saros_context *context = saros_context_new(NULL, NULL);
  if (saros_shared_archive(r->shared, context, &archive) == SAROS_OK) {
    r->elements = saros_tensor_reals(saros_archive_tensor(archive, 1));
    saros_shared_release(r->shared);
    for (int i = r->number; i < r->number + ROUNDS; i++)
      r->sums[i % ROUNDS] = run_session(
          context, archive, (saros_weights)(i % ROUNDS % SAROS_WEIGHTS_KINDS));
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
  double right[SAROS_WEIGHTS_KINDS];
  for (int kind = 0; kind < SAROS_WEIGHTS_KINDS; kind++)
    right[kind] = run_session(context, archive, (saros_weights)kind);
  CHECK(saros_shared_new(archive, metered, &m, &shared) == SAROS_OK, "%s",
        saros_error(context));
  saros_archive_release(archive);
  saros_context_release(context);
  CHECK(m.live > 2 * 4 * H * H * sizeof(saros_real) &&
            saros_shared_bytes(shared) <= m.live,
        "%zu bytes, %zu shared", m.live, saros_shared_bytes(shared));
  for (int i = 0; i < READERS; i++) {
    readers[i].shared = saros_shared_retain(shared), readers[i].number = i;
    CHECK(pthread_create(&threads[i], NULL, read_shared, &readers[i]) == 0,
          "a thread");
  }
  saros_shared_release(shared);
  for (int i = 0; i < READERS; i++) {
    pthread_join(threads[i], NULL);
    for (int round = 0; round < ROUNDS; round++) {
      const double sum = right[round % SAROS_WEIGHTS_KINDS];
      CHECK(readers[i].sums[round] == sum && sum != 0, "thread %d: %g, not %g",
            i, readers[i].sums[round], sum);
    }
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

/* --- Sessions that read one packing ---------------------------------------------- */

/* Shared weights and, in a context, tensors on them. */
typedef struct borrowing {
  meter lent, own;
  saros_shared *shared;
  saros_context *context;
  saros_archive *archive;
} borrowing;

static void borrow(borrowing *b) {
  saros_context *source = saros_context_new(NULL, NULL);
  saros_archive *archive = make_archive(source);
  *b = (borrowing){.shared = NULL};
  b->context = saros_context_new(metered, &b->own);
  CHECK(saros_shared_new(archive, metered, &b->lent, &b->shared) == SAROS_OK &&
            saros_shared_archive(b->shared, b->context, &b->archive) ==
                SAROS_OK,
        "weights are shared");
  saros_archive_release(archive);
  saros_context_release(source);
}

static void give_back(borrowing *b) {
  saros_archive_release(b->archive);
  saros_shared_release(b->shared);
  CHECK(saros_memory_of(b->context).in_use == 0, "nothing is left");
  saros_context_release(b->context);
  CHECK(b->lent.live == 0 && b->own.live == 0, "%zu and %zu bytes are lost",
        b->lent.live, b->own.live);
}

/* How many bytes of the shared weights a session takes that stays for a while. */
static size_t bytes_for(borrowing *b, const stage *layer, int streams,
                        saros_weights weights) {
  size_t before = saros_shared_bytes(b->shared);
  saros_session *s = stages_session(b->context, 1, layer, streams, weights);
  CHECK(s != NULL, "%s", saros_error(b->context));
  saros_session_release(s);
  return saros_shared_bytes(b->shared) - before;
}

static void pack_once(void) {
  borrowing b;
  saros_context *contexts[READERS];
  saros_archive *archives[READERS];
  saros_session *sessions[READERS];
  size_t packed = 0;
  borrow(&b);
  const size_t weights = saros_shared_bytes(b.shared);
  for (int i = 0; i < READERS; i++) {
    contexts[i] = saros_context_new(NULL, NULL);
    saros_shared_archive(b.shared, contexts[i], &archives[i]);
    sessions[i] =
        open_session(contexts[i], archives[i], 1 + i % 3, SAROS_WEIGHTS_REAL);
    packed = i == 0 ? saros_shared_bytes(b.shared) - weights : packed;
    CHECK(saros_memory_of(contexts[i]).in_use < weights / 2,
          "session %d has %zu bytes and no weights", i,
          saros_memory_of(contexts[i]).in_use);
  }
  CHECK(packed > weights / 2 &&
            saros_shared_bytes(b.shared) == weights + packed,
        "%zu bytes packed once, not %zu", packed,
        saros_shared_bytes(b.shared) - weights);
  for (int i = 0; i < READERS; i++) {
    saros_session_release(sessions[i]);
    saros_archive_release(archives[i]);
    saros_context_release(contexts[i]);
  }
  give_back(&b);
}

/* What makes a packing another one, and how many there are. */
static void tell_packings_apart(void) {
  borrowing b;
  borrow(&b);
  stage layer = layer_on(b.archive);
  for (int kind = 0; kind < SAROS_WEIGHTS_KINDS; kind++) {
    CHECK(bytes_for(&b, &layer, 1, (saros_weights)kind) > 0, "kind %d", kind);
    CHECK(bytes_for(&b, &layer, 2, (saros_weights)kind) == 0, "is kept");
  }
  layer.bias = (saros_tensor *)&b;  // not read
  CHECK(bytes_for(&b, &layer, 1, SAROS_WEIGHTS_REAL) == 0, "the same stage");
  for (int i = SAROS_WEIGHTS_KINDS; i < 20; i++) {
    layer.zoneout[0] = i / 20.0;
    CHECK((bytes_for(&b, &layer, 1, SAROS_WEIGHTS_REAL) > 0) == (i < 16),
          "packing %d", i);
  }
  give_back(&b);
}

/* A part of shared weights, and weights of the context's own. */
static void pack_apart(void) {
  borrowing b;
  saros_tensor *part = NULL, *own = NULL;
  borrow(&b);
  stage layer = layer_on(b.archive);
  layer.cell = SAROS_ELMAN_TANH;
  saros_slice(layer.layer.weight_hh, 0, 0, H, &layer.layer.weight_hh);
  saros_slice(layer.layer.weight_ih, 0, 0, H, &part);
  saros_tensor_new(b.context, SAROS_REAL, 2, (const int[]){H, H}, &own);
  for (int i = 0; i < 2; i++) {
    layer.layer.weight_ih = i == 0 ? part : own;
    CHECK(bytes_for(&b, &layer, 1, SAROS_WEIGHTS_REAL) == 0, "apart");
  }
  saros_tensor_release(layer.layer.weight_hh);
  saros_tensor_release(part);
  saros_tensor_release(own);
  give_back(&b);
}

/* A packing is for the instructions of a context; those of another come from the
** environment. */
static void pack_for_instructions(void) {
  borrowing b;
  saros_archive *archive = NULL;
  const char *chosen = getenv("SAROS_ISA");
  borrow(&b);
  setenv("SAROS_ISA", "baseline", 1);
  saros_context *context = saros_context_new(NULL, NULL);
  if (chosen != NULL)
    setenv("SAROS_ISA", chosen, 1);
  else
    unsetenv("SAROS_ISA");
  const size_t before = saros_shared_bytes(b.shared);
  saros_shared_archive(b.shared, context, &archive);
  CHECK(run_session(context, archive, SAROS_WEIGHTS_REAL) != 0, "a session");
  int same = strcmp(saros_info(context).isa, saros_info(b.context).isa) == 0;
  CHECK((saros_shared_bytes(b.shared) > before) == same,
        "%s reads what was packed for %s", saros_info(context).isa,
        saros_info(b.context).isa);
  saros_archive_release(archive);
  saros_context_release(context);
  give_back(&b);
}

/* A session and its fork are all that is left of the weights; then others take
** the place of theirs. */
static void outlive_shared(void) {
  borrowing b;
  saros_session *s, *fork, *other;
  borrow(&b);
  s = open_session(b.context, b.archive, 1, SAROS_WEIGHTS_REAL);
  other = open_session(b.context, b.archive, 1, SAROS_WEIGHTS_REAL);
  saros_session_fork(s, &fork);
  saros_archive_release(b.archive);
  saros_shared_release(b.shared);
  b.archive = NULL, b.shared = NULL;
  saros_archive *archive = make_archive(b.context);
  const stage layer = layer_on(archive);
  saros_fill(layer.layer.weight_ih, 0);
  saros_tensor *const parameters[] = {layer.layer.weight_ih,
                                      layer.layer.weight_hh};
  CHECK(saros_session_repack(other, parameters) == SAROS_OK, "other weights");
  CHECK(walk(s, 0) == walk(fork, 1) && walk(other, 0) == 0,
        "only one session has them");
  saros_session_release(s);
  saros_session_release(other);
  CHECK(b.lent.live > 0, "a fork keeps the weights");
  saros_session_release(fork);
  CHECK(b.lent.live == 0, "no longer");
  saros_archive_release(archive);
  give_back(&b);
}

static void destroy_borrower(void) {
  borrowing b;
  borrow(&b);
  CHECK(open_session(b.context, b.archive, 1, SAROS_WEIGHTS_REAL) != NULL,
        "a session");
  saros_shared_release(b.shared);
  saros_context_destroy(b.context);
  CHECK(b.lent.live == 0 && b.own.live == 0, "all goes with the context");
}

static void blame_caller(void) {
  borrowing b;
  borrow(&b);
  const stage layer = layer_on(b.archive);
  CHECK(stages_session(b.context, 1, &layer, 1, SAROS_WEIGHTS_KINDS) == NULL &&
            strstr(saros_error(b.context), "expected a kind of weights"),
        "%s", saros_error(b.context));
  give_back(&b);
}

/* Refuses each request for a session in turn, of one allocator or the other. */
static void refuse_sessions(int lent) {
  borrowing b;
  saros_session *s = NULL;
  for (long at = 1; s == NULL; at++) {
    borrow(&b);
    meter *m = lent ? &b.lent : &b.own;
    const size_t before = b.lent.live;
    m->refuse_at = m->requests + at;
    s = open_session(b.context, b.archive, 1, SAROS_WEIGHTS_REAL);
    CHECK(s != NULL || strstr(saros_error(b.context), "bytes of memory"),
          "refusal %ld: %s", at, saros_error(b.context));
    CHECK(s != NULL || !lent || b.lent.live == before,
          "refusal %ld: %zu bytes more", at, b.lent.live - before);
    CHECK(run_session(b.context, b.archive, SAROS_WEIGHTS_REAL) != 0,
          "refusal %ld: another attempt", at);
    saros_session_release(s);
    give_back(&b);
  }
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
  pack_once();
  tell_packings_apart();
  pack_apart();
  pack_for_instructions();
  outlive_shared();
  destroy_borrower();
  blame_caller();
  refuse_sessions(1);
  refuse_sessions(0);
  cross_border();
  return report();
}
