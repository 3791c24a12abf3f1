/*
** Frozen memory: its contents never change, so what was computed from it may be
** kept with it. The context has a list of all of it in the order of addresses.
*/
#include <string.h>

#include "base.h"

/* The place of the first frozen memory that begins behind an address. */
static int place_behind(const saros_context *context, const char *at) {
  int low = 0, high = context->frozen_count;
  while (low < high) {
    int middle = low + (high - low) / 2;
    if (context->frozen[middle]->data <= at)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

saros_status base_freeze(saros_context *context, const void *data, size_t bytes,
                         base_frozen **out) {
  *out = NULL;
  TRY(array_reserve(context, &context->frozen, context->frozen_count,
                    &context->frozen_room, sizeof *context->frozen));
  base_frozen *f = pool_take(&context->pool, sizeof *f);
  if (f == NULL)
    return base_out_of_memory(context, sizeof *f);
  *f = (base_frozen){data, bytes, ++context->frozen_serial, NULL};
  int place = place_behind(context, f->data);
  base_frozen **at = context->frozen + place;
  memmove(at + 1, at,
          (size_t)(context->frozen_count++ - place) * sizeof(base_frozen *));
  *at = *out = f;
  return SAROS_OK;
}

void base_thaw(saros_context *context, base_frozen *f) {
  if (f == NULL)
    return;
  int place = place_behind(context, f->data);
  base_frozen **at = context->frozen + place;
  memmove(at - 1, at,
          (size_t)(context->frozen_count-- - place) * sizeof(base_frozen *));
  for (base_kept *kept = f->kept, *next; kept != NULL; kept = next) {
    next = kept->next;
    base_thaw(context, kept->frozen);
    pool_give(&context->pool, kept);
  }
  pool_give(&context->pool, f);
}

base_frozen *base_frozen_at(const saros_context *context, const void *at) {
  int place = place_behind(context, at);
  base_frozen *f = place > 0 ? context->frozen[place - 1] : NULL;
  return f != NULL && (const char *)at < f->data + f->bytes ? f : NULL;
}
