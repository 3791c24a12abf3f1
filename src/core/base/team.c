/*
** The team: worker threads of a context, which share out the blocks of one job
** at a time. The caller works too. A waiting thread spins briefly, because the next
** job usually follows at once, then sleeps and leaves its processor to others.
**
** The job is one number: its generation in the upper half, the blocks that nobody
** has taken in the lower. Taking a block subtracts 1 from the number that was read;
** if that succeeds, the job is still the one that was read, and so are its function
** and arguments, because the caller changes them only after all blocks are done.
** The caller waits for blocks, not for workers: a worker that comes too late finds
** none left. Nobody locks the mutex unless somebody sleeps. Any thread may do any
** block; what a block computes does not depend on that.
**
** A job may be stopped between blocks: those that remain are taken, but not done.
** Only the calling thread asks the host, as that is where the host's functions may
** run; the others read the answer.
*/
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base.h"

typedef struct team {
  saros_context *context;
  pid_t process;  // that the workers run in
  pthread_mutex_t mutex;
  pthread_cond_t work, done;
  void (*_Atomic part)(void *arguments, int block);
  void *_Atomic arguments;
  atomic_int blocks;
  _Alignas(64) atomic_ullong job;
  _Alignas(64) atomic_int finished;  // blocks that workers have done of the job
  atomic_int sleeping;               // workers that wait for 'work'
  atomic_int waiting;                // 1 while the caller waits for 'done'
  int stopping;
  int workers;
  pthread_t worker[];
} team;

/* Of a job: blocks not taken, and one generation. */
#define LEFT 0xffffffffull
#define GENERATION (LEFT + 1)

/* Spins before a thread sleeps, some twenty microseconds. */
#define LOOKS 1000

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

/* --- Blocks ------------------------------------------------------------------- */

static void pause_briefly(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

/* The next block of the job that runs, with its function; 0 if none is left. */
static int take_block(team *t, void (**part)(void *arguments, int block),
                      void **arguments, int *block) {
  unsigned long long job = atomic_load(&t->job);
  while (job & LEFT) {
    *part = atomic_load_explicit(&t->part, memory_order_relaxed);
    *arguments = atomic_load_explicit(&t->arguments, memory_order_relaxed);
    *block = atomic_load_explicit(&t->blocks, memory_order_relaxed) -
             (int)(job & LEFT);
    if (atomic_compare_exchange_weak(&t->job, &job, job - 1))
      return 1;
  }
  return 0;
}

/* Does blocks until none is left; returns how many it took. */
static int work_on_blocks(team *t) {
  void (*part)(void *, int);
  void *arguments;
  int taken = 0, block;
  for (; take_block(t, &part, &arguments, &block); taken++)
    if (!base_is_interrupted(t->context))
      part(arguments, block);
  return taken;
}

/* --- Workers ------------------------------------------------------------------ */

/* Waits for a job; 0 when no more will come. The number of those that sleep is
** raised before the last look at the job, and the caller changes the job before it
** looks at that number, so one of the two sees the other. */
static int await_job(team *t) {
  for (int look = 0; look < LOOKS; look++) {
    if (atomic_load_explicit(&t->job, memory_order_relaxed) & LEFT)
      return 1;
    pause_briefly();
  }
  pthread_mutex_lock(&t->mutex);
  atomic_fetch_add(&t->sleeping, 1);
  while (!(atomic_load(&t->job) & LEFT) && !t->stopping)
    pthread_cond_wait(&t->work, &t->mutex);
  atomic_fetch_sub(&t->sleeping, 1);
  int more = !t->stopping;
  pthread_mutex_unlock(&t->mutex);
  return more;
}

static void *work(void *argument) {
  team *t = argument;
  while (await_job(t)) {
    int taken = work_on_blocks(t);
    if (taken == 0)
      continue;
    atomic_fetch_add(&t->finished, taken);
    if (!atomic_load(&t->waiting))
      continue;
    pthread_mutex_lock(&t->mutex);
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
  t->process = getpid();
  pthread_mutex_init(&t->mutex, NULL);
  pthread_cond_init(&t->work, NULL);
  pthread_cond_init(&t->done, NULL);
  for (size_t i = 0; i < wanted; i++)
    if (pthread_create(&t->worker[t->workers], NULL, work, t) == 0)
      t->workers++;
  return t;
}

static void end_workers(team *t) {
  pthread_mutex_lock(&t->mutex);
  t->stopping = 1;
  pthread_cond_broadcast(&t->work);
  pthread_mutex_unlock(&t->mutex);
  for (int i = 0; i < t->workers; i++)
    pthread_join(t->worker[i], NULL);
  pthread_cond_destroy(&t->work);
  pthread_cond_destroy(&t->done);
  pthread_mutex_destroy(&t->mutex);
}

/* A process made by fork has the team's memory, but not its threads; what they may
** have locked is left as it is. */
void team_release(saros_context *context) {
  team *t = context->team;
  if (t == NULL)
    return;
  if (t->process == getpid())
    end_workers(t);
  pool_give(&context->pool, t);
  context->team = NULL;
}

/* --- Jobs --------------------------------------------------------------------- */

/* Wakes as many workers as the blocks need beside those that are awake. */
static void wake_workers(team *t, int blocks) {
  int sleeping = atomic_load(&t->sleeping);
  int wanted = blocks - 1 - (t->workers - sleeping);
  if (sleeping == 0 || wanted <= 0)
    return;
  pthread_mutex_lock(&t->mutex);
  for (int i = 0; i < wanted && i < sleeping; i++)
    pthread_cond_signal(&t->work);
  pthread_mutex_unlock(&t->mutex);
}

/* Waits until the workers have done so many blocks. */
static void await_workers(team *t, int blocks) {
  for (int look = 0; look < LOOKS; look++) {
    if (atomic_load(&t->finished) == blocks)
      return;
    pause_briefly();
  }
  pthread_mutex_lock(&t->mutex);
  atomic_store(&t->waiting, 1);
  while (atomic_load(&t->finished) != blocks)
    pthread_cond_wait(&t->done, &t->mutex);
  atomic_store(&t->waiting, 0);
  pthread_mutex_unlock(&t->mutex);
}

/* The host is asked before and after, as the workers may take all blocks. */
static void run_on_team(team *t, double work, int blocks,
                        void (*part)(void *arguments, int block),
                        void *arguments) {
  unsigned long long last = atomic_load(&t->job);
  if (base_is_interrupted(t->context))
    return;
  atomic_store_explicit(&t->part, part, memory_order_relaxed);
  atomic_store_explicit(&t->arguments, arguments, memory_order_relaxed);
  atomic_store_explicit(&t->blocks, blocks, memory_order_relaxed);
  atomic_store_explicit(&t->finished, 0, memory_order_relaxed);
  atomic_store(&t->job, last + GENERATION + (unsigned)blocks);
  if (work >= TEAM_WAKES)
    wake_workers(t, blocks);
  await_workers(t, blocks - work_on_blocks(t));
  base_is_interrupted(t->context);
}

/* The team of this process, which is made when it is first needed; or null. */
static team *team_of(saros_context *context) {
  if (context->threads == 1)
    return NULL;
  if (context->team != NULL && context->team->process != getpid())
    team_release(context);
  if (context->team == NULL)
    context->team = team_new(context);
  return context->team;
}

saros_status team_share(saros_context *context, double work, int blocks,
                        void (*part)(void *arguments, int block),
                        void *arguments) {
  begin_job(context);
  team *t = blocks > 1 && work >= TEAM_LEAST ? team_of(context) : NULL;
  if (t != NULL)
    run_on_team(t, work, blocks, part, arguments);
  else
    for (int block = 0; block < blocks && !base_is_interrupted(context);
         block++)
      part(arguments, block);
  return end_job(context);
}

saros_status team_for(saros_context *context, int blocks,
                      void (*part)(void *arguments, int block),
                      void *arguments) {
  return team_share(context, TEAM_WAKES, blocks, part, arguments);
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
  return team_share(context, 8 * (double)n * (double)width,
                    (int)((n + job.block - 1) / job.block), run_rows, &job);
}
