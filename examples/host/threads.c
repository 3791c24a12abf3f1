/*
** Eight threads, each with a Lua state of its own, and one model: its weights
** are in memory once, and once more packed, as sessions read them; no state holds
** any. Each state writes a text with the model, none has threads or files, and all
** write the same.
**
**   cc threads.c $(pkg-config --cflags --libs saros lua5.4) -lpthread && ./a.out
*/
#include <lauxlib.h>
#include <lualib.h>
#include <pthread.h>
#include <saros.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STATES = 8, TEXT = 128 };

static const char trains[] =
    "local path = ...\n"
    "local text = saros.data.text { string = ('a stitch in time '):rep(60) }\n"
    "local lm = saros.nn.language_model {\n"
    "  vocabulary = text.vocabulary, cell = 'gru', hidden = 64, seed = 1 }\n"
    "saros.fit(lm, text, { epochs = 10, batch = 8, length = 20, lr = 0.01 })\n"
    "assert(lm:save(path))\n";

static const char writes[] =
    "local lm = assert(saros.load(...))\n"
    "local text = lm:write { prime = 'a st', length = 60, seed = 1 }\n"
    "return text, saros.memory().in_use\n";

typedef struct writer {
  saros_shared *model;
  char text[TEXT];
  long bytes;
} writer;

static lua_State *open_state(int without) {
  lua_State *L = luaL_newstate();
  if (L == NULL)
    exit(EXIT_FAILURE);
  luaL_openlibs(L);
  saros_open(L, without);
  lua_setglobal(L, "saros");
  return L;
}

static void check(lua_State *L, int status) {
  if (status == LUA_OK)
    return;
  fprintf(stderr, "%s\n", lua_tostring(L, -1));
  exit(EXIT_FAILURE);
}

static void *write_text(void *argument) {
  writer *w = argument;
  lua_State *L = open_state(SAROS_NO_FILES | SAROS_NO_THREADS);
  check(L, luaL_loadstring(L, writes));
  saros_push_shared(L, w->model);
  check(L, lua_pcall(L, 2, 2, 0));
  snprintf(w->text, sizeof w->text, "%s", lua_tostring(L, -2));
  w->bytes = (long)lua_tointeger(L, -1);
  lua_close(L);
  return NULL;
}

/* Trains a model and reads its file into memory that all threads may use. */
static saros_shared *make_model(void) {
  char path[] = "/tmp/saros-XXXXXX";
  saros_archive *archive = NULL;
  saros_shared *model = NULL;
  lua_State *L = open_state(0);
  saros_context *context = saros_context_in(L);
  close(mkstemp(path));
  check(L, luaL_loadstring(L, trains));
  lua_pushstring(L, path);
  check(L, lua_pcall(L, 1, 0, 0));
  if (saros_safetensors_read(context, path, &archive) != SAROS_OK ||
      saros_shared_new(archive, NULL, NULL, &model) != SAROS_OK)
    fprintf(stderr, "%s\n", saros_error(context));
  saros_archive_release(archive);
  remove(path);
  lua_close(L);
  return model;
}

int main(void) {
  writer writers[STATES + 1] = {{0}};  // the last one is alone
  pthread_t threads[STATES];
  saros_shared *model = make_model();
  int same = 0;
  if (model == NULL)
    return EXIT_FAILURE;
  const size_t weights = saros_shared_bytes(model);
  for (int i = 0; i <= STATES; i++)
    writers[i].model = model;
  for (int i = 0; i < STATES; i++)
    if (pthread_create(&threads[i], NULL, write_text, &writers[i]) != 0)
      return EXIT_FAILURE;
  for (int i = 0; i < STATES; i++)
    pthread_join(threads[i], NULL);
  write_text(&writers[STATES]);
  for (int i = 0; i < STATES; i++)
    same += strcmp(writers[i].text, writers[STATES].text) == 0;
  printf("%d of %d wrote: %s\n", same, STATES, writers[STATES].text);
  printf("shared: %zu bytes of weights, %zu packed; in each state: %ld\n",
         weights, saros_shared_bytes(model) - weights, writers[STATES].bytes);
  saros_shared_release(model);
  return same != STATES;
}
