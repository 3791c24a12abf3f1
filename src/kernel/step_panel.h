/*
** One panel of packed weights against a few rows: the part of step.c that works
** on vectors, included there once for each width. PANEL(name) is a name of this
** width, LANES the elements of a vector.
*/

typedef real PANEL(vector)
    __attribute__((vector_size(LANES * sizeof(real)), may_alias));

#if GROUP == 1

typedef PANEL(vector) PANEL(words);

static inline __attribute__((always_inline)) PANEL(vector)
    PANEL(weights)(PANEL(words) w, const int t) {
  (void)t;
  return w;
}

#else

typedef word PANEL(words)
    __attribute__((vector_size(LANES * sizeof(word)), may_alias));
typedef float PANEL(floats) __attribute__((vector_size(LANES * sizeof(float))));
typedef int32_t PANEL(whole)
    __attribute__((vector_size(LANES * sizeof(int32_t))));

/* The weights of the term t of a group. */
static inline __attribute__((always_inline)) PANEL(vector)
    PANEL(weights)(PANEL(words) w, const int t) {
#if GROUP == 4
  const PANEL(words) first = w << (24 - 8 * t);
  return __builtin_convertvector((PANEL(whole))first >> 24, PANEL(vector));
#else
  const PANEL(words) lower = w << 16, upper = w & 0xffff0000;
  return __builtin_convertvector((PANEL(floats))(t == 0 ? lower : upper),
                                 PANEL(vector));
#endif
}

#endif

/* Adds the products with the term t of x to a set of sums. */
static inline __attribute__((always_inline)) void
PANEL(add)(PANEL(vector) * sum, const int set, const int rows,
           const int vectors, const int last, const PANEL(words) * w,
           const real *x, ptrdiff_t width, const int t) {
  for (int row = 0; row < rows; row++)
    for (int v = 0; v < vectors; v++)
      sum[(set * rows + row) * SLOTS + (v == vectors - 1 ? last : v)] +=
          x[row * width + t] *
          PANEL(weights)(w[t / GROUP * vectors + v], t % GROUP);
}

/*
** Adds the products of k terms to 'sum' and returns where their weights end.
** The sum of a set, a row and a slot is at (set * rows + row) * SLOTS + slot.
** Terms go to the sets in turn: an addition waits for the one before it, so
** several sums must be under way at once. The vectors of a term belong to the
** slots 0, 1, ..., but the last one to the slot 'last'.
**
** All but w, x and k are constants where this is inlined, so the inner loops
** vanish and sums are registers: as long as the place of a sum does not depend
** on a loop that stays, or that is too long to vanish.
*/
static inline __attribute__((always_inline)) const PANEL(words) *
    PANEL(add_terms)(PANEL(vector) * sum, const int sets, const int rows,
                     const int vectors, const int last, const PANEL(words) * w,
                     const real *x, int k) {
  const int together = sets > GROUP ? sets : GROUP;
  const ptrdiff_t width = STEP_WIDTH(k);
  int p = 0;
  for (; p + together <= k; p += together, w += together / GROUP * vectors)
    for (int t = 0; t < together; t++)
      PANEL(add)(sum, t % sets, rows, vectors, last, w, x + p, width, t);
  for (; p + GROUP <= k; p += GROUP, w += vectors)
    for (int t = 0; t < GROUP; t++)
      PANEL(add)(sum, t % sets, rows, vectors, last, w, x + p, width, t);
  if (p == k)
    return w;
  for (int t = 0; p + t < k; t++)
    PANEL(add)(sum, 0, rows, vectors, last, w, x + p, width, t);
  return w + vectors;
}

/* Adds the sets up into the first one. */
static inline __attribute__((always_inline)) void
PANEL(join)(PANEL(vector) * sum, const int sets, const int rows) {
  for (int half = sets / 2; half > 0; half /= 2)
    for (int set = 0; set < half; set++)
      for (int row = 0; row < rows; row++)
        for (int slot = 0; slot < SLOTS; slot++)
          sum[(set * rows + row) * SLOTS + slot] +=
              sum[((set + half) * rows + row) * SLOTS + slot];
}

#if BYTES

/* part[v] = the sums of k terms for one row in bytes. They count from 32768,
** which is 128 in the upper ones; 'sums', those of the weights, say what that
** makes. */
static inline __attribute__((always_inline)) const PANEL(words) *
    PANEL(add_bytes)(PANEL(vector) * part, const int vectors,
                     const PANEL(words) * w, const PANEL(words) * sums,
                     const row_bytes *x, int k) {
  PANEL(words) upper[SLOTS] = {{0}}, lower[SLOTS] = {{0}};
  for (int p = 0; p < k; p += GROUP, w += vectors)
    for (int v = 0; v < vectors; v++) {
      PANEL(words) weights = w[v];
      IN_REGISTER(weights);
      upper[v] = PANEL(dot)(upper[v], x->upper + p, weights);
      lower[v] = PANEL(dot)(lower[v], x->lower + p, weights);
    }
  for (int v = 0; v < vectors; v++) {
    const PANEL(whole) high = (PANEL(whole))(upper[v] - 128 * sums[v]);
    part[v] = __builtin_convertvector(high, PANEL(vector)) * 256;
    part[v] += __builtin_convertvector((PANEL(whole))lower[v], PANEL(vector));
    part[v] *= x->scale;
  }
  return w;
}

#endif

#if HEAD == 0

static inline __attribute__((always_inline)) const PANEL(words) *
    PANEL(add_products)(PANEL(vector) * sum, const int sets, const int rows,
                        const int vectors, const int last,
                        const PANEL(words) * w, const real *x, int k,
                        const row_bytes *bytes) {
  (void)bytes;
  return PANEL(add_terms)(sum, sets, rows, vectors, last, w, x, k);
}

#else

/*
** add_terms where weights have scales: these stand before them, and the sums of
** the weights between. x as bytes, or null.
*/
static inline __attribute__((always_inline)) const PANEL(words) *
    PANEL(add_products)(PANEL(vector) * sum, const int sets, const int rows,
                        const int vectors, const int last,
                        const PANEL(words) * w, const real *x, int k,
                        const row_bytes *bytes) {
  const PANEL(words) *scale = w;
  PANEL(vector) part[4 * ROWS * SLOTS];
  (void)bytes;
  if (k == 0)
    return w;
  w += HEAD * vectors;
#if BYTES
  if (bytes != NULL)
    w = PANEL(add_bytes)(part, vectors, w, scale + vectors, bytes, k);
  else
#endif
  {
    for (int i = 0; i < sets * rows * SLOTS; i++)
      part[i] = (PANEL(vector)){0};
    w = PANEL(add_terms)(part, sets, rows, vectors, vectors - 1, w, x, k);
    PANEL(join)(part, sets, rows);
  }
  for (int row = 0; row < rows; row++)
    for (int v = 0; v < vectors; v++)
      sum[row * SLOTS + (v == vectors - 1 ? last : v)] +=
          part[row * SLOTS + v] *
          __builtin_convertvector((PANEL(floats))scale[v], PANEL(vector));
  return w;
}

#endif

/* The first set begins at start[row] + at, the others at 0. */
static inline __attribute__((always_inline)) void
PANEL(begin)(PANEL(vector) * sum, const int sets, const int rows,
             const int slots, const real *const *start, ptrdiff_t at) {
  for (int set = 0; set < sets; set++)
    for (int row = 0; row < rows; row++)
      for (int slot = 0; slot < SLOTS; slot++)
        sum[(set * rows + row) * SLOTS + slot] = (PANEL(vector)){0};
  for (int row = 0; row < rows; row++) {
    const PANEL(vector) *from = (const void *)(start[row] + at);
    for (int slot = 0; slot < slots; slot++)
      sum[row * SLOTS + slot] = from[slot];
  }
}

/* Adds the sets up into y, whose rows lie so far apart. */
static inline __attribute__((always_inline)) void
PANEL(end)(real *y, ptrdiff_t width, PANEL(vector) * sum, const int sets,
           const int rows, const int slots) {
  PANEL(join)(sum, sets, rows);
  for (int row = 0; row < rows; row++, y += width) {
    PANEL(vector) *to = (void *)y;
    for (int slot = 0; slot < slots; slot++)
      to[slot] = sum[row * SLOTS + slot];
  }
}

/*
** The pre-activations of LANES units: y (rows, SLOTS, LANES). With fewer gates
** than slots, the last gate's part from h goes to the last slot. Returns the
** weights of the next panel.
*/
static inline __attribute__((always_inline)) const void *
PANEL(cell_tile)(real *y, const int rows, const int gates, const void *packed,
                 const cell_step *s, ptrdiff_t row, ptrdiff_t at) {
  const int sets = rows == 1 ? 2 : 1;
  PANEL(vector) sum[2 * ROWS * SLOTS];
  const PANEL(words) *w = packed;
  PANEL(begin)(sum, sets, rows, SLOTS, s->start + row, at);
  w = PANEL(add_products)(sum, sets, rows, gates, gates - 1, w,
                          s->x + row * STEP_WIDTH(s->inputs), s->inputs,
                          s->x_bytes);
  w = PANEL(add_products)(sum, sets, rows, gates, SLOTS - 1, w,
                          s->h_prev + row * STEP_WIDTH(s->P), s->P, s->h_bytes);
  PANEL(end)(y, SLOTS * LANES, sum, sets, rows, SLOTS);
  return w;
}

#if GROUP == 1

/* Adds the products of k terms to the sums of two panels. */
static inline __attribute__((always_inline)) void
PANEL(add_pair)(PANEL(vector) * sum, const int vectors, const int last,
                const PANEL(words) * w, const PANEL(words) * other,
                const real *x, int k) {
  for (int p = 0; p < k; p++, w += vectors, other += vectors)
    for (int v = 0; v < vectors; v++) {
      const int slot = v == vectors - 1 ? last : v;
      sum[slot] += x[p] * w[v];
      sum[SLOTS + slot] += x[p] * other[v];
    }
}

/* Two panels of one row at once: y (2, SLOTS, LANES). As many sums are under way
** as in two sets of one panel, but each term of x is read once, and what becomes
** of both panels' sums need not wait for each other. */
static inline __attribute__((always_inline)) const void *
PANEL(cell_pair)(real *y, const int gates, const void *packed,
                 const cell_step *s, ptrdiff_t at) {
  const PANEL(words) *w = packed;
  const ptrdiff_t of_x = (ptrdiff_t)gates * s->inputs;
  const ptrdiff_t panel = of_x + (ptrdiff_t)gates * s->P;
  PANEL(vector) sum[2 * SLOTS];
  PANEL(begin)(sum, 1, 1, SLOTS, s->start, at);
  PANEL(begin)(sum + SLOTS, 1, 1, SLOTS, s->start, at + SLOTS * LANES);
  PANEL(add_pair)(sum, gates, gates - 1, w, w + panel, s->x, s->inputs);
  PANEL(add_pair)
  (sum, gates, SLOTS - 1, w + of_x, w + of_x + panel, s->h_prev, s->P);
  PANEL(end)(y, 0, sum, 1, 1, SLOTS);
  PANEL(end)(y + SLOTS * LANES, 0, sum + SLOTS, 1, 1, SLOTS);
  return w + 2 * panel;
}

#endif

static inline __attribute__((always_inline)) const void *
PANEL(cell_rows)(real *y, int rows, const int gates, const void *packed,
                 const cell_step *s, ptrdiff_t row, ptrdiff_t at) {
  switch (rows) {
    case 1:
      return PANEL(cell_tile)(y, 1, gates, packed, s, row, at);
    case 2:
      return PANEL(cell_tile)(y, 2, gates, packed, s, row, at);
#if ROWS > 2
    case 3:
      return PANEL(cell_tile)(y, 3, gates, packed, s, row, at);
    case 4:
      return PANEL(cell_tile)(y, 4, gates, packed, s, row, at);
#endif
    default:
      return packed;
  }
}

/* The same for a panel of so many vectors of a dense layer, into y. */
static inline __attribute__((always_inline)) void
PANEL(dense_tile)(real *y, ptrdiff_t width, const int rows, const int vectors,
                  const void *packed, const real *const *start, ptrdiff_t at,
                  const real *x, int k, const row_bytes *bytes) {
  const int sets = rows > 1 ? 1 : 8 / vectors >= 4 ? 4 : 2;
  PANEL(vector) sum[4 * ROWS * SLOTS];
  PANEL(begin)(sum, sets, rows, vectors, start, at);
  PANEL(add_products)
  (sum, sets, rows, vectors, vectors - 1, packed, x, k, bytes);
  PANEL(end)(y + at, width, sum, sets, rows, vectors);
}

static inline __attribute__((always_inline)) void
PANEL(dense_rows)(real *y, ptrdiff_t width, int rows, const int vectors,
                  const void *packed, const real *const *start, ptrdiff_t at,
                  const real *x, int k, const row_bytes *bytes) {
  switch (rows) {
    case 1:
      PANEL(dense_tile)(y, width, 1, vectors, packed, start, at, x, k, bytes);
      break;
    case 2:
      PANEL(dense_tile)(y, width, 2, vectors, packed, start, at, x, k, bytes);
      break;
#if ROWS > 2
    case 3:
      PANEL(dense_tile)(y, width, 3, vectors, packed, start, at, x, k, bytes);
      break;
    case 4:
      PANEL(dense_tile)(y, width, 4, vectors, packed, start, at, x, k, bytes);
      break;
#endif
  }
}
