/*
** Kernels: plain arithmetic on arrays of real.
**
** A kernel allocates nothing, keeps no state and knows no tensor. It reads as
** an assignment: outputs, inputs, dimensions. Arrays are contiguous and
** row-major unless a step or a leading dimension is given; an output may be
** the input of the same shape unless stated otherwise. In a backward kernel
** the gradient of x is dx, and it is added to, never overwritten.
**
** Every file of this folder is compiled once per instruction set, with ISA
** defined as its name, and closes with one table of its functions. dispatch.c
** gathers the tables; kernel_select picks the best set for this machine.
**
** Letters: B batch, T time, H hidden, V vocabulary; m, n, k of a product.
*/
#ifndef KERNEL_H
#define KERNEL_H

#include <stddef.h>
#include <stdint.h>

#ifdef SAROS_DOUBLE
typedef double real;
#else
typedef float real;
#endif

/* pointwise_kernels, and the functions that it has */
#include "kernel_pointwise.h"

/* --- Matrix products (product.c) ---------------------------------------- */

typedef struct product_kernels {
  /* C = op(A) op(B) + beta C, where op(A) is (m, k), op(B) is (k, n) and C
  ** (m, n). With a_transposed, A is stored as (k, m); likewise B as (n, k).
  ** lda, ldb, ldc are the distances between stored rows, in elements. With
  ** beta 0, C is only written. C must not overlap A or B. */
  void (*multiply)(real *c, int ldc, const real *a, int lda, int a_transposed,
                   const real *b, int ldb, int b_transposed, int m, int n,
                   int k, real beta);
} product_kernels;

/* packed_kernels */
#include "kernel_packed.h"

/* --- What sums of outer products need besides (outer_sum.c) --------------- */

typedef struct outer_sum_kernels {
  /* sums (n) += the rows of x (rows, n), each stored row ldx long; the rows are
  ** added up first */
  void (*add_rows)(real *sums, const real *x, int ldx, int n, int rows);

  /* C (m, n) = X^T, or C += X^T with 'add', for X (n, m); no overlap */
  void (*add_transposed)(real *c, int ldc, const real *x, int ldx, int m, int n,
                         int add);
} outer_sum_kernels;

/* --- Reductions (reduce.c) ---------------------------------------------- */

typedef struct reduce_kernels {
  /* y (outer, inner) = sum of x (outer, n, inner) over its middle axis,
  ** accumulated in double */
  void (*sum)(real *y, const real *x, size_t outer, size_t n, size_t inner);

  /* total (n) = the sums of the columns of x (rows, n), whose rows are 'stride'
  ** apart */
  void (*sum_rows)(double *total, const real *x, size_t rows, size_t stride,
                   size_t n);
  /* The same of the products of a and b, element by element. */
  void (*sum_products)(double *total, const real *a, const real *b, size_t rows,
                       size_t stride, size_t n);

  /* y (outer, inner) = largest of x over its middle axis, and its first
  ** position in at (outer, inner), which may be null; NaN counts as the
  ** largest. n >= 1 */
  void (*max)(real *y, int32_t *at, const real *x, size_t outer, size_t n,
              size_t inner);

  /* y (outer, n, inner): running sums of x over its middle axis, accumulated
  ** in double; y may be x. With 'from_end' they begin at the last position, and
  ** with 'add' they are added to y, which then is not x. */
  void (*running_sum)(real *y, const real *x, size_t outer, size_t n,
                      size_t inner, int from_end, int add);

  /* at (rows, k): the positions of the k largest of each row of x (rows, n),
  ** largest first, the first of equal ones first; NaN counts as the largest.
  ** 1 <= k <= n */
  void (*top)(int32_t *at, const real *x, size_t rows, size_t n, size_t k);

  /* the sum of the squares of x[0..n-1], accumulated in double */
  double (*sum_of_squares)(const real *x, size_t n);

  /* 1 if every element of x is finite, else 0 */
  int (*all_finite)(const real *x, size_t n);
} reduce_kernels;

/* softmax_kernels, loss_kernels, ctc_kernels, crf_kernels */
#include "kernel_losses.h"

/* --- Layer normalisation (layer_norm.c; Ba, Kiros and Hinton 2016; without
** the mean Zhang and Sennrich 2019) --------------------------------------- */

typedef struct layer_norm_kernels {
  /* y (rows, n) = (x - mean) * rstd * gain + bias over each row, where
  ** rstd = 1 / sqrt(variance + epsilon), the variance being the biased one.
  ** mean and rstd (rows) are outputs, read by backward. gain and bias (n). */
  void (*forward)(real *y, real *mean, real *rstd, const real *x,
                  const real *gain, const real *bias, double epsilon,
                  size_t rows, size_t n);
  /* dx (rows, n) */
  void (*backward)(real *dx, const real *dy, const real *x, const real *gain,
                   const real *mean, const real *rstd, size_t rows, size_t n);

  /* y (rows, n) = x * factor * gain, factor = 1 / sqrt(mean square + epsilon) */
  void (*rms_forward)(real *y, real *factor, const real *x, const real *gain,
                      double epsilon, size_t rows, size_t n);
  void (*rms_backward)(real *dx, const real *dy, const real *x,
                       const real *gain, const real *factor, size_t rows,
                       size_t n);

  /* y (rows, n) = x factor gain f(gate), f is silu or else sigmoid. Gradients of x
  ** and of the gate are written, those of the gain added to. */
  void (*gated_forward)(real *y, real *factor, const real *x, const real *gate,
                        const real *gain, double epsilon, int is_silu,
                        size_t rows, size_t n);
  void (*gated_backward)(real *dx, real *dgate, double *dgain, const real *dy,
                         const real *x, const real *gate, const real *gain,
                         const real *factor, int is_silu, size_t rows,
                         size_t n);

  /* total (n) = the sums of the columns of dy (x - mean) factor, which are
  ** gradients of a gain. dy and x are (rows, n), their rows 'stride' apart; mean
  ** may be null. */
  void (*sum_gains)(double *total, const real *dy, const real *x,
                    const real *mean, const real *factor, size_t rows,
                    size_t stride, size_t n);
} layer_norm_kernels;

/* --- Rows of a table by id (lookup.c) ------------------------------------ */

typedef struct lookup_kernels {
  /* y (count, n): row ids[i] of table (V, n) for each i; ids in 0..V-1 */
  void (*gather)(real *y, const real *table, const int32_t *ids, size_t count,
                 size_t n);
  /* dtable[ids[i]] += dy[i], in the order of i */
  void (*scatter_add)(real *dtable, const real *dy, const int32_t *ids,
                      size_t count, size_t n);
} lookup_kernels;

/* --- Elman's cell (elman.c; Elman 1990) ----------------------------------- */

typedef struct elman_kernels {
  /* One step from the pre-activations a (n) = x W + h U + b to the new state:
  ** h (n) = tanh(a), or max(a, 0). a and h may be the same array. */
  void (*tanh_step)(real *h, const real *a, size_t n);
  void (*relu_step)(real *h, const real *a, size_t n);

  /* da (n) = dh * f'(a), from h = f(a). da may be dh or h. (Written, not
  ** added to: da is this step's own.) */
  void (*tanh_step_backward)(real *da, const real *dh, const real *h, size_t n);
  void (*relu_step_backward)(real *da, const real *dh, const real *h, size_t n);
} elman_kernels;

/* --- Long short-term memory (lstm.c; Hochreiter and Schmidhuber 1997) ------ */

typedef struct lstm_kernels {
  /* From the pre-activations to the cell state, with the forget gate of Gers,
  ** Schmidhuber and Cummins 2000.
  **
  **   c         (rows, H)   out: f c_prev + i g; may be c_prev itself
  **   gates     (rows, 4H)  in: pre-activations, out: activations; i f g o
  **   c_prev    (rows, H)
  **   peephole  (3, H)      or null: weights of c_prev into i and f, and of c
  **                         into o (Gers, Schraudolph and Schmidhuber 2002) */
  void (*cell)(real *c, real *gates, const real *c_prev, const real *peephole,
               size_t rows, size_t H);

  /* h (rows, H) = o tanh(c) */
  void (*output)(real *h, const real *gates, const real *c, size_t rows,
                 size_t H);

  /* From dh: dc (rows, H) += dh o (1 - tanh(c)^2), and in the o part of gates
  ** the gradient of its pre-activation takes the place of the activation. */
  void (*output_backward)(real *dc, real *gates, const real *dh, const real *c,
                          size_t rows, size_t H);

  /* After output_backward: all of gates becomes the gradient of the
  ** pre-activations, and dc_prev (rows, H) is added to. dc is used up. */
  void (*cell_backward)(real *dc_prev, real *dc, real *gates,
                        const real *c_prev, const real *peephole, size_t rows,
                        size_t H);

  /* cell and output in one pass, and back, where nothing stands between them */
  void (*step)(real *h, real *c, real *gates, const real *c_prev,
               const real *peephole, size_t rows, size_t H);
  void (*step_backward)(real *dc_prev, real *dc, real *gates, const real *dh,
                        const real *c, const real *c_prev, const real *peephole,
                        size_t rows, size_t H);

  /* dpeephole (3, H) += what da (rows, 4H), the gradients of all steps, say */
  void (*peephole_backward)(real *dpeephole, const real *da, const real *c_prev,
                            const real *c, size_t rows, size_t H);
} lstm_kernels;

/* --- Gated recurrent unit (gru.c; Cho et al. 2014) -------------------------- */

typedef struct gru_kernels {
  /* The order is r z n. gates (rows, 3H) holds W x + b, u (rows, 3H) holds
  ** U h_prev + b'; both are projections without activation.
  **
  **   r = sigmoid(gates_r + u_r), z = sigmoid(gates_z + u_z)
  **   n = tanh(gates_n + r u_n),  h = (1 - z) n + z h_prev
  **
  ** The activations replace the pre-activations in gates; u_n (rows, H) becomes
  ** a copy of that part of u, as all that going back needs of it. */
  void (*step)(real *h, real *gates, real *u_n, const real *u,
               const real *h_prev, size_t rows, size_t H);

  /* gates and u_n become their own gradients, and du (rows, 3H) that of u;
  ** dh_prev is added to (the way through u is the caller's). */
  void (*step_backward)(real *dh_prev, real *gates, real *u_n, real *du,
                        const real *dh, const real *h_prev, size_t rows,
                        size_t H);

  /* The other convention resets h_prev before the product, which gates hold from
  ** the beginning for r and z. After the first call read (rows, H) = r h_prev; the
  ** caller then adds U_n read to gates_n, and the second call goes on with
  ** n = tanh(gates_n). */
  void (*reset)(real *read, real *gates, const real *h_prev, size_t rows,
                size_t H);
  void (*finish)(real *h, real *gates, const real *h_prev, size_t rows,
                 size_t H);
  void (*finish_backward)(real *dh_prev, real *gates, const real *dh,
                          const real *h_prev, size_t rows, size_t H);
  /* dread (rows, H): the gradient of read */
  void (*reset_backward)(real *dh_prev, real *gates, const real *dread,
                         const real *h_prev, size_t rows, size_t H);
} gru_kernels;

/* --- Update gate RNN (ugrnn.c; Collins et al. 2016) -------------------------- */

typedef struct ugrnn_kernels {
  /* The order is z n. gates (rows, 2H) holds W x + b + U h_prev + b', and then
  ** the activations.
  **
  **   z = sigmoid(gates_z), n = tanh(gates_n),  h = z h_prev + (1 - z) n */
  void (*step)(real *h, real *gates, const real *h_prev, size_t rows, size_t H);

  /* gates become the gradients of the pre-activations; dh_prev is added to (the
  ** way through U is the caller's). */
  void (*step_backward)(real *dh_prev, real *gates, const real *dh,
                        const real *h_prev, size_t rows, size_t H);
} ugrnn_kernels;

/* --- Cells that are linear in their state (scan.c) --------------------------- */

/*
** h(t) = a h(t-1) + b unit by unit, where a and b come from x alone: one step of
** n of the H units of each row, at whose first unit the pointers stand. The rows
** of h and its like are H apart, those of 'gates' G H, the units of its gates H.
** A unit's h(t) takes the same operations in the same order wherever it stands;
** it is off by about as many roundings as the root of the steps it remembers.
*/
typedef struct scan_kernels {
  /* minGRU (Feng et al. 2024), gates z n, which are only read:
  ** h = (1 - sigmoid(z)) h_prev + sigmoid(z) n. If 'positive', g(n) takes the
  ** place of n: n + 1/2 from 0 on, sigmoid(n) below. */
  void (*mingru)(real *h, const real *gates, const real *h_prev, int positive,
                 size_t rows, size_t n, size_t H);

  /* dh_prev is added to; gates become their gradients. */
  void (*mingru_backward)(real *dh_prev, real *gates, const real *dh,
                          const real *h_prev, int positive, size_t rows,
                          size_t n, size_t H);

  /* minLSTM, likewise, gates i f n: with i' = sigmoid(i) and f' = sigmoid(f),
  ** h = f' / (f' + i') h_prev + i' / (f' + i') n. */
  void (*minlstm)(real *h, const real *gates, const real *h_prev, int positive,
                  size_t rows, size_t n, size_t H);
  void (*minlstm_backward)(real *dh_prev, real *gates, const real *dh,
                           const real *h_prev, int positive, size_t rows,
                           size_t n, size_t H);

  /* LRU (Orvieto et al. 2023): h = decay h_prev + b, all of them complex, pairs
  ** of real and imaginary part; decay (H) and n are of reals, so n is even. */
  void (*lru)(real *h, const real *b, const real *h_prev, const real *decay,
              size_t rows, size_t n, size_t H);

  /* dh_prev is added to, db written. */
  void (*lru_backward)(real *dh_prev, real *db, const real *dh,
                       const real *decay, size_t rows, size_t n, size_t H);

  /* ddecay (H) += what db of all rows (rows, H) says, that of other steps, too */
  void (*decay_backward)(double *ddecay, const real *db, const real *h_prev,
                         size_t rows, size_t H);
} scan_kernels;

/* --- What steps of all cells share (blend.c) --------------------------------- */

typedef struct blend_kernels {
  /* y (rows, n) = x, each row times factor[row]; y may be x. A row whose factor
  ** is 0 is not read. */
  void (*scale_rows)(real *y, const real *x, const real *factor, size_t rows,
                     size_t n);

  /* y (rows, n) += x, each row times factor[row]. A row whose factor is 0 is not
  ** read. */
  void (*add_scaled_rows)(real *y, const real *x, const real *factor,
                          size_t rows, size_t n);

  /* h (rows, n) = w h + (1 - w) h_prev, where w = mask[row] zone[row][k]; a
  ** null mask (rows) or zone (rows, n) is all ones. Masked steps keep their
  ** state; zoneout keeps single units of it (Krueger et al. 2017). */
  void (*blend)(real *h, const real *h_prev, const real *mask, const real *zone,
                size_t rows, size_t n);

  /* dh becomes w dh; dh_prev += (1 - w) dh */
  void (*blend_backward)(real *dh, real *dh_prev, const real *mask,
                         const real *zone, size_t rows, size_t n);
} blend_kernels;

/* --- Dropout (dropout.c; Srivastava et al. 2014) ------------------------------ */

/* Elements of a block, whose random numbers depend on a key and its number. */
#define KERNEL_DROPOUT_BLOCK 4096

typedef struct dropout_kernels {
  /* y (n) = x times 0 or 'factor', for n elements of an array from the first of
  ** a block on. An element is dropped, whatever it is, if its random number of 32
  ** bits is less than 'below': a key drops the same elements on every machine. */
  void (*forward)(real *y, const real *x, uint64_t key, size_t block,
                  uint32_t below, real factor, size_t n);
  /* dx (n) += dy times the same */
  void (*backward)(real *dx, const real *dy, uint64_t key, size_t block,
                   uint32_t below, real factor, size_t n);
} dropout_kernels;

/* --- Steps of a few rows from packed weights (step_packing.h) ---------------- */

/* From row to row, the arrays of a step whose rows have n elements are this
** many elements apart. What lies between is written to, and never counts. */
#define STEP_WIDTH(n) (((n) + 15) & ~15)

/*
** All arrays but x are aligned to 64 bytes, and so are the rows of 'start',
** where the sums of each row begin; rows may share one. Each packing of the
** weights is a table of this type; a dense layer of at most STEP_FEW outputs keeps
** its weights as they are in all of them.
*/
typedef struct step_kernels {
  /* A cell of H units and G gates with 'inputs' + P terms: w (G H, inputs) and
  ** u (G H, P) as one packed matrix of so many bytes. */
  size_t (*cell_bytes)(int gates, int H, int inputs, int P);
  void (*pack_cell)(void *packed, const real *w, int inputs, const real *u,
                    int P, int gates, int H);

  /* values (4, H), biases say, as a row of 'start' (4 STEP_WIDTH(H)): for the
  ** LSTM those of i f g o, for the GRU those of r z and of both parts of n. */
  void (*arrange)(real *start, const real *values, int H);

  /* One step: h (rows, H) and, in place, c (rows, H), from x (rows, inputs) and
  ** h_prev (rows, P), which h must not overlap. peephole (3, H) or null, its
  ** rows STEP_WIDTH(H) apart. The equations are those of lstm.c. */
  void (*lstm)(real *h, real *c, const void *packed, const real *const *start,
               const real *x, int inputs, const real *h_prev, int P,
               const real *peephole, int rows, int H);

  /* The same for the GRU of gru.c, the reset gate after the product. */
  void (*gru)(real *h, const void *packed, const real *const *start,
              const real *x, int inputs, const real *h_prev, int rows, int H);

  /* y (rows, n) = start + x (rows, k) w^T with w (n, k); start[row] may be the
  ** row of y. Nothing else may overlap y. */
  size_t (*dense_bytes)(int n, int k);
  void (*pack_dense)(void *packed, const real *w, int n, int k);
  void (*dense)(real *y, const void *packed, const real *const *start,
                const real *x, int rows, int n, int k);

  /* w (n, k) becomes what a packing of more than STEP_FEW rows makes of it. With
  ** 'scale' (n), only up to this factor of each row. */
  void (*round_rows)(real *w, real *scale, int n, int k);
} step_kernels;

/* Dense layers of at most so many outputs keep their weights as they are. */
#define STEP_FEW 4

/* The packings. */
enum {
  STEP_REAL,  // weights as they are (step.c)
  STEP_BF16,  // rounded to bf16, sums in float (step_bf16.c)
  STEP_INT8,  // rounded to 8 bits of a scale (step_int8.c, step_vnni.c)
  STEP_KINDS
};

/* --- A step of attention over the last W steps (attention.c) ---------------- */

/* Keys lie in blocks of so many slots, (W / 16, F, 16); those of W slots take so
** many elements. */
#define ATTENTION_SLOTS 16
#define ATTENTION_KEYS(F, W)                                                   \
  ((F) * (((W) + ATTENTION_SLOTS - 1) & -ATTENTION_SLOTS))

/* Heads divide F; the features of each follow each other. */
typedef struct attention_kernels {
  /* scores (heads, n): q (F) times the key of each of the first n slots, over
  ** sqrt(F / heads), + distance (heads, n), whose rows are 2 W elements apart.
  ** keys: as above. */
  void (*score)(real *scores, const real *q, const real *keys,
                const real *distance, int heads, int F, int n, int W);

  /* y (F): of each head the sum of weights (heads, n) times values (n, F) */
  void (*read)(real *y, const real *weights, const real *values, int heads,
               int F, int n);
} attention_kernels;

/* delta_kernels */
#include "kernel_delta.h"

/* --- Depthwise convolution (depthwise.c) -------------------------------------- */

/* Rows of n features that are k at most, where null stands for zeros; row j of
** the weights is ldw elements behind row j - 1. */
typedef struct depthwise_kernels {
  /* y (n) = start + the sum over j of weights_j x_j, in the order of j; start (n)
  ** may be y, or null for zeros */
  void (*combine)(real *y, const real *start, const real *const *x,
                  const real *weights, size_t ldw, int k, size_t n);

  /* The way back of one such sum z, from its gradient dz (n): dx_j (n) += weights_j
  ** dz and dweights_j += x_j dz. Of dx and x, rows may be null, and so may
  ** dweights, whose rows are ldw elements apart too; no rows overlap. */
  void (*spread)(real *const *dx, real *dweights, const real *dz,
                 const real *const *x, const real *weights, size_t ldw, int k,
                 size_t n);

  /* dz (n) = dy silu'(z) */
  void (*silu_backward)(real *dz, const real *dy, const real *z, size_t n);
} depthwise_kernels;

/* --- Parameter updates (update.c) ----------------------------------------- */

typedef struct update_kernels {
  /* SGD with momentum (Polyak 1964) as PyTorch has it:
  ** g = gradient + decay * p; v = momentum * v + g;
  ** p -= rate * (nesterov ? g + momentum * v : v).
  ** v (n) may be null where momentum is 0. */
  void (*sgd)(real *p, real *v, const real *gradient, double rate,
              double momentum, int nesterov, double decay, size_t n);

  /* RMSProp (Tieleman and Hinton 2012): g = gradient + decay * p;
  ** s = alpha s + (1 - alpha) g^2; p -= rate * g / (sqrt(s) + epsilon) */
  void (*rmsprop)(real *p, real *s, const real *gradient, double rate,
                  double alpha, double epsilon, double decay, size_t n);

  /* Adam (Kingma and Ba 2015), at step t = 1, 2, ... of the moments m and s:
  ** m = beta1 m + (1 - beta1) g; s = beta2 s + (1 - beta2) g^2;
  ** p -= rate * (m / (1 - beta1^t)) / (sqrt(s / (1 - beta2^t)) + epsilon).
  ** coupled != 0: g = gradient + decay * p. Otherwise AdamW (Loshchilov and
  ** Hutter 2019): p -= rate * decay * p first, g = gradient. */
  void (*adam)(real *p, real *m, real *s, const real *gradient, double rate,
               double beta1, double beta2, double epsilon, double decay,
               int coupled, double t, size_t n);
} update_kernels;

/* --- Chains of a compiled loop (strip.c) ------------------------------------ */

/* A function of three operands; a step of 0 repeats a scalar. */
typedef void kernel_strip_ternary(real *y, const real *a, ptrdiff_t a_step,
                                  const real *b, ptrdiff_t b_step,
                                  const real *c, ptrdiff_t c_step, size_t n);

typedef struct strip_kernels {
  kernel_strip_ternary *multiply_add;           // a b + c
  kernel_strip_ternary *subtract_product;       // c - a b
  kernel_strip_ternary *multiply_sigmoid_back;  // a b c (1 - c)
  kernel_strip_ternary *multiply_tanh_back;     // a b (1 - c^2)
  kernel_strip_ternary *blend;  // c a + (1 - c) b, where c is 0 just b

  /* y = dy times the slope of the function whose value is s or t */
  void (*sigmoid_back)(real *y, const real *dy, const real *s, size_t n);
  void (*tanh_back)(real *y, const real *dy, const real *t, size_t n);

  /* y[i] = m x[i], and 0 where m is 0, whatever x is */
  void (*masked)(real *y, const real *x, const real *m, ptrdiff_t m_step,
                 size_t n);

  /* y (rows, n) = x, or = the first element of each row of x; ldy and ldx are
  ** the distances between rows. No overlap. */
  void (*copy_rows)(real *y, ptrdiff_t ldy, const real *x, ptrdiff_t ldx,
                    size_t rows, size_t n);
  void (*spread_rows)(real *y, ptrdiff_t ldy, const real *x, ptrdiff_t ldx,
                      size_t rows, size_t n);

  /* sums (n) += the rows of x (rows, n) */
  void (*add_rows)(double *sums, const real *x, ptrdiff_t ldx, size_t rows,
                   size_t n);
} strip_kernels;

/* finite_kernels */
#include "kernel_finite.h"

/* --- Choosing a set ------------------------------------------------------- */

/* The families, each a table of functions in the file of that name: X(family). */
// clang-format off
#define KERNEL_FAMILIES(X) \
  X(pointwise) \
  X(product) \
  X(outer_sum) \
  X(reduce) \
  X(softmax) \
  X(loss) \
  X(ctc) \
  X(crf) \
  X(layer_norm) \
  X(lookup) \
  X(elman) \
  X(lstm) \
  X(gru) \
  X(ugrnn) \
  X(scan) \
  X(blend) \
  X(dropout) \
  X(attention) \
  X(finite) \
  X(delta) \
  X(depthwise) \
  X(update) \
  X(strip)
// clang-format on

#define KERNEL_FIELD(family) const family##_kernels *family;

typedef struct kernels {
  const char *isa;  // "baseline", "avx2", "avx512", "avx512vnni", ...
  KERNEL_FAMILIES(KERNEL_FIELD)
  const packed_kernels *packed[PACKED_KINDS];  // null: this set lacks the kind
  const step_kernels *step[STEP_KINDS];
} kernels;

/*
** The best set of kernels that this processor runs. With a name (as in the
** environment variable SAROS_ISA) the set of that name; null if there is no
** such set or the processor does not run it.
*/
const kernels *kernel_select(const char *name);

/* The name of the index-th of the sets that this processor runs, best first;
** null behind the last. */
const char *kernel_set_name(int index);

/* The name of a family's table in the instruction set being compiled:
** KERNEL_TABLE(pointwise) is kernel_pointwise_avx2 and so on. */
#define KERNEL_JOIN(family, isa) kernel_##family##_##isa
#define KERNEL_NAME(family, isa) KERNEL_JOIN(family, isa)
#define KERNEL_TABLE(family) KERNEL_NAME(family, ISA)

#define KERNEL_DECLARE(family)                                                 \
  extern const family##_kernels KERNEL_NAME(family, baseline);                 \
  extern const family##_kernels KERNEL_NAME(family, avx2);                     \
  extern const family##_kernels KERNEL_NAME(family, avx512);

#define KERNEL_DECLARE_STEP(packing)                                           \
  extern const step_kernels KERNEL_NAME(packing, baseline);                    \
  extern const step_kernels KERNEL_NAME(packing, avx2);                        \
  extern const step_kernels KERNEL_NAME(packing, avx512);

#define KERNEL_DECLARE_PACKED(kind)                                            \
  extern const packed_kernels KERNEL_NAME(kind, baseline);                     \
  extern const packed_kernels KERNEL_NAME(kind, avx2);                         \
  extern const packed_kernels KERNEL_NAME(kind, avx512);

KERNEL_FAMILIES(KERNEL_DECLARE)
KERNEL_DECLARE_PACKED(packed)
KERNEL_DECLARE_PACKED(packed_bf16)
KERNEL_DECLARE_PACKED(packed_int8)
KERNEL_DECLARE_STEP(step)
KERNEL_DECLARE_STEP(step_bf16)
KERNEL_DECLARE_STEP(step_int8)

/* Of the float build for x86-64 alone. */
extern const step_kernels KERNEL_NAME(step_vnni, avx512);
extern const packed_kernels KERNEL_NAME(packed_avx512bf16, avx512);
extern const packed_kernels KERNEL_NAME(packed_amx, avx512);
extern const packed_kernels KERNEL_NAME(packed_vnni, avx512);
extern const packed_kernels KERNEL_NAME(packed_amx_int8, avx512);

#endif
