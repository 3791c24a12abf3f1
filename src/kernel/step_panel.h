/*
** One panel of packed weights against a few rows: the part of step.c that works
** on vectors, included there once for each width. STEP_PANEL(name) is a name of
** this width, STEP_LANES the elements of a vector.
*/

typedef real STEP_PANEL(vector)
    __attribute__((vector_size(STEP_LANES * sizeof(real)), may_alias));

#if STEP_GROUP == 1

typedef STEP_PANEL(vector) STEP_PANEL(words);

static inline __attribute__((always_inline)) STEP_PANEL(vector)
    STEP_PANEL(weights)(STEP_PANEL(words) w, const int t) {
  (void)t;
  return w;
}

#else

typedef step_word STEP_PANEL(words)
    __attribute__((vector_size(STEP_LANES * sizeof(step_word)), may_alias));
typedef float STEP_PANEL(floats)
    __attribute__((vector_size(STEP_LANES * sizeof(float))));
typedef int32_t STEP_PANEL(whole)
    __attribute__((vector_size(STEP_LANES * sizeof(int32_t))));

/* The weights of the term t of a group. */
static inline __attribute__((always_inline)) STEP_PANEL(vector)
    STEP_PANEL(weights)(STEP_PANEL(words) w, const int t) {
#if STEP_GROUP == 4
  const STEP_PANEL(words) first = w << (24 - 8 * t);
  return __builtin_convertvector((STEP_PANEL(whole))first >> 24,
                                 STEP_PANEL(vector));
#else
  const STEP_PANEL(words) lower = w << 16, upper = w & 0xffff0000;
  return __builtin_convertvector((STEP_PANEL(floats))(t == 0 ? lower : upper),
                                 STEP_PANEL(vector));
#endif
}

#endif

/* Adds the products with the term t of x to a set of sums. */
static inline __attribute__((always_inline)) void
STEP_PANEL(add)(STEP_PANEL(vector) * sum, const int set, const int rows,
                const int vectors, const int last, const STEP_PANEL(words) * w,
                const real *x, ptrdiff_t width, const int t) {
  for (int row = 0; row < rows; row++)
    for (int v = 0; v < vectors; v++)
      sum[(set * rows + row) * STEP_SLOTS + (v == vectors - 1 ? last : v)] +=
          x[row * width + t] *
          STEP_PANEL(weights)(w[t / STEP_GROUP * vectors + v], t % STEP_GROUP);
}

/*
** Adds the products of k terms to 'sum' and returns where their weights end.
** The sum of a set, a row and a slot is at (set * rows + row) * STEP_SLOTS + slot.
** Terms go to the sets in turn: an addition waits for the one before it, so
** several sums must be under way at once. The vectors of a term belong to the
** slots 0, 1, ..., but the last one to the slot 'last'.
**
** All but w, x and k are constants where this is inlined, so the inner loops
** vanish and sums are registers: as long as the place of a sum does not depend
** on a loop that stays, or that is too long to vanish.
*/
static inline __attribute__((always_inline)) const STEP_PANEL(words) *
    STEP_PANEL(add_terms)(STEP_PANEL(vector) * sum, const int sets,
                          const int rows, const int vectors, const int last,
                          const STEP_PANEL(words) * w, const real *x, int k) {
  const int together = sets > STEP_GROUP ? sets : STEP_GROUP;
  const ptrdiff_t width = STEP_WIDTH(k);
  int p = 0;
  for (; p + together <= k; p += together, w += together / STEP_GROUP * vectors)
    for (int t = 0; t < together; t++)
      STEP_PANEL(add)(sum, t % sets, rows, vectors, last, w, x + p, width, t);
  for (; p + STEP_GROUP <= k; p += STEP_GROUP, w += vectors)
    for (int t = 0; t < STEP_GROUP; t++)
      STEP_PANEL(add)(sum, t % sets, rows, vectors, last, w, x + p, width, t);
  if (p == k)
    return w;
  for (int t = 0; p + t < k; t++)
    STEP_PANEL(add)(sum, 0, rows, vectors, last, w, x + p, width, t);
  return w + vectors;
}

/* Adds the sets up into the first one. */
static inline __attribute__((always_inline)) void
STEP_PANEL(join)(STEP_PANEL(vector) * sum, const int sets, const int rows) {
  for (int half = sets / 2; half > 0; half /= 2)
    for (int set = 0; set < half; set++)
      for (int row = 0; row < rows; row++)
        for (int slot = 0; slot < STEP_SLOTS; slot++)
          sum[(set * rows + row) * STEP_SLOTS + slot] +=
              sum[((set + half) * rows + row) * STEP_SLOTS + slot];
}

#if STEP_BYTES

/* part[v] = the sums of k terms for one row in bytes. They count from 32768,
** which is 128 in the upper ones; 'sums', those of the weights, say what that
** makes. */
static inline __attribute__((always_inline)) const STEP_PANEL(words) *
    STEP_PANEL(add_bytes)(STEP_PANEL(vector) * part, const int vectors,
                          const STEP_PANEL(words) * w,
                          const STEP_PANEL(words) * sums,
                          const step_row_bytes *x, int k) {
  STEP_PANEL(words) upper[STEP_SLOTS] = {{0}}, lower[STEP_SLOTS] = {{0}};
  for (int p = 0; p < k; p += STEP_GROUP, w += vectors)
    for (int v = 0; v < vectors; v++) {
      STEP_PANEL(words) weights = w[v];
      IN_REGISTER(weights);
      upper[v] = STEP_PANEL(dot)(upper[v], x->upper + p, weights);
      lower[v] = STEP_PANEL(dot)(lower[v], x->lower + p, weights);
    }
  for (int v = 0; v < vectors; v++) {
    const STEP_PANEL(whole) high =
        (STEP_PANEL(whole))(upper[v] - 128 * sums[v]);
    part[v] = __builtin_convertvector(high, STEP_PANEL(vector)) * 256;
    part[v] += __builtin_convertvector((STEP_PANEL(whole))lower[v],
                                       STEP_PANEL(vector));
    part[v] *= x->scale;
  }
  return w;
}

#endif

#if STEP_HEAD == 0

static inline __attribute__((always_inline)) const STEP_PANEL(words) *
    STEP_PANEL(add_products)(STEP_PANEL(vector) * sum, const int sets,
                             const int rows, const int vectors, const int last,
                             const STEP_PANEL(words) * w, const real *x, int k,
                             const step_row_bytes *bytes) {
  (void)bytes;
  return STEP_PANEL(add_terms)(sum, sets, rows, vectors, last, w, x, k);
}

#else

/*
** add_terms where weights have scales: these stand before them, and the sums of
** the weights between. x as bytes, or null.
*/
static inline __attribute__((always_inline)) const STEP_PANEL(words) *
    STEP_PANEL(add_products)(STEP_PANEL(vector) * sum, const int sets,
                             const int rows, const int vectors, const int last,
                             const STEP_PANEL(words) * w, const real *x, int k,
                             const step_row_bytes *bytes) {
  const STEP_PANEL(words) *scale = w;
  STEP_PANEL(vector) part[4 * STEP_ROWS * STEP_SLOTS];
  (void)bytes;
  if (k == 0)
    return w;
  w += STEP_HEAD * vectors;
#if STEP_BYTES
  if (bytes != NULL)
    w = STEP_PANEL(add_bytes)(part, vectors, w, scale + vectors, bytes, k);
  else
#endif
  {
    for (int i = 0; i < sets * rows * STEP_SLOTS; i++)
      part[i] = (STEP_PANEL(vector)){0};
    w = STEP_PANEL(add_terms)(part, sets, rows, vectors, vectors - 1, w, x, k);
    STEP_PANEL(join)(part, sets, rows);
  }
  for (int row = 0; row < rows; row++)
    for (int v = 0; v < vectors; v++)
      sum[row * STEP_SLOTS + (v == vectors - 1 ? last : v)] +=
          part[row * STEP_SLOTS + v] *
          __builtin_convertvector((STEP_PANEL(floats))scale[v],
                                  STEP_PANEL(vector));
  return w;
}

#endif

/* The first set begins at start[row] + at, the others at 0. */
static inline __attribute__((always_inline)) void
STEP_PANEL(begin)(STEP_PANEL(vector) * sum, const int sets, const int rows,
                  const int slots, const real *const *start, ptrdiff_t at) {
  for (int set = 0; set < sets; set++)
    for (int row = 0; row < rows; row++)
      for (int slot = 0; slot < STEP_SLOTS; slot++)
        sum[(set * rows + row) * STEP_SLOTS + slot] = (STEP_PANEL(vector)){0};
  for (int row = 0; row < rows; row++) {
    const STEP_PANEL(vector) *from = (const void *)(start[row] + at);
    for (int slot = 0; slot < slots; slot++)
      sum[row * STEP_SLOTS + slot] = from[slot];
  }
}

/* Adds the sets up into y, whose rows lie so far apart. */
static inline __attribute__((always_inline)) void
STEP_PANEL(end)(real *y, ptrdiff_t width, STEP_PANEL(vector) * sum,
                const int sets, const int rows, const int slots) {
  STEP_PANEL(join)(sum, sets, rows);
  for (int row = 0; row < rows; row++, y += width) {
    STEP_PANEL(vector) *to = (void *)y;
    for (int slot = 0; slot < slots; slot++)
      to[slot] = sum[row * STEP_SLOTS + slot];
  }
}

/*
** The pre-activations of STEP_LANES units: y (rows, STEP_SLOTS, STEP_LANES).
** With fewer gates than slots, the last gate's part from h goes to the last slot.
** Returns the weights of the next panel.
*/
static inline __attribute__((always_inline)) const void *
STEP_PANEL(cell_tile)(real *y, const int rows, const int gates,
                      const void *packed, const step_arguments *s,
                      ptrdiff_t row, ptrdiff_t at) {
  const int sets = rows == 1 ? 2 : 1;
  STEP_PANEL(vector) sum[2 * STEP_ROWS * STEP_SLOTS];
  const STEP_PANEL(words) *w = packed;
  STEP_PANEL(begin)(sum, sets, rows, STEP_SLOTS, s->start + row, at);
  w = STEP_PANEL(add_products)(sum, sets, rows, gates, gates - 1, w,
                               s->x + row * STEP_WIDTH(s->inputs), s->inputs,
                               s->x_bytes);
  w = STEP_PANEL(add_products)(sum, sets, rows, gates, STEP_SLOTS - 1, w,
                               s->h_prev + row * STEP_WIDTH(s->P), s->P,
                               s->h_bytes);
  STEP_PANEL(end)(y, STEP_SLOTS * STEP_LANES, sum, sets, rows, STEP_SLOTS);
  return w;
}

#if STEP_GROUP == 1

/* Adds the products of k terms to the sums of two panels. */
static inline __attribute__((always_inline)) void
STEP_PANEL(add_pair)(STEP_PANEL(vector) * sum, const int vectors,
                     const int last, const STEP_PANEL(words) * w,
                     const STEP_PANEL(words) * other, const real *x, int k) {
  for (int p = 0; p < k; p++, w += vectors, other += vectors)
    for (int v = 0; v < vectors; v++) {
      const int slot = v == vectors - 1 ? last : v;
      sum[slot] += x[p] * w[v];
      sum[STEP_SLOTS + slot] += x[p] * other[v];
    }
}

/* Two panels of one row at once: y (2, STEP_SLOTS, STEP_LANES). There are as many
** sums as in two sets of one panel, but each term of x is read once, and the
** states of the two panels do not wait for each other. */
static inline __attribute__((always_inline)) const void *
STEP_PANEL(cell_pair)(real *y, const int gates, const void *packed,
                      const step_arguments *s, ptrdiff_t at) {
  const STEP_PANEL(words) *w = packed;
  const ptrdiff_t of_x = (ptrdiff_t)gates * s->inputs;
  const ptrdiff_t panel = of_x + (ptrdiff_t)gates * s->P;
  STEP_PANEL(vector) sum[2 * STEP_SLOTS];
  STEP_PANEL(begin)(sum, 1, 1, STEP_SLOTS, s->start, at);
  STEP_PANEL(begin)
  (sum + STEP_SLOTS, 1, 1, STEP_SLOTS, s->start, at + STEP_SLOTS * STEP_LANES);
  STEP_PANEL(add_pair)(sum, gates, gates - 1, w, w + panel, s->x, s->inputs);
  STEP_PANEL(add_pair)
  (sum, gates, STEP_SLOTS - 1, w + of_x, w + of_x + panel, s->h_prev, s->P);
  STEP_PANEL(end)(y, 0, sum, 1, 1, STEP_SLOTS);
  STEP_PANEL(end)
  (y + STEP_SLOTS * STEP_LANES, 0, sum + STEP_SLOTS, 1, 1, STEP_SLOTS);
  return w + 2 * panel;
}

#endif

static inline __attribute__((always_inline)) const void *
STEP_PANEL(cell_rows)(real *y, int rows, const int gates, const void *packed,
                      const step_arguments *s, ptrdiff_t row, ptrdiff_t at) {
  switch (rows) {
    case 1:
      return STEP_PANEL(cell_tile)(y, 1, gates, packed, s, row, at);
    case 2:
      return STEP_PANEL(cell_tile)(y, 2, gates, packed, s, row, at);
#if STEP_ROWS > 2
    case 3:
      return STEP_PANEL(cell_tile)(y, 3, gates, packed, s, row, at);
    case 4:
      return STEP_PANEL(cell_tile)(y, 4, gates, packed, s, row, at);
#endif
    default:
      return packed;
  }
}

/* The same for a panel of so many vectors of a dense layer, into y. */
static inline __attribute__((always_inline)) void
STEP_PANEL(dense_tile)(real *y, ptrdiff_t width, const int rows,
                       const int vectors, const void *packed,
                       const real *const *start, ptrdiff_t at, const real *x,
                       int k, const step_row_bytes *bytes) {
  const int sets = rows > 1 ? 1 : 8 / vectors >= 4 ? 4 : 2;
  STEP_PANEL(vector) sum[4 * STEP_ROWS * STEP_SLOTS];
  STEP_PANEL(begin)(sum, sets, rows, vectors, start, at);
  STEP_PANEL(add_products)
  (sum, sets, rows, vectors, vectors - 1, packed, x, k, bytes);
  STEP_PANEL(end)(y + at, width, sum, sets, rows, vectors);
}

static inline __attribute__((always_inline)) void
STEP_PANEL(dense_rows)(real *y, ptrdiff_t width, int rows, const int vectors,
                       const void *packed, const real *const *start,
                       ptrdiff_t at, const real *x, int k,
                       const step_row_bytes *bytes) {
  switch (rows) {
    case 1:
      STEP_PANEL(dense_tile)
      (y, width, 1, vectors, packed, start, at, x, k, bytes);
      break;
    case 2:
      STEP_PANEL(dense_tile)
      (y, width, 2, vectors, packed, start, at, x, k, bytes);
      break;
#if STEP_ROWS > 2
    case 3:
      STEP_PANEL(dense_tile)
      (y, width, 3, vectors, packed, start, at, x, k, bytes);
      break;
    case 4:
      STEP_PANEL(dense_tile)
      (y, width, 4, vectors, packed, start, at, x, k, bytes);
      break;
#endif
  }
}
