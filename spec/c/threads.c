/*
** States on several threads at once, each with threads of its own: they open,
** train, step on weights that they share, and close, and each does what it does
** alone. Under the thread sanitizer nothing may meet.
*/
#include <lauxlib.h>
#include <lualib.h>
#include <pthread.h>
#include <string.h>

#include "check.h"
#include "saros.h"

enum { STATES = 4, DIGEST = 17 };

/* Steps that share their products among threads, and a product by BLAS. */
static const char script[] =
    "local tensors = ...\n"
    "saros.threads(3)\n"
    "local net = saros.nn.gru { 16, 96 }:init { seed = 1 }\n"
    "local adam = saros.optim.adam(net:parameters(), { lr = 1e-3 })\n"
    "local x = saros.generator(1):normal({ 6, 70, 16 })\n"
    "for _ = 1, 2 do\n"
    "  local tape <close> = saros.tape()\n"
    "  tape:backward((net(x)):sum())\n"
    "  adam:step()\n"
    "end\n"
    "local head = saros.nn.linear { 96, 96, bias = false }\n"
    "head:adopt { weight = tensors.weight }\n"
    "local session = head:session()\n"
    "local y = head((net(x))) + session:step(saros.ones(96))\n"
    "return y:digest()\n";

typedef struct player {
  saros_shared *weights;
  char digest[DIGEST];
} player;

static void *play(void *argument) {
  player *p = argument;
  lua_State *L = luaL_newstate();
  luaL_openlibs(L);
  saros_open(L, SAROS_NO_FILES);
  lua_setglobal(L, "saros");
  int status = luaL_loadstring(L, script);
  saros_push_shared(L, p->weights);
  lua_pop(L, 1);
  if (status == LUA_OK)
    status = lua_pcall(L, 1, 1, 0);
  snprintf(p->digest, sizeof p->digest, "%s", lua_tostring(L, -1));
  if (status != LUA_OK)
    fprintf(stderr, "%s\n", lua_tostring(L, -1));
  lua_close(L);
  return NULL;
}

static saros_shared *make_weights(void) {
  saros_context *context = saros_context_new(NULL, NULL);
  saros_archive *archive = NULL;
  saros_tensor *x = NULL;
  saros_shared *shared = NULL;
  saros_archive_new(context, &archive);
  saros_tensor_new(context, SAROS_REAL, 2, (const int[]){96, 96}, &x);
  saros_fill(x, 0.01);
  saros_archive_add(archive, "weight", x);
  saros_tensor_release(x);
  CHECK(saros_shared_new(archive, NULL, NULL, &shared) == SAROS_OK, "shared");
  saros_archive_release(archive);
  saros_context_release(context);
  return shared;
}

int main(void) {
  player players[STATES + 1] = {{0}};  // the last one is alone
  pthread_t threads[STATES];
  saros_shared *weights = make_weights();
  for (int i = 0; i <= STATES; i++)
    players[i].weights = weights;
  for (int i = 0; i < STATES; i++)
    CHECK(pthread_create(&threads[i], NULL, play, &players[i]) == 0, "thread");
  for (int i = 0; i < STATES; i++)
    pthread_join(threads[i], NULL);
  play(&players[STATES]);
  CHECK(strlen(players[STATES].digest) == DIGEST - 1, "a digest, got %s",
        players[STATES].digest);
  for (int i = 0; i < STATES; i++)
    CHECK(strcmp(players[i].digest, players[STATES].digest) == 0,
          "state %d: %s, not %s", i, players[i].digest, players[STATES].digest);
  saros_shared_release(weights);
  return report();
}
