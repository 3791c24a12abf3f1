/*
** The team: worker threads of a context, which share out the blocks of one job
** at a time. The caller works too. A waiting thread spins briefly, because the next
** job usually follows at once, then sleeps and leaves its processor to others.
**
** A job is a generation number: a worker that sees a new one takes blocks
** until none is left, then reports. Any thread may do any block; what a block
** computes does not depend on that.
**
** A job may be stopped between blocks. Only the calling thread asks the host, as
** that is where the host's functions may run; the others read the answer.
*/
#include <stdlib.h>
#include <string.h>

#include "base.h"

typedef struct team {
  saros_context *context;
  pthread_mutex_t mutex;
  pthread_cond_t work, done;
  void (*part)(void *arguments, int block);
  void *arguments;
  int blocks;
  atomic_int next;  // block to take
  atomic_ulong generation;
  atomic_int busy;  // workers that have not finished this generation
  int stopping;
  int workers;
  pthread_t worker[];
} team;

/* Spins before a thread sleeps, some ten microseconds. */
#define LOOKS 500

/* --- Interrupts --------------------------------------------------------------- */

int base_is_interrupted(saros_context *context) {
  if (context->interrupt == NULL)
    return 0;
  if (atomic_load_explicit(&context->stopped, memory_order_relaxed))
    return 1;
  if (!pthread_equal(pthread_self(), context->caller) ||
      !context->interrupt(context->interrupt_user))
    return 0;
  atomic_store_explicit(&context->stopped, 1, memory_order_relaxed);
  return 1;
}

static void begin_job(saros_context *context) {
  context->caller = pthread_self();
  context->jobs++;
}

/* The outermost job ends what an interrupt has stopped. */
static saros_status end_job(saros_context *context) {
  int stopped = atomic_load_explicit(&context->stopped, memory_order_relaxed);
  if (--context->jobs == 0 && stopped)
    atomic_store_explicit(&context->stopped, 0, memory_order_relaxed);
  return stopped ? saros_fail(context, SAROS_EINTERRUPT,
                              "interrupted: the host wants an end")
                 : SAROS_OK;
}

saros_status base_check_interrupt(saros_context *context) {
  begin_job(context);
  base_is_interrupted(context);
  return end_job(context);
}

/* --- Workers ------------------------------------------------------------------ */

static void pause_briefly(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static void watch_for_job(team *t, unsigned long seen) {
  for (int look = 0; look < LOOKS; look++) {
    if (atomic_load_explicit(&t->generation, memory_order_relaxed) != seen)
      return;
    pause_briefly();
  }
}

static void watch_for_end(team *t) {
  for (int look = 0; look < LOOKS; look++) {
    if (atomic_load_explicit(&t->busy, memory_order_relaxed) == 0)
      return;
    pause_briefly();
  }
}

static void take_blocks(team *t) {
  while (!base_is_interrupted(t->context)) {
    int block = atomic_fetch_add_explicit(&t->next, 1, memory_order_relaxed);
    if (block >= t->blocks)
      return;
    t->part(t->arguments, block);
  }
}

/* Waits for a job other than the one seen last; 0 when no more will come. */
static int await_job(team *t, unsigned long *seen) {
  watch_for_job(t, *seen);
  pthread_mutex_lock(&t->mutex);
  while (t->generation == *seen && !t->stopping)
    pthread_cond_wait(&t->work, &t->mutex);
  *seen = t->generation;
  int more = !t->stopping;
  pthread_mutex_unlock(&t->mutex);
  return more;
}

static void *work(void *argument) {
  team *t = argument;
  unsigned long seen = 0;
  while (await_job(t, &seen)) {
    take_blocks(t);
    pthread_mutex_lock(&t->mutex);
    if (--t->busy == 0)
      pthread_cond_signal(&t->done);
    pthread_mutex_unlock(&t->mutex);
  }
  return NULL;
}

/* A team of as many workers as could be started; null if none. */
static team *team_new(saros_context *context) {
  size_t wanted = (size_t)context->threads - 1;
  size_t bytes = sizeof(team) + wanted * sizeof(pthread_t);
  team *t = pool_take(&context->pool, bytes);
  if (t == NULL)
    return NULL;
  memset(t, 0, bytes);
  t->context = context;
  pthread_mutex_init(&t->mutex, NULL);
  pthread_cond_init(&t->work, NULL);
  pthread_cond_init(&t->done, NULL);
  for (size_t i = 0; i < wanted; i++)
    if (pthread_create(&t->worker[t->workers], NULL, work, t) == 0)
      t->workers++;
  return t;
}

void team_release(saros_context *context) {
  team *t = context->team;
  if (t == NULL)
    return;
  pthread_mutex_lock(&t->mutex);
  t->stopping = 1;
  pthread_cond_broadcast(&t->work);
  pthread_mutex_unlock(&t->mutex);
  for (int i = 0; i < t->workers; i++)
    pthread_join(t->worker[i], NULL);
  pthread_cond_destroy(&t->work);
  pthread_cond_destroy(&t->done);
  pthread_mutex_destroy(&t->mutex);
  pool_give(&context->pool, t);
  context->team = NULL;
}

static void run_on_team(team *t, int blocks,
                        void (*part)(void *arguments, int block),
                        void *arguments) {
  pthread_mutex_lock(&t->mutex);
  t->part = part;
  t->arguments = arguments;
  t->blocks = blocks;
  atomic_store_explicit(&t->next, 0, memory_order_relaxed);
  t->busy = t->workers;
  t->generation++;
  pthread_cond_broadcast(&t->work);
  pthread_mutex_unlock(&t->mutex);
  take_blocks(t);
  watch_for_end(t);
  pthread_mutex_lock(&t->mutex);
  while (t->busy > 0)
    pthread_cond_wait(&t->done, &t->mutex);
  pthread_mutex_unlock(&t->mutex);
}

saros_status team_for(saros_context *context, int blocks,
                      void (*part)(void *arguments, int block),
                      void *arguments) {
  begin_job(context);
  if (blocks > 1 && context->threads > 1 && context->team == NULL)
    context->team = team_new(context);
  if (blocks > 1 && context->team != NULL)
    run_on_team(context->team, blocks, part, arguments);
  else
    for (int block = 0; block < blocks && !base_is_interrupted(context);
         block++)
      part(arguments, block);
  return end_job(context);
}

/* --- Rows --------------------------------------------------------------------- */

/* Elements in a block: some ten microseconds of the cheapest arithmetic. */
#define ELEMENTS ((size_t)1 << 16)

typedef struct row_job {
  void (*part)(void *arguments, size_t from, size_t rows);
  void *arguments;
  size_t n, block;  // rows in all, and in a block
} row_job;

static void run_rows(void *arguments, int block) {
  const row_job *job = arguments;
  const size_t from = job->block * (size_t)block, left = job->n - from;
  job->part(job->arguments, from, left < job->block ? left : job->block);
}

saros_status team_rows(saros_context *context, size_t n, size_t width,
                       void (*part)(void *arguments, size_t from, size_t rows),
                       void *arguments) {
  width += width == 0;
  row_job job = {part, arguments, n, (ELEMENTS + width - 1) / width};
  while (n / job.block >= INT32_MAX)
    job.block *= 2;
  return team_for(context, (int)((n + job.block - 1) / job.block), run_rows,
                  &job);
}
