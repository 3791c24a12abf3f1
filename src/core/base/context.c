/*
** The context: what belongs to one user of the library and to nobody else.
** It lives until its opener and the last of its objects have let go of it.
*/
#define _GNU_SOURCE  // sched_getaffinity
#include <cblas.h>
#include <jansson.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base.h"

static void *standard_allocator(void *user, void *block, size_t old_size,
                                size_t new_size) {
  (void)user, (void)old_size;
  if (new_size == 0) {
    free(block);
    return NULL;
  }
  return realloc(block, new_size);
}

/* The processors that the process may use. */
static long usable_processors(void) {
#ifdef __linux__
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0)
    return CPU_COUNT(&allowed);
#endif
  return sysconf(_SC_NPROCESSORS_ONLN);
}

static int default_threads(void) {
  long processors = usable_processors();
  return processors < 1 ? 1 : processors > 256 ? 256 : (int)processors;
}

/*
** Work is split by our own threads; OpenBLAS runs on one inside each. It has
** one number for the whole process, so this is the one thing that contexts
** share: the first sets the number, and the last gives it back to a host that
** uses OpenBLAS itself. What OpenBLAS says of itself it writes to one place each
** time it is asked, so it is asked here. Jansson's hash tables have one seed for
** the process, which the first object would draw while other threads may read it.
*/
static struct {
  pthread_mutex_t mutex;
  int contexts;
  int threads;  // that OpenBLAS had before
  char config[128];
} blas = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void join_libraries(void) {
  pthread_mutex_lock(&blas.mutex);
  if (blas.contexts++ == 0) {
    snprintf(blas.config, sizeof blas.config, "%s", openblas_get_config());
    blas.threads = openblas_get_num_threads();
    if (blas.threads != 1)
      openblas_set_num_threads(1);
    json_object_seed(0);  // a second call does nothing
  }
  pthread_mutex_unlock(&blas.mutex);
}

static void leave_libraries(void) {
  pthread_mutex_lock(&blas.mutex);
  if (--blas.contexts == 0 && blas.threads != 1)
    openblas_set_num_threads(blas.threads);
  pthread_mutex_unlock(&blas.mutex);
}

saros_context *saros_context_open(saros_allocator allocator, void *user,
                                  int version, size_t real_size) {
  if (saros_check_build(version, real_size, NULL, 0) != SAROS_OK)
    return NULL;
  if (allocator == NULL)
    allocator = standard_allocator;
  saros_context *context = allocator(user, NULL, 0, sizeof *context);
  if (context == NULL)
    return NULL;
  memset(context, 0, sizeof *context);
  context->references = 1;
  context->pool.allocator = allocator;
  context->pool.user = user;
  context->kernels = kernel_select(base_wanted_isa());
  context->threads = default_threads();
  base_read_caches(context);
  join_libraries();
  return context;
}

void base_borrow(saros_context *context, base_loan *loan) {
  loan->newer = NULL;
  loan->older = context->loans;
  if (loan->older != NULL)
    loan->older->newer = loan;
  context->loans = loan;
}

void base_return(saros_context *context, base_loan *loan) {
  if (loan->older != NULL)
    loan->older->newer = loan->newer;
  if (loan->newer != NULL)
    loan->newer->older = loan->older;
  else
    context->loans = loan->older;
  if (loan->release != NULL)
    loan->release(loan->user);
}

void saros_context_destroy(saros_context *context) {
  if (context == NULL)
    return;
  team_release(context);
  while (context->loans != NULL)
    base_return(context, context->loans);
  pool_free_all(&context->pool);
  leave_libraries();
  context->pool.allocator(context->pool.user, context, sizeof *context, 0);
}

void saros_context_release(saros_context *context) {
  if (context != NULL && --context->references == 0)
    saros_context_destroy(context);
}

saros_status base_object_new(saros_context *context, size_t bytes, void **out) {
  void *object = pool_take(&context->pool, bytes);
  *out = object;
  if (object == NULL)
    return base_out_of_memory(context, bytes);
  memset(object, 0, bytes);
  context->references++;
  return SAROS_OK;
}

void base_object_free(saros_context *context, void *object) {
  if (object == NULL)
    return;
  pool_give(&context->pool, object);
  saros_context_release(context);
}

void saros_set_interrupt(saros_context *context, saros_interrupt wanted,
                         void *user) {
  context->interrupt = wanted;
  context->interrupt_user = user;
}

saros_memory saros_memory_of(const saros_context *context) {
  return context->pool.memory;
}

void saros_trim(saros_context *context) {
  pool_trim(&context->pool);
}

void saros_set_index_base(saros_context *context, int base) {
  context->index_base = base;
}

saros_build saros_info(const saros_context *context) {
  return (saros_build){
      .version = SAROS_VERSION,
      .real = sizeof(real) == sizeof(float) ? "float" : "double",
      .isa = context->kernels->isa,
      .blas = blas.config,
      .threads = context->threads,
      .exact_outputs = STEP_FEW,
      .cache = {context->cache[0], context->cache[1], context->cache[2]},
      .packed_columns = context->kernels->packed[PACKED_REAL]->width,
      .packed_depth = PACKED_DEPTH,
      .fetched_ahead = base_most_ahead(context) * sizeof(real),
  };
}

const char *saros_isa(int index) {
  return kernel_set_name(index);
}

saros_status saros_restrict(saros_context *context, int capabilities) {
  if (capabilities & ~(SAROS_NO_FILES | SAROS_NO_THREADS))
    return saros_fail(context, SAROS_EARGUMENT,
                      "restrict: expected SAROS_NO_FILES, SAROS_NO_THREADS or "
                      "both, got %d",
                      capabilities);
  context->restricted |= capabilities;
  if (context->restricted & SAROS_NO_THREADS) {
    team_release(context);
    context->threads = 1;
  }
  return SAROS_OK;
}

saros_status saros_set_threads(saros_context *context, int threads) {
  if (threads > 1 && (context->restricted & SAROS_NO_THREADS))
    return saros_fail(context, SAROS_EARGUMENT,
                      "threads: expected 1, as the host gives no more, got %d",
                      threads);
  if (threads < 1 || threads > 256)
    return saros_fail(context, SAROS_EARGUMENT,
                      "threads: expected a number in 1..256, got %d", threads);
  if (threads != context->threads)
    team_release(context);
  context->threads = threads;
  return SAROS_OK;
}

saros_status saros_set_precision(saros_context *context,
                                 saros_precision precision) {
  TRY(base_expect_known(context, "precision", "a precision", (int)precision,
                        SAROS_PRECISIONS));
  context->precision = (int)precision;
  return SAROS_OK;
}

saros_precision saros_precision_of(const saros_context *context) {
  return (saros_precision)context->precision;
}
