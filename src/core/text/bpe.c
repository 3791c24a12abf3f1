/*
** Byte-pair encoding (Sennrich et al. 2016, over bytes). Learning: again and
** again the most frequent pair of neighbours becomes a symbol. Encoding: of the
** pairs of neighbours that are symbols, the one learned first is merged, the
** leftmost of equal ones, until there is none.
**
** Learning looks at each different chunk once, weighted by its count. A pair
** knows the chunks that it occurs in, perhaps more than once or no longer. A
** heap has the pairs by count; counts of old pairs only fall, so an entry that
** is too high when it comes up goes back with the count that is true now. Ties
** go to the smaller ids, so that equal texts give equal merges.
*/
#include <string.h>

#include "text.h"

/* --- Learning: the data --------------------------------------------------- */

typedef struct word {
  size_t at;  // of its ids
  int length;
  int64_t count;  // how often it occurs
} word;

typedef struct pair {
  int64_t count;
  int32_t a, b;
  int32_t occurrences;  // the first, plus 1; 0: none
} pair;

typedef struct occurrence {
  int32_t word, next;
} occurrence;

typedef struct heap_entry {
  int64_t count;
  int32_t pair;
} heap_entry;

typedef struct learner {
  saros_context *context;
  word *words;
  int32_t *ids;
  size_t word_count;
  pair *pairs;
  size_t pair_count, pair_room;
  text_pair_map map;  // to the number of a pair
  occurrence *occurrences;
  size_t occurrence_count, occurrence_room;
  heap_entry *heap;
  size_t heap_count, heap_room;
} learner;

static void free_learner(learner *l) {
  base_pool *pool = &l->context->pool;
  pool_give(pool, l->words);
  pool_give(pool, l->ids);
  pool_give(pool, l->pairs);
  pool_give(pool, l->occurrences);
  pool_give(pool, l->heap);
  text_pair_free(l->context, &l->map);
}

/* --- Learning: the heap --------------------------------------------------- */

static int is_before(const learner *l, heap_entry x, heap_entry y) {
  const pair *p = &l->pairs[x.pair], *q = &l->pairs[y.pair];
  if (x.count != y.count)
    return x.count > y.count;
  return p->a != q->a ? p->a < q->a : p->b < q->b;
}

static saros_status heap_push(learner *l, int32_t number) {
  heap_entry new = {l->pairs[number].count, number};
  TRY(array_grow(l->context, &l->heap, l->heap_count, &l->heap_room, 1,
                 sizeof *l->heap));
  size_t at = l->heap_count++;
  while (at > 0 && is_before(l, new, l->heap[(at - 1) / 2])) {
    l->heap[at] = l->heap[(at - 1) / 2];
    at = (at - 1) / 2;
  }
  l->heap[at] = new;
  return SAROS_OK;
}

/* Puts an entry where the top was. */
static void heap_replace_top(learner *l, heap_entry new) {
  size_t at = 0;
  for (;;) {
    size_t child = 2 * at + 1;
    if (child >= l->heap_count)
      break;
    if (child + 1 < l->heap_count &&
        is_before(l, l->heap[child + 1], l->heap[child]))
      child++;
    if (!is_before(l, l->heap[child], new))
      break;
    l->heap[at] = l->heap[child];
    at = child;
  }
  l->heap[at] = new;
}

static void heap_pop(learner *l) {
  if (--l->heap_count > 0)
    heap_replace_top(l, l->heap[l->heap_count]);
}

/* The most frequent pair; -1 if none occurs twice. */
static int32_t most_frequent(learner *l) {
  while (l->heap_count > 0) {
    heap_entry top = l->heap[0];
    int64_t count = l->pairs[top.pair].count;
    if (count < 2) {
      heap_pop(l);
    } else if (count != top.count) {
      heap_replace_top(l, (heap_entry){count, top.pair});
    } else {
      heap_pop(l);
      return top.pair;
    }
  }
  return -1;
}

/* --- Learning: pairs ------------------------------------------------------ */

static saros_status new_pair(learner *l, int32_t a, int32_t b, int32_t *out) {
  if (l->pair_count >= INT32_MAX)
    return base_out_of_memory(l->context, SIZE_MAX);
  TRY(array_grow(l->context, &l->pairs, l->pair_count, &l->pair_room, 1,
                 sizeof *l->pairs));
  TRY(text_pair_add(l->context, &l->map, a, b, (int32_t)l->pair_count));
  *out = (int32_t)l->pair_count;
  l->pairs[l->pair_count++] = (pair){0, a, b, 0};
  return SAROS_OK;
}

static saros_status add_occurrence(learner *l, pair *p, int32_t in) {
  if (l->occurrence_count >= INT32_MAX - 1)
    return base_out_of_memory(l->context, SIZE_MAX);
  TRY(array_grow(l->context, &l->occurrences, l->occurrence_count,
                 &l->occurrence_room, 1, sizeof *l->occurrences));
  l->occurrences[l->occurrence_count++] = (occurrence){in, p->occurrences};
  p->occurrences = (int32_t)l->occurrence_count;
  return SAROS_OK;
}

/* Counts the pairs of a word; notes it as an occurrence of those with the
** symbol 'new', or of all if that is -1. */
static saros_status count_pairs(learner *l, int32_t number, int32_t new) {
  const word *w = &l->words[number];
  const int32_t *ids = l->ids + w->at;
  for (int i = 0; i + 1 < w->length; i++) {
    int32_t found = text_pair_find(&l->map, ids[i], ids[i + 1]);
    if (found < 0)
      TRY(new_pair(l, ids[i], ids[i + 1], &found));
    l->pairs[found].count += w->count;
    if (new < 0 || ids[i] == new || ids[i + 1] == new)
      TRY(add_occurrence(l, &l->pairs[found], number));
  }
  return SAROS_OK;
}

static void discount_pairs(learner *l, const word *w) {
  const int32_t *ids = l->ids + w->at;
  for (int i = 0; i + 1 < w->length; i++)
    l->pairs[text_pair_find(&l->map, ids[i], ids[i + 1])].count -= w->count;
}

static int has_pair(const learner *l, const word *w, int32_t a, int32_t b) {
  const int32_t *ids = l->ids + w->at;
  for (int i = 0; i + 1 < w->length; i++)
    if (ids[i] == a && ids[i + 1] == b)
      return 1;
  return 0;
}

static void merge_in_word(learner *l, word *w, int32_t a, int32_t b,
                          int32_t new) {
  int32_t *ids = l->ids + w->at;
  int length = 0;
  for (int i = 0; i < w->length; i++) {
    int both = i + 1 < w->length && ids[i] == a && ids[i + 1] == b;
    ids[length++] = both ? new : ids[i];
    i += both;
  }
  w->length = length;
}

/* Makes a pair a symbol wherever it occurs. */
static saros_status merge_pair(learner *l, int32_t number, int32_t new) {
  pair p = l->pairs[number];
  size_t first_new = l->pair_count;
  for (int32_t at = p.occurrences; at != 0; at = l->occurrences[at - 1].next) {
    int32_t in = l->occurrences[at - 1].word;
    word *w = &l->words[in];
    if (!has_pair(l, w, p.a, p.b))
      continue;
    discount_pairs(l, w);
    merge_in_word(l, w, p.a, p.b, new);
    TRY(count_pairs(l, in, new));
  }
  for (size_t i = first_new; i < l->pair_count; i++)
    TRY(heap_push(l, (int32_t)i));
  return SAROS_OK;
}

/* --- Learning: all of it -------------------------------------------------- */

static saros_status copy_chunks(learner *l, const text_piece_table *chunks) {
  size_t words = chunks->count * sizeof *l->words;
  size_t ids = chunks->bytes_used * sizeof *l->ids;
  l->words = pool_take(&l->context->pool, words);
  l->ids = pool_take(&l->context->pool, ids);
  if (l->words == NULL || l->ids == NULL)
    return base_out_of_memory(l->context, words + ids);
  for (size_t i = 0; i < chunks->bytes_used; i++)
    l->ids[i] = (unsigned char)chunks->bytes[i];
  for (size_t i = 0; i < chunks->count; i++) {
    const text_piece *p = &chunks->pieces[i];
    l->words[i] = (word){p->at, p->size, p->value};
    TRY(count_pairs(l, (int32_t)i, -1));
  }
  for (size_t i = 0; i < l->pair_count; i++)
    TRY(heap_push(l, (int32_t)i));
  return SAROS_OK;
}

saros_status text_bpe_learn(saros_codec *codec, const text_piece_table *chunks,
                            int size) {
  learner l = {.context = codec->context};
  saros_status status = copy_chunks(&l, chunks);
  while (status == SAROS_OK && codec->count < size) {
    int32_t best = most_frequent(&l);
    if (best < 0)
      break;
    int32_t new = codec->count;
    status = saros_codec_merge(codec, l.pairs[best].a, l.pairs[best].b);
    if (status == SAROS_OK)
      status = merge_pair(&l, best, new);
    if (status == SAROS_OK)
      status = base_check_interrupt(l.context);
  }
  free_learner(&l);
  return status;
}

/* --- Encoding ------------------------------------------------------------- */

/* Merges in place; returns how many ids are left. merged[i] is the symbol that
** ids i and i + 1 make, or -1. */
static int merge_chunk(const saros_codec *codec, int32_t *ids, int count) {
  int32_t merged[TEXT_MAX_PIECE];
  for (int i = 0; i + 1 < count; i++)
    merged[i] = text_pair_find(&codec->pairs, ids[i], ids[i + 1]);
  for (;;) {
    int best = -1;
    for (int i = 0; i + 1 < count; i++)
      if (merged[i] >= 0 && (best < 0 || merged[i] < merged[best]))
        best = i;
    if (best < 0)
      return count;
    ids[best] = merged[best];
    size_t behind = (size_t)(count - best - 2);
    memmove(ids + best + 1, ids + best + 2, behind * sizeof *ids);
    memmove(merged + best, merged + best + 1, behind * sizeof *merged);
    count--;
    if (best > 0)
      merged[best - 1] =
          text_pair_find(&codec->pairs, ids[best - 1], ids[best]);
    if (best + 1 < count)
      merged[best] = text_pair_find(&codec->pairs, ids[best], ids[best + 1]);
  }
}

#define MOST_CACHED ((size_t)1 << 18)  // chunks

static saros_status encode_anew(saros_codec *codec, const char *chunk, int size,
                                text_piece *cached) {
  int32_t ids[TEXT_MAX_PIECE];
  for (int i = 0; i < size; i++)
    ids[i] = (unsigned char)chunk[i];
  int count = merge_chunk(codec, ids, size);
  TRY(array_grow(codec->context, &codec->cached, codec->cached_used,
                 &codec->cached_room, (size_t)count, sizeof *ids));
  memcpy(codec->cached + codec->cached_used, ids, (size_t)count * sizeof *ids);
  cached->value = (int64_t)codec->cached_used << 8 | count;
  codec->cached_used += (size_t)count;
  return SAROS_OK;
}

saros_status text_bpe_encode(saros_codec *codec, const char *chunk, int size,
                             const int32_t **ids, int *count) {
  text_piece *found;
  if (codec->cache.count >= MOST_CACHED) {
    text_piece_clear(&codec->cache);
    codec->cached_used = 0;
  }
  TRY(text_piece_add(codec->context, &codec->cache, chunk, size, &found));
  if (found->value == 0)  // else its count is not
    TRY(encode_anew(codec, chunk, size, found));
  *ids = codec->cached + (found->value >> 8);
  *count = (int)(found->value & 0xFF);
  return SAROS_OK;
}
