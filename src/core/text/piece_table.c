/*
** Tables of pieces of text: an open-addressing hash table of numbers, and the
** pieces by number. A slot keeps half of the hash, so that few comparisons of
** bytes are in vain. At most half of the slots are in use.
*/
#include <string.h>

#include "text.h"

#define FIRST_SLOTS 1024

/* --- Hashing -------------------------------------------------------------- */

static uint64_t mix(uint64_t x) {
  x *= 0x9E3779B97F4A7C15u;
  return x ^ x >> 32;
}

static uint64_t hash_of(const char *bytes, int size) {
  uint64_t hash = (uint64_t)size, word = 0;
  for (; size >= 8; size -= 8, bytes += 8) {
    memcpy(&word, bytes, 8);
    hash = mix(hash ^ word);
  }
  for (word = 0; size > 0; size--)
    word = word << 8 | (unsigned char)*bytes++;
  return mix(mix(hash ^ word));
}

#define HASH_PART 0xFFFFFFFF00000000u

/* The slot of a piece, or the free one where it would be. */
static uint64_t *slot_of(const text_piece_table *t, const char *bytes, int size,
                         uint64_t hash) {
  size_t mask = t->slot_count - 1;
  for (size_t i = hash & mask;; i = (i + 1) & mask) {
    uint64_t slot = t->slots[i];
    if (slot == 0)
      return &t->slots[i];
    if ((slot ^ hash) & HASH_PART)
      continue;
    const text_piece *p = &t->pieces[(uint32_t)slot - 1];
    if (p->size == size && memcmp(t->bytes + p->at, bytes, (size_t)size) == 0)
      return &t->slots[i];
  }
}

text_piece *text_piece_find(const text_piece_table *t, const char *bytes,
                            int size) {
  if (t->count == 0)
    return NULL;
  uint64_t slot = *slot_of(t, bytes, size, hash_of(bytes, size));
  return slot == 0 ? NULL : &t->pieces[(uint32_t)slot - 1];
}

/* --- Adding --------------------------------------------------------------- */

static saros_status more_slots(saros_context *context, text_piece_table *t) {
  size_t count = t->slot_count == 0 ? FIRST_SLOTS : 2 * t->slot_count;
  size_t bytes = count * sizeof *t->slots;
  if (count > (size_t)1 << 32)
    return saros_fail(context, SAROS_EARGUMENT,
                      "text: expected at most 2^31 different words");
  uint64_t *slots = pool_take(&context->pool, bytes);
  if (slots == NULL)
    return base_out_of_memory(context, bytes);
  memset(slots, 0, bytes);
  pool_give(&context->pool, t->slots);
  t->slots = slots;
  t->slot_count = count;
  for (size_t n = 0; n < t->count; n++) {
    const text_piece *p = &t->pieces[n];
    uint64_t hash = hash_of(t->bytes + p->at, p->size);
    *slot_of(t, t->bytes + p->at, p->size, hash) = (hash & HASH_PART) | (n + 1);
  }
  return SAROS_OK;
}

saros_status text_piece_add(saros_context *context, text_piece_table *t,
                            const char *bytes, int size, text_piece **out) {
  if (2 * t->count >= t->slot_count)
    TRY(more_slots(context, t));
  uint64_t hash = hash_of(bytes, size);
  uint64_t *slot = slot_of(t, bytes, size, hash);
  if (*slot == 0) {
    TRY(array_grow(context, &t->bytes, t->bytes_used, &t->bytes_room,
                   (size_t)size + 1, 1));  // an array also for an empty piece
    TRY(array_grow(context, &t->pieces, t->count, &t->room, 1,
                   sizeof *t->pieces));
    memcpy(t->bytes + t->bytes_used, bytes, (size_t)size);
    t->pieces[t->count++] = (text_piece){t->bytes_used, size, 0};
    t->bytes_used += (size_t)size;
    *slot = (hash & HASH_PART) | t->count;
  }
  *out = &t->pieces[(uint32_t)*slot - 1];
  return SAROS_OK;
}

void text_piece_clear(text_piece_table *t) {
  t->bytes_used = t->count = 0;
  if (t->slots != NULL)
    memset(t->slots, 0, t->slot_count * sizeof *t->slots);
}

void text_piece_free(saros_context *context, text_piece_table *t) {
  pool_give(&context->pool, t->bytes);
  pool_give(&context->pool, t->pieces);
  pool_give(&context->pool, t->slots);
  *t = (text_piece_table){0};
}
