/*
** The pool: blocks of memory from the context's allocator, kept for reuse.
**
** A block is aligned to 64 bytes and begins with a header of 64. Sizes are
** rounded up to one of eight classes for each doubling, so at most an eighth
** is lost; a freed block waits in the list of its class. Training asks for the
** same sizes in every window, so after the first windows nothing is asked of
** the allocator any more. When it refuses, the free blocks are given back and
** it is asked once more.
**
** Other work asks for other sizes. So a block goes back to the allocator, too,
** when it has been waiting for long: while STALE times as many bytes were taken
** as were ever in use at once, which is many windows.
*/
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base.h"

#define ALIGNMENT 64
#define STALE 32

/* Under the address sanitizer only the bytes that were asked for may be touched: a
** free block is poisoned, and in a block in use what its class has beyond them. */
#ifdef __has_feature  // of clang
#if __has_feature(address_sanitizer)
#define POOL_IS_WATCHED
#endif
#endif
#ifdef __SANITIZE_ADDRESS__  // of gcc
#define POOL_IS_WATCHED
#endif
#ifdef POOL_IS_WATCHED
#include <sanitizer/asan_interface.h>
#define POISON(data, size) ASAN_POISON_MEMORY_REGION(data, size)
#define UNPOISON(data, size) ASAN_UNPOISON_MEMORY_REGION(data, size)
#else
#define POISON(data, size) ((void)0)
#define UNPOISON(data, size) ((void)0)
#endif

typedef struct pool_block {
  struct pool_block *next;           // in the list of its class
  struct pool_block *newer, *older;  // among all blocks
  void *raw;                         // what the allocator returned
  size_t size;                       // of the class, without the header
  uint64_t given;                    // bytes taken when it came back
  int class;
  unsigned trace;  // the trace that it was taken in; 0: none
  int64_t taken;   // its number there, from 1
} pool_block;

_Static_assert(sizeof(pool_block) <= ALIGNMENT,
               "the header fits before the data");

/* The class of a size and, in *rounded, the size that the class has. */
static int class_of(size_t bytes, size_t *rounded) {
  size_t units = (bytes + ALIGNMENT - 1) / ALIGNMENT;
  if (units <= 8) {
    units = units == 0 ? 1 : units;
    *rounded = units * ALIGNMENT;
    return (int)units - 1;
  }
  int shift = 63 - __builtin_clzll((unsigned long long)(units - 1)) - 3;
  size_t eighths = ((units - 1) >> shift) + 1;  // 9..16 steps of 2^shift
  *rounded = (eighths << shift) * ALIGNMENT;
  return shift * 8 + (int)eighths - 1;
}

static void *ask(base_pool *pool, size_t bytes) {
  void *raw = pool->allocator(pool->user, NULL, 0, bytes);
  if (raw == NULL && pool->memory.pooled > 0) {
    pool_trim(pool);
    raw = pool->allocator(pool->user, NULL, 0, bytes);
  }
  return raw;
}

/* Bytes of a block with its header, wherever the allocator lets it begin. */
static size_t raw_size(size_t size) {
  return size + 2 * ALIGNMENT;
}

static pool_block *new_block(base_pool *pool, int class, size_t size) {
  char *raw = ask(pool, raw_size(size));
  if (raw == NULL)
    return NULL;
  size_t skip = ALIGNMENT - ((uintptr_t)raw & (ALIGNMENT - 1));
  pool_block *b = (pool_block *)(void *)(raw + skip);
  _Static_assert(2 * ALIGNMENT >= ALIGNMENT + sizeof(pool_block),
                 "room for both");
  *b = (pool_block){
      .raw = raw, .size = size, .class = class, .older = pool->all};
  if (pool->all != NULL)
    pool->all->newer = b;
  pool->all = b;
  return b;
}

/* --- Traces ---------------------------------------------------------------- */

void pool_trace(base_pool *pool, int64_t event) {
  base_trace *t = &pool->trace;
  if (t->count == t->room) {
    size_t room = t->room > 0 ? 2 * t->room : 256, size = sizeof *t->events;
    int64_t *larger =
        pool->allocator(pool->user, t->events, t->room * size, room * size);
    t->failed |= larger == NULL;
    if (larger == NULL)
      return;
    t->events = larger, t->room = room;
  }
  t->events[t->count++] = event;
}

static void trace_take(base_pool *pool, pool_block *b, size_t bytes) {
  b->trace = 0;
  if (!pool->trace.on)
    return;
  b->trace = pool->trace.serial;
  b->taken = ++pool->trace.taken;
  pool_trace(pool, (int64_t)bytes);
}

static void trace_give(base_pool *pool, const pool_block *b) {
  if (pool->trace.on && b->trace == pool->trace.serial)
    pool_trace(pool, -b->taken);
}

/* --- Taking and giving ------------------------------------------------------ */

static void free_block(base_pool *pool, pool_block *b) {
  if (b->older != NULL)
    b->older->newer = b->newer;
  if (b->newer != NULL)
    b->newer->older = b->older;
  else
    pool->all = b->older;
  UNPOISON((char *)b + ALIGNMENT, b->size);
  pool->allocator(pool->user, b->raw, raw_size(b->size), 0);
}

/* Gives back what has been waiting for long. */
static void sweep(base_pool *pool) {
  const uint64_t most = (uint64_t)STALE * pool->memory.peak;
  for (int class = 0; class < POOL_CLASSES; class ++)
    for (pool_block **at = &pool->free[class], *b; (b = *at) != NULL;) {
      if (pool->taken - b->given <= most) {
        at = &b->next;
        continue;
      }
      *at = b->next;
      pool->memory.pooled -= b->size;
      free_block(pool, b);
    }
  pool->sweep_at = pool->taken + most / 4;
}

void *pool_take(base_pool *pool, size_t bytes) {
  if (bytes > (size_t)1 << 50)
    return NULL;
  size_t size;
  int class = class_of(bytes, &size);
  pool_block *b = pool->free[class];
  if (b != NULL) {
    pool->free[class] = b->next;
    pool->memory.pooled -= b->size;
    UNPOISON((char *)b + ALIGNMENT, bytes);
  } else {
    b = new_block(pool, class, size);
    if (b == NULL)
      return NULL;
    POISON((char *)b + ALIGNMENT + bytes, size - bytes);
  }
  trace_take(pool, b, bytes > 0 ? bytes : 1);
  saros_memory *memory = &pool->memory;
  memory->in_use += size;
  if (memory->in_use > memory->recent)
    memory->recent = memory->in_use;
  if (memory->in_use > memory->peak)
    memory->peak = memory->in_use;
  pool->taken += size;
  if (pool->taken >= pool->sweep_at)
    sweep(pool);
  return (char *)b + ALIGNMENT;
}

void pool_give(base_pool *pool, void *data) {
  if (data == NULL)
    return;
  pool_block *b = (pool_block *)(void *)((char *)data - ALIGNMENT);
  trace_give(pool, b);
  b->given = pool->taken;
  b->next = pool->free[b->class];
  pool->free[b->class] = b;
  pool->memory.in_use -= b->size;
  pool->memory.pooled += b->size;
  POISON(data, b->size);
}

void pool_trim(base_pool *pool) {
  for (int class = 0; class < POOL_CLASSES; class ++) {
    pool_block *b = pool->free[class];
    pool->free[class] = NULL;
    while (b != NULL) {
      pool_block *next = b->next;
      free_block(pool, b);
      b = next;
    }
  }
  pool->memory.pooled = 0;
}

static void free_trace(base_pool *pool) {
  base_trace *t = &pool->trace;
  if (t->events != NULL)
    pool->allocator(pool->user, t->events, t->room * sizeof *t->events, 0);
  *t = (base_trace){.serial = t->serial};
}

void pool_free_all(base_pool *pool) {
  free_trace(pool);
  while (pool->all != NULL)
    free_block(pool, pool->all);
}

/* --- What scripts see of it -------------------------------------------------- */

size_t saros_block_bytes(size_t bytes) {
  size_t rounded;
  class_of(bytes, &rounded);
  return rounded;
}

void saros_mark_memory(saros_context *context) {
  context->pool.memory.recent = context->pool.memory.in_use;
}

saros_status saros_trace_start(saros_context *context, double times) {
  base_trace *t = &context->pool.trace;
  if (!(times >= 1 && times <= INT_MAX))
    return saros_fail(context, SAROS_EARGUMENT,
                      "trace: expected a number >= 1 of times, got %g", times);
  if (t->on)
    return saros_fail(context, SAROS_ESTATE,
                      "trace: expected no trace, got one that goes on");
  free_trace(&context->pool);
  t->on = 1;
  t->times = times;
  t->serial++;
  return SAROS_OK;
}

double saros_trace_rows(const saros_context *context, double rows) {
  const base_trace *t = &context->pool.trace;
  return t->on ? rows * t->times : rows;
}

void saros_trace_mark(saros_context *context) {
  if (context->pool.trace.on)
    pool_trace(&context->pool, 0);
}

saros_status saros_trace_stop(saros_context *context, const int64_t **events,
                              size_t *count) {
  base_trace *t = &context->pool.trace;
  *events = t->events;
  *count = t->on ? t->count : 0;
  t->on = 0;
  return t->failed
             ? base_out_of_memory(context, t->room * 2 * sizeof *t->events)
             : SAROS_OK;
}
