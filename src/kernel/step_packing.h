/*
** One time step of a few rows, from weights that were packed once: what runs
** when a model is fed one event at a time. A layer of weights is read once per
** step and does not fit into registers, so its speed is that of the memory it
** lies in; everything else has to hide behind that.
**
** The weights of a cell lie in panels of STEP_LANES hidden units: the terms of
** the inputs, then those of the units of h, STEP_GROUP terms of an output in one
** word; for each group one vector of words per gate. The sums of a panel stay in
** registers while the terms are added, and then become the new state of its
** units. Units that remain after the whole panels form a panel of half the width
** if they fit: 8 units of AVX-512, for example. A dense layer lies in panels of
** up to STEP_SLOTS * STEP_LANES outputs; if it has only a few outputs, in plain
** rows of real.
**
** The sums begin at the biases, or wherever the caller says, which is how a
** symbol's whole part (its embedding times W) can be read off a table.
**
** Included by each file that packs weights in its own way, after it has said
**
**   STEP_PACKING   the name of the table
**   STEP_GROUP     terms in a word: 1, 2 (bf16) or 4 (int8)
**   STEP_HEAD      words of each output before those of its terms: 0, or 2
**   step_word      the type of a word, and
**   pack_word, which makes one, and pack_head where there is a head
**   round_row, which rounds a row likewise up to a factor, and returns that
**   STEP_BYTES     1 if products are of bytes, one row after the other; then also
**   step_row_bytes and split_row, which makes such a row (step_vnni.c)
*/
#include "elementary.h"

#if defined(__AVX512F__)
#define STEP_VECTOR_BYTES 64
#define STEP_ROWS 4
#elif defined(__AVX2__)
#define STEP_VECTOR_BYTES 32
#define STEP_ROWS 2
#else
#define STEP_VECTOR_BYTES 16
#define STEP_ROWS 2
#endif

/* Do panels go by twos where there is one row? */
#define STEP_PAIRS (STEP_GROUP == 1)

#define STEP_WIDE ((int)(STEP_VECTOR_BYTES / sizeof(real)))
#define STEP_NARROW (STEP_WIDE / 2)
#define STEP_SLOTS 4

#define STEP_ALIGNED __attribute__((aligned(64)))

#ifndef STEP_BYTES
#define STEP_BYTES 0

/* No row is split. */
typedef struct step_row_bytes {
  char none;
} step_row_bytes;

static const step_row_bytes *split_row(step_row_bytes *to, const real *x,
                                       int k) {
  (void)to, (void)x, (void)k;
  return NULL;
}

#endif

/* What a step of a cell reads, and the state that it leaves. */
typedef struct step_arguments {
  real *h, *c;
  const real *const *start;
  const real *x, *h_prev, *peephole;
  const step_row_bytes *x_bytes, *h_bytes;  // null: as they are
  int inputs, P, rows, H;
} step_arguments;

#define STEP_LANES STEP_WIDE
#define STEP_PANEL(name) name##_wide
#include "step_panel.h"
#undef STEP_LANES
#undef STEP_PANEL
#define STEP_LANES STEP_NARROW
#define STEP_PANEL(name) name##_narrow
#include "step_panel.h"
#undef STEP_LANES
#undef STEP_PANEL

/* --- Packing ------------------------------------------------------------------ */

/* The units of the panel that begins at a unit. */
static int panel_lanes(int unit, int H) {
  return H - unit <= STEP_NARROW ? STEP_NARROW : STEP_WIDE;
}

static int padded(int H) {
  int unit = 0;
  while (unit < H)
    unit += panel_lanes(unit, H);
  return unit;
}

/* The words of k terms of one output. */
static size_t words_of(int k) {
  return k > 0 ? ((size_t)k + STEP_GROUP - 1) / STEP_GROUP + STEP_HEAD : 0;
}

static size_t cell_bytes(int gates, int H, int inputs, int P) {
  return (size_t)gates * (size_t)padded(H) * (words_of(inputs) + words_of(P)) *
         sizeof(step_word);
}

/* Some terms of one panel: all of w (gates H, k) that belong to its units; 'to'
** holds zeros. */
static step_word *pack_terms(step_word *to, const real *w, int k, int gates,
                             int H, int unit, int lanes) {
  const int outputs = gates * lanes;
  for (int output = 0; output < outputs; output++) {
    const int lane = output % lanes;
    const real *row = w + ((ptrdiff_t)(output / lanes) * H + unit + lane) * k;
    step_word *of = to + output;
    if (unit + lane >= H)
      continue;
#if STEP_HEAD > 0
    pack_head(of, outputs, row, k);
#endif
    for (int p = 0; p < k; p += STEP_GROUP)
      of[(p / STEP_GROUP + STEP_HEAD) * (ptrdiff_t)outputs] =
          pack_word(row + p, k - p, of);
  }
  return to + words_of(k) * (size_t)outputs;
}

static void pack_cell(void *packed, const real *w, int inputs, const real *u,
                      int P, int gates, int H) {
  step_word *to = memset(packed, 0, cell_bytes(gates, H, inputs, P));
  for (int unit = 0; unit < H; unit += panel_lanes(unit, H)) {
    const int lanes = panel_lanes(unit, H);
    to = pack_terms(to, w, inputs, gates, H, unit, lanes);
    to = pack_terms(to, u, P, gates, H, unit, lanes);
  }
}

static void arrange(real *start, const real *values, int H) {
  for (int unit = 0; unit < H; unit += panel_lanes(unit, H))
    for (int slot = 0; slot < STEP_SLOTS; slot++)
      for (int lane = 0; lane < panel_lanes(unit, H); lane++)
        *start++ = unit + lane < H ? values[slot * H + unit + lane] : 0;
}

/* --- Cells ---------------------------------------------------------------------- */

/* The state of 'lanes' units of a row from their pre-activations a. */
typedef void step_units(const step_arguments *s, const real *a, ptrdiff_t at,
                        const size_t lanes);

static inline __attribute__((always_inline)) void
lstm_units(const step_arguments *s, const real *a, ptrdiff_t at,
           const size_t lanes) {
  const real *i = a, *f = i + lanes, *g = f + lanes, *o = g + lanes;
  real *c = s->c + at, *h = s->h + at;
  KERNEL_INDEPENDENT
  for (size_t k = 0; k < lanes; k++) {
    c[k] = sigmoid_of(f[k]) * c[k] + sigmoid_of(i[k]) * tanh_of(g[k]);
    h[k] = sigmoid_of(o[k]) * tanh_of(c[k]);
  }
}

static inline __attribute__((always_inline)) void
peephole_units(const step_arguments *s, const real *a, ptrdiff_t at,
               const size_t lanes) {
  const ptrdiff_t width = STEP_WIDTH(s->H);
  const real *i = a, *f = i + lanes, *g = f + lanes, *o = g + lanes;
  const real *p_i = s->peephole + at % width, *p_f = p_i + width,
             *p_o = p_f + width;
  real *c = s->c + at, *h = s->h + at;
  KERNEL_INDEPENDENT
  for (size_t k = 0; k < lanes; k++) {
    const real kept = sigmoid_of(f[k] + p_f[k] * c[k]) * c[k];
    c[k] = kept + sigmoid_of(i[k] + p_i[k] * c[k]) * tanh_of(g[k]);
    h[k] = sigmoid_of(o[k] + p_o[k] * c[k]) * tanh_of(c[k]);
  }
}

/* The slots are r, z and both parts of n. */
static inline __attribute__((always_inline)) void
gru_units(const step_arguments *s, const real *a, ptrdiff_t at,
          const size_t lanes) {
  const real *r = a, *z = r + lanes, *n = z + lanes, *u_n = n + lanes;
  const real *h_prev = s->h_prev + at;
  real *h = s->h + at;
  KERNEL_INDEPENDENT
  for (size_t k = 0; k < lanes; k++) {
    const real candidate = tanh_of(n[k] + sigmoid_of(r[k]) * u_n[k]);
    h[k] = candidate + sigmoid_of(z[k]) * (h_prev[k] - candidate);
  }
}

#if STEP_PAIRS

/* Two vectors of a narrow panel, wherever they are. */
typedef real step_neighbours __attribute__((vector_size(STEP_VECTOR_BYTES),
                                            aligned(sizeof(real)), may_alias));

/* Sums of a wide panel and of the narrow one behind it, whose slots lie two to a
** vector; with three gates, the last one's parts from x and from h by itself. */
typedef struct step_mixed_sums {
  vector_wide wide[STEP_SLOTS];
  step_neighbours two[STEP_SLOTS / 2];
  vector_narrow last[2];
} step_mixed_sums;

/* Adds the products of k terms, of which the last gate's go to the slot 'last'. */
static inline __attribute__((always_inline)) void
add_mixed(step_mixed_sums *sum, const int gates, const int last,
          const vector_wide *w, const real *narrow, const real *x, int k) {
  for (int p = 0; p < k; p++, w += gates, narrow += gates * STEP_NARROW) {
    const step_neighbours *two = (const void *)narrow;
    for (int v = 0; v < gates; v++)
      sum->wide[v == gates - 1 ? last : v] += x[p] * w[v];
    for (int v = 0; v < gates / 2; v++)
      sum->two[v] += x[p] * two[v];
    if (gates % 2 == 1)
      sum->last[last - gates + 1] +=
          x[p] * *(const vector_narrow *)(const void *)(two + gates / 2);
  }
}

/* Both panels of one row: y (STEP_SLOTS, STEP_WIDE) and then (STEP_SLOTS, STEP_NARROW). */
static inline __attribute__((always_inline)) void
cell_mixed(real *y, const int gates, const void *packed,
           const step_arguments *s, ptrdiff_t at) {
  const vector_wide *w = packed, *start = (const void *)(s->start[0] + at);
  const real *narrow =
      (const void *)(w + (ptrdiff_t)gates * (s->inputs + s->P));
  const vector_narrow *singly = (const void *)(start + STEP_SLOTS);
  step_mixed_sums sum;
  memcpy(sum.wide, start, sizeof sum.wide);
  memcpy(sum.two, start + STEP_SLOTS, sizeof sum.two);
  memcpy(sum.last, singly + 2, sizeof sum.last);
  add_mixed(&sum, gates, gates - 1, w, narrow, s->x, s->inputs);
  add_mixed(&sum, gates, STEP_SLOTS - 1, w + (ptrdiff_t)gates * s->inputs,
            narrow + (ptrdiff_t)gates * STEP_NARROW * s->inputs, s->h_prev,
            s->P);
  memcpy(y, sum.wide, sizeof sum.wide);
  memcpy(y + STEP_SLOTS * STEP_WIDE, sum.two, sizeof sum.two);
  if (gates == 3)
    memcpy(y + STEP_SLOTS * STEP_WIDE + 2 * STEP_NARROW, sum.last,
           sizeof sum.last);
}

#endif

/* One step of a single row: the sums go from registers to registers. */
static inline __attribute__((always_inline)) void
step_row(const step_arguments *s, const void *packed, const int gates,
         step_units *const finish) {
  STEP_ALIGNED real a[2 * STEP_SLOTS * STEP_WIDE];
  int unit = 0;
#if STEP_PAIRS
  for (; s->H - unit > STEP_WIDE + STEP_NARROW; unit += 2 * STEP_WIDE) {
    packed = cell_pair_wide(a, gates, packed, s, unit * STEP_SLOTS);
    finish(s, a, unit, STEP_WIDE);
    finish(s, a + STEP_SLOTS * STEP_WIDE, unit + STEP_WIDE, STEP_WIDE);
  }
  if (s->H - unit > STEP_WIDE) {
    cell_mixed(a, gates, packed, s, unit * STEP_SLOTS);
    finish(s, a, unit, STEP_WIDE);
    finish(s, a + STEP_SLOTS * STEP_WIDE, unit + STEP_WIDE, STEP_NARROW);
    return;
  }
#endif
  for (; s->H - unit > STEP_NARROW; unit += STEP_WIDE) {
    packed = cell_tile_wide(a, 1, gates, packed, s, 0, unit * STEP_SLOTS);
    finish(s, a, unit, STEP_WIDE);
  }
  if (unit < s->H) {
    cell_tile_narrow(a, 1, gates, packed, s, 0, unit * STEP_SLOTS);
    finish(s, a, unit, STEP_NARROW);
  }
}

/* One step of all rows: each panel of weights meets all of them in turn. */
static inline __attribute__((always_inline)) void
step_rows(const step_arguments *s, const void *packed, const int gates,
          step_units *const finish) {
  const ptrdiff_t width = STEP_WIDTH(s->H);
  STEP_ALIGNED real a[STEP_ROWS * STEP_SLOTS * STEP_WIDE];
  for (int unit = 0; unit < s->H; unit += STEP_WIDE) {
    const int is_wide = panel_lanes(unit, s->H) == STEP_WIDE;
    const void *next = packed;
    for (int row = 0, rows; row < s->rows; row += rows) {
      rows = s->rows - row < STEP_ROWS ? s->rows - row : STEP_ROWS;
      const ptrdiff_t at = row * width + unit;
      if (is_wide) {
        next =
            cell_rows_wide(a, rows, gates, packed, s, row, unit * STEP_SLOTS);
        for (int i = 0; i < rows; i++)
          finish(s, a + i * STEP_SLOTS * STEP_WIDE, at + i * width, STEP_WIDE);
      } else {
        cell_rows_narrow(a, rows, gates, packed, s, row, unit * STEP_SLOTS);
        for (int i = 0; i < rows; i++)
          finish(s, a + i * STEP_SLOTS * STEP_NARROW, at + i * width,
                 STEP_NARROW);
      }
    }
    packed = next;
  }
}

static inline __attribute__((always_inline)) void
step_cell(const step_arguments *s, const void *packed, const int gates,
          step_units *const finish) {
  if (!STEP_BYTES) {
    if (s->rows == 1)
      step_row(s, packed, gates, finish);
    else
      step_rows(s, packed, gates, finish);
    return;
  }
  const ptrdiff_t width = STEP_WIDTH(s->H);
  step_arguments one = *s;
  step_row_bytes x, h;
  for (int row = 0; row < s->rows; row++) {
    one.x_bytes = split_row(&x, one.x, s->inputs);
    one.h_bytes = split_row(&h, one.h_prev, s->P);
    step_row(&one, packed, gates, finish);
    one.h += width, one.c += s->c != NULL ? width : 0, one.start++;
    one.x += STEP_WIDTH(s->inputs), one.h_prev += STEP_WIDTH(s->P);
  }
}

static void lstm(real *h, real *c, const void *packed, const real *const *start,
                 const real *x, int inputs, const real *h_prev, int P,
                 const real *peephole, int rows, int H) {
  const step_arguments s = {.h = h,
                            .c = c,
                            .start = start,
                            .x = x,
                            .h_prev = h_prev,
                            .peephole = peephole,
                            .inputs = inputs,
                            .P = P,
                            .rows = rows,
                            .H = H};
  if (peephole == NULL)
    step_cell(&s, packed, 4, lstm_units);
  else
    step_cell(&s, packed, 4, peephole_units);
}

static void gru(real *h, const void *packed, const real *const *start,
                const real *x, int inputs, const real *h_prev, int rows,
                int H) {
  const step_arguments s = {.h = h,
                            .start = start,
                            .x = x,
                            .h_prev = h_prev,
                            .inputs = inputs,
                            .P = H,
                            .rows = rows,
                            .H = H};
  step_cell(&s, packed, 3, gru_units);
}

/* --- Dense layers ------------------------------------------------------------------ */

/* At most STEP_FEW outputs are dot products. */
static size_t dense_bytes(int n, int k) {
  if (n <= STEP_FEW)
    return (size_t)n * (size_t)STEP_WIDTH(k) * sizeof(real);
  return (size_t)STEP_WIDTH(n) * words_of(k) * sizeof(step_word);
}

/* The vectors of the panel that begins at an output. */
static int panel_vectors(int output, int n) {
  const int left = (n - output + STEP_WIDE - 1) / STEP_WIDE;
  return left < STEP_SLOTS ? left : STEP_SLOTS;
}

static void pack_few(real *to, const real *w, int n, int k) {
  for (int row = 0; row < n; row++, to += STEP_WIDTH(k), w += k)
    memcpy(to, w, (size_t)k * sizeof(real));
}

static void pack_dense(void *packed, const real *w, int n, int k) {
  step_word *to = memset(packed, 0, dense_bytes(n, k));
  if (n <= STEP_FEW)
    pack_few(packed, w, n, k);
  for (int output = 0; n > STEP_FEW && output < n;
       output += STEP_SLOTS * STEP_WIDE)
    to = pack_terms(to, w, k, 1, n, output,
                    panel_vectors(output, n) * STEP_WIDE);
}

/* Eight terms at a time, as the rows of few outputs are short. */
typedef real step_eight __attribute__((vector_size(8 * sizeof(real)),
                                       aligned(sizeof(real)), may_alias));

/* The sum of the elements of x, in pairs. */
static inline __attribute__((always_inline)) real
total_of(const step_eight *x) {
  real part[8];
  memcpy(part, x, sizeof part);
  return ((part[0] + part[4]) + (part[2] + part[6])) +
         ((part[1] + part[5]) + (part[3] + part[7]));
}

static real dot(const real *w, const real *x, int k) {
  step_eight even = {0}, odd = {0};
  real rest = 0;
  int p = 0;
  for (; p + 16 <= k; p += 16) {
    even += *(const step_eight *)(w + p) * *(const step_eight *)(x + p);
    odd += *(const step_eight *)(w + p + 8) * *(const step_eight *)(x + p + 8);
  }
  if (p + 8 <= k) {
    odd += *(const step_eight *)(w + p) * *(const step_eight *)(x + p);
    p += 8;
  }
  for (int i = 0; i < 7 && p < k; i++, p++)
    rest += w[p] * x[p];
  even += odd;
  return total_of(&even) + rest;
}

static void dense_few(real *y, const real *w, const real *const *start,
                      const real *x, int rows, int n, int k) {
  for (int row = 0; row < rows; row++) {
    for (ptrdiff_t i = 0; i < n; i++)
      y[i] = start[row][i] + dot(w + i * STEP_WIDTH(k), x, k);
    y += STEP_WIDTH(n), x += STEP_WIDTH(k);
  }
}

static void dense_panel(real *y, const void *packed, const real *const *start,
                        int output, const real *x, int rows, int n, int k,
                        const step_row_bytes *bytes) {
  const ptrdiff_t width = STEP_WIDTH(n);
  switch (panel_vectors(output, n)) {
    case 1:
      dense_rows_wide(y, width, rows, 1, packed, start, output, x, k, bytes);
      break;
    case 2:
      dense_rows_wide(y, width, rows, 2, packed, start, output, x, k, bytes);
      break;
    case 3:
      dense_rows_wide(y, width, rows, 3, packed, start, output, x, k, bytes);
      break;
    default:
      dense_rows_wide(y, width, rows, 4, packed, start, output, x, k, bytes);
  }
}

static void dense_many(real *y, const step_word *w, const real *const *start,
                       const real *x, int rows, int n, int k,
                       const step_row_bytes *bytes) {
  for (int output = 0; output < n; output += STEP_SLOTS * STEP_WIDE) {
    for (ptrdiff_t row = 0, count; row < rows; row += count) {
      count = rows - row < STEP_ROWS ? rows - row : STEP_ROWS;
      dense_panel(y + row * STEP_WIDTH(n), w, start + row, output,
                  x + row * STEP_WIDTH(k), (int)count, n, k, bytes);
    }
    w += (size_t)panel_vectors(output, n) * STEP_WIDE * words_of(k);
  }
}

static void dense(real *y, const void *packed, const real *const *start,
                  const real *x, int rows, int n, int k) {
  step_row_bytes bytes;
  if (n <= STEP_FEW)
    dense_few(y, packed, start, x, rows, n, k);
  else if (!STEP_BYTES)
    dense_many(y, packed, start, x, rows, n, k, NULL);
  else
    for (int row = 0; row < rows; row++) {
      dense_many(y, packed, start + row, x, 1, n, k, split_row(&bytes, x, k));
      y += STEP_WIDTH(n), x += STEP_WIDTH(k);
    }
}

static void round_rows(real *w, real *scale, int n, int k) {
  for (int row = 0; row < n; row++, w += k) {
    const real unit = round_row(w, k);
    if (scale != NULL)
      scale[row] = unit;
    for (int p = 0; scale == NULL && p < k; p++)
      w[p] *= unit;
  }
}

const step_kernels KERNEL_TABLE(STEP_PACKING) = {
    .cell_bytes = cell_bytes,
    .pack_cell = pack_cell,
    .arrange = arrange,
    .lstm = lstm,
    .gru = gru,
    .dense_bytes = dense_bytes,
    .pack_dense = pack_dense,
    .dense = dense,
    .round_rows = round_rows,
};
