/*
** A map from pairs of ids to numbers: open addressing, at most half full.
*/
#include <string.h>

#include "text.h"

#define FIRST_SLOTS 1024

static text_pair_slot *slot_of(const text_pair_map *m, int32_t a, int32_t b) {
  uint64_t key = (uint64_t)(uint32_t)a << 32 | (uint32_t)b;
  key *= 0x9E3779B97F4A7C15u;
  size_t mask = m->slot_count - 1;
  for (size_t i = (key ^ key >> 32) & mask;; i = (i + 1) & mask) {
    text_pair_slot *slot = &m->slots[i];
    if (slot->a < 0 || (slot->a == a && slot->b == b))
      return slot;
  }
}

int32_t text_pair_find(const text_pair_map *m, int32_t a, int32_t b) {
  if (m->count == 0)
    return -1;
  const text_pair_slot *slot = slot_of(m, a, b);
  return slot->a < 0 ? -1 : slot->value;
}

static saros_status more_slots(saros_context *context, text_pair_map *m) {
  text_pair_map larger = {.count = m->count, .slot_count = 2 * m->slot_count};
  if (larger.slot_count == 0)
    larger.slot_count = FIRST_SLOTS;
  size_t bytes = larger.slot_count * sizeof *m->slots;
  larger.slots = pool_take(&context->pool, bytes);
  if (larger.slots == NULL)
    return base_out_of_memory(context, bytes);
  for (size_t i = 0; i < larger.slot_count; i++)
    larger.slots[i].a = -1;
  for (size_t i = 0; i < m->slot_count; i++)
    if (m->slots[i].a >= 0)
      *slot_of(&larger, m->slots[i].a, m->slots[i].b) = m->slots[i];
  pool_give(&context->pool, m->slots);
  *m = larger;
  return SAROS_OK;
}

saros_status text_pair_add(saros_context *context, text_pair_map *m, int32_t a,
                           int32_t b, int32_t value) {
  if (2 * m->count >= m->slot_count)
    TRY(more_slots(context, m));
  *slot_of(m, a, b) = (text_pair_slot){a, b, value};
  m->count++;
  return SAROS_OK;
}

void text_pair_free(saros_context *context, text_pair_map *m) {
  pool_give(&context->pool, m->slots);
  *m = (text_pair_map){0};
}
