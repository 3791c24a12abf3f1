/*
** The profile: time by operation and by layer, in rows that only ever grow in
** number. At every moment one row is current; when another becomes current,
** the time since the last change goes to the one that was. So no time is
** counted twice and none is lost: the rows add up to what the clock says.
**
** Row 0 is what happens outside operations. A tape entry remembers the row of
** the call that recorded it; its backward has the row of the same operation
** and layer, going back. Rows stay when profiling ends, so that a later
** profile finds the rows of a tape that is still open.
*/
#include <string.h>
#include <time.h>

#include "base.h"

#define BUCKETS 64

/* An operation or a layer, each name once. */
typedef struct profile_name {
  char *text;
  int next;  // in its bucket; 0: none
  int rows;  // the first row of an operation of that name; 0: none
} profile_name;

typedef struct profile_row {
  int operation, layer;  // positions among the names
  int backward;
  int next;  // of the same operation; 0: none
  uint64_t calls;
  double seconds;
} profile_row;

typedef struct profile {
  int open;     // how many profiles run; 0: nothing is measured
  int current;  // row
  int layer;    // name
  double since;
  profile_name *names;
  profile_row *rows;
  size_t name_count, name_room, row_count, row_room;
  int bucket[BUCKETS];
} profile;

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* --- Names and rows -------------------------------------------------------------- */

static int bucket_of(const char *text) {
  uint32_t hash = 2166136261u;  // FNV-1a
  for (; *text != '\0'; text++)
    hash = (hash ^ (unsigned char)*text) * 16777619u;
  return (int)(hash % BUCKETS);
}

/* Room for one more; what is measured may still succeed, so where there is no
** memory no message stays behind. */
static int grow(saros_context *context, void *items, size_t used, size_t *room,
                size_t item_size) {
  if (array_grow(context, items, used, room, 1, item_size) == SAROS_OK)
    return 1;
  context->message[0] = '\0';
  return 0;
}

/* The position of a name; 0, which is "", if there is no memory. */
static int name_of(saros_context *context, const char *text) {
  profile *p = context->profile;
  if (text[0] == '\0')
    return 0;
  int bucket = bucket_of(text);
  for (int at = p->bucket[bucket]; at != 0; at = p->names[at].next)
    if (strcmp(p->names[at].text, text) == 0)
      return at;
  if (!grow(context, &p->names, p->name_count, &p->name_room, sizeof *p->names))
    return 0;
  char *copy = pool_take(&context->pool, strlen(text) + 1);
  if (copy == NULL)
    return 0;
  strcpy(copy, text);
  int at = (int)p->name_count++;
  p->names[at] = (profile_name){.text = copy, .next = p->bucket[bucket]};
  p->bucket[bucket] = at;
  return at;
}

/* The row of an operation in a layer; 0 if there is no memory. */
static int row_of(saros_context *context, int name, int layer, int backward) {
  profile *p = context->profile;
  for (int at = p->names[name].rows; at != 0; at = p->rows[at].next)
    if (p->rows[at].layer == layer && p->rows[at].backward == backward)
      return at;
  if (name == 0 ||
      !grow(context, &p->rows, p->row_count, &p->row_room, sizeof *p->rows))
    return 0;
  int at = (int)p->row_count++;
  p->rows[at] = (profile_row){name, layer, backward, p->names[name].rows, 0, 0};
  p->names[name].rows = at;
  return at;
}

/* Makes a row the current one; returns the one that was. */
static int switch_to(profile *p, int row) {
  int before = p->current;
  double time = now();
  p->rows[before].seconds += time - p->since;
  p->since = time;
  p->current = row;
  return before;
}

/* --- Being measured --------------------------------------------------------------- */

int saros_is_profiling(const saros_context *context) {
  return context->profile != NULL && context->profile->open > 0;
}

static int enter(saros_context *context, int row) {
  context->profile->rows[row].calls++;
  return switch_to(context->profile, row);
}

int saros_profile_enter(saros_context *context, const char *name) {
  if (!saros_is_profiling(context))
    return 0;
  int position = name_of(context, name);
  return enter(context, row_of(context, position, context->profile->layer, 0));
}

void saros_profile_leave(saros_context *context, int before) {
  if (saros_is_profiling(context))
    switch_to(context->profile, before);
}

int profile_row_recorded(saros_context *context, const char *operation) {
  profile *p = context->profile;
  if (!saros_is_profiling(context))
    return 0;
  return p->current != 0
             ? p->current
             : row_of(context, name_of(context, operation), p->layer, 0);
}

int profile_enter_backward(saros_context *context, int row,
                           const char *operation) {
  if (!saros_is_profiling(context))
    return 0;
  profile *p = context->profile;
  profile_row forward = p->rows[row];
  if (row == 0)
    forward.operation = name_of(context, operation);
  return enter(context, row_of(context, forward.operation, forward.layer, 1));
}

const char *saros_profile_layer(saros_context *context, const char *layer) {
  profile *p = context->profile;
  if (!saros_is_profiling(context))
    return "";
  const char *before = p->names[p->layer].text;
  p->layer = name_of(context, layer);
  return before;
}

/* --- A profile's life ------------------------------------------------------------- */

/* The profile of a context, with the name "" and the row 0. */
static saros_status profile_new(saros_context *context) {
  base_pool *pool = &context->pool;
  profile *p = pool_take(pool, sizeof *p);
  if (p == NULL)
    return base_out_of_memory(context, sizeof *p);
  memset(p, 0, sizeof *p);
  char *nothing = pool_take(pool, 1);
  if (nothing == NULL ||
      array_grow(context, &p->names, 0, &p->name_room, 1, sizeof *p->names) ||
      array_grow(context, &p->rows, 0, &p->row_room, 1, sizeof *p->rows)) {
    pool_give(pool, nothing);
    pool_give(pool, p->names);
    pool_give(pool, p);
    return base_out_of_memory(context, sizeof *p);
  }
  nothing[0] = '\0';
  p->names[0] = (profile_name){.text = nothing};
  p->rows[0] = (profile_row){0};
  p->name_count = p->row_count = 1;
  context->profile = p;
  return SAROS_OK;
}

saros_status saros_profile_start(saros_context *context) {
  if (context->profile == NULL)
    TRY(profile_new(context));
  profile *p = context->profile;
  if (p->open++ == 0) {
    p->current = p->layer = 0;
    p->since = now();
  }
  switch_to(p, p->current);
  return SAROS_OK;
}

void saros_profile_stop(saros_context *context) {
  if (!saros_is_profiling(context))
    return;
  switch_to(context->profile, context->profile->current);
  context->profile->open--;
}

int saros_profile_count(const saros_context *context) {
  return context->profile != NULL ? (int)context->profile->row_count : 0;
}

saros_profile_row saros_profile_at(const saros_context *context, int at) {
  const profile *p = context->profile;
  const profile_row *row = &p->rows[at];
  return (saros_profile_row){.operation = p->names[row->operation].text,
                             .layer = p->names[row->layer].text,
                             .backward = row->backward,
                             .calls = row->calls,
                             .seconds = row->seconds};
}
