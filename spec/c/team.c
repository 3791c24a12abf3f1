/*
** The team of a context: every block of a job is done once, whichever thread takes
** it and whether workers spin or sleep; little work stays on the calling thread; an
** interrupt ends a job between its blocks.
*/
#include <pthread.h>
#include <time.h>

#include "base.h"
#include "check.h"
#include "saros.h"

enum { BLOCKS = 300 };

typedef struct job {
  pthread_t caller;
  atomic_int done[BLOCKS], elsewhere;
} job;

static void count_block(void *arguments, int block) {
  job *j = arguments;
  atomic_fetch_add(&j->done[block], 1);
  if (!pthread_equal(pthread_self(), j->caller))
    atomic_fetch_add(&j->elsewhere, 1);
}

static saros_context *context_with(int threads) {
  saros_context *context = saros_context_new(NULL, NULL);
  CHECK(context != NULL && saros_set_threads(context, threads) == SAROS_OK,
        "a context with %d threads", threads);
  return context;
}

/* The blocks that were not done 'times' times. */
static int wrong_blocks(const job *j, int blocks, int times) {
  int wrong = 0;
  for (int i = 0; i < BLOCKS; i++)
    wrong += j->done[i] != (i < blocks ? times : 0);
  return wrong;
}

/* --- Blocks ------------------------------------------------------------------- */

/* Jobs that follow each other at once, as in training. */
static void check_many_jobs(saros_context *context, int threads, int blocks) {
  job j = {.caller = pthread_self()};
  int failed = 0;
  for (int i = 0; i < 2000; i++)
    failed += team_for(context, blocks, count_block, &j) != SAROS_OK;
  CHECK(!failed && wrong_blocks(&j, blocks, 2000) == 0,
        "2000 jobs of %d blocks on %d threads", blocks, threads);
}

/* Jobs that find the workers asleep, or on their way there. */
static void check_pauses(saros_context *context, int threads) {
  job j = {.caller = pthread_self()};
  int failed = 0;
  for (int i = 0; i < 200; i++) {
    nanosleep(&(struct timespec){0, 1000 * (i % 40)}, NULL);
    failed += team_for(context, 7, count_block, &j) != SAROS_OK;
  }
  CHECK(!failed && wrong_blocks(&j, 7, 200) == 0,
        "jobs with pauses between them on %d threads", threads);
}

static void check_little_work(saros_context *context, int threads) {
  job j = {.caller = pthread_self()};
  int failed = 0;
  for (int i = 0; i < 200; i++)
    failed += team_share(context, TEAM_LEAST - 1, 9, count_block, &j) != 0;
  CHECK(!failed && wrong_blocks(&j, 9, 200) == 0 && j.elsewhere == 0,
        "little work stays where it is: %d of %d blocks of %d threads",
        (int)j.elsewhere, 9 * 200, threads);
}

/* --- Interrupts --------------------------------------------------------------- */

static int always(void *user) {
  (void)user;
  return 1;
}

static void check_interrupt(saros_context *context, int threads) {
  job j = {.caller = pthread_self()};
  saros_set_interrupt(context, always, NULL);
  CHECK(team_for(context, BLOCKS, count_block, &j) == SAROS_EINTERRUPT,
        "an interrupt on %d threads", threads);
  saros_set_interrupt(context, NULL, NULL);
  int done = 0;
  for (int i = 0; i < BLOCKS; i++)
    done += j.done[i];
  CHECK(done == 0, "%d blocks after an interrupt", done);
  check_many_jobs(context, threads, 3);
}

int main(void) {
  const int threads[] = {1, 2, 3, 8};
  for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) {
    saros_context *context = context_with(threads[i]);
    const int blocks[] = {0, 1, 2, 3, 16, BLOCKS};
    for (size_t b = 0; b < sizeof blocks / sizeof *blocks; b++)
      check_many_jobs(context, threads[i], blocks[b]);
    check_pauses(context, threads[i]);
    check_little_work(context, threads[i]);
    check_interrupt(context, threads[i]);
    saros_context_release(context);
  }
  return report();
}
