/*
** Operations, differentiable where they can be.
*/
#ifndef SAROS_OPERATIONS_H
#define SAROS_OPERATIONS_H

#include "context.h"

SAROS_BEGIN

/* --- Element by element, differentiable ------------------------------------- */

typedef enum saros_function {
  SAROS_NEGATE,
  SAROS_ABS,
  SAROS_EXP,
  SAROS_LOG,
  SAROS_SQRT,
  SAROS_TANH,
  SAROS_SIGMOID,
  SAROS_RELU,
  SAROS_ISFINITE,  // of these two: 1 or 0, without gradient
  SAROS_ISNAN,
  SAROS_SIN,
  SAROS_COS,
  SAROS_SOFTPLUS,      // log(1 + e^x)
  SAROS_SILU,          // x sigmoid(x)
  SAROS_GELU,          // x Phi(x), Phi being the normal distribution's
  SAROS_GELU_TANH,     // its approximation by tanh (Hendrycks and Gimpel 2016)
  SAROS_ELU,           // x, or e^x - 1 below 0 (Clevert et al. 2015)
  SAROS_LEAKY_RELU,    // x, or x / 100 below 0
  SAROS_HARD_SIGMOID,  // x / 6 + 1/2 within 0..1
  SAROS_HARD_TANH,     // x within -1..1
  SAROS_FUNCTIONS
} saros_function;

SAROS_API saros_status saros_apply(saros_function f, saros_tensor *x,
                                   saros_tensor **out);

/* SAROS_ELU or SAROS_LEAKY_RELU with another slope: x where it is above 0, else
** slope (e^x - 1) or slope x. SAROS_EARGUMENT for any other function. */
SAROS_API saros_status saros_apply_slope(saros_function f, saros_tensor *x,
                                         double slope, saros_tensor **out);

/* Comparisons give 1 or 0 and have no gradient; SAROS_EQUAL compares ids, too,
** and ids with numbers as messages count them. */
typedef enum saros_operator {
  SAROS_ADD,
  SAROS_SUBTRACT,
  SAROS_MULTIPLY,
  SAROS_DIVIDE,
  SAROS_POWER,
  SAROS_MAXIMUM,
  SAROS_MINIMUM,
  SAROS_LESS,
  SAROS_LESS_EQUAL,
  SAROS_EQUAL,
  SAROS_OPERATORS
} saros_operator;

/* a and b broadcast as usual: shapes are aligned at their last axes, and an
** axis of size 1, or a missing one, is repeated. */
SAROS_API saros_status saros_combine(saros_operator f, saros_tensor *a,
                                     saros_tensor *b, saros_tensor **out);

/* Elements of a where the condition is not 0, else of b; all three broadcast.
** Differentiable in a and b. What is not chosen does not matter: NaN there
** reaches neither the result nor a gradient. */
SAROS_API saros_status saros_where(saros_tensor *condition, saros_tensor *a,
                                   saros_tensor *b, saros_tensor **out);

/* The name of f in messages and in Lua: "tanh", "add"; null if there is no f. */
SAROS_API const char *saros_function_name(saros_function f);
SAROS_API const char *saros_operator_name(saros_operator f);

/* --- Products and reductions, differentiable --------------------------------- */

/* a (..., M, K) times b (..., K, N) is (..., M, N). The leading axes broadcast;
** an operand of rank 1 is a row on the left, a column on the right. */
SAROS_API saros_status saros_matmul(saros_tensor *a, saros_tensor *b,
                                    saros_tensor **out);

/* Over one axis, which disappears unless keep is set, or SAROS_ALL_AXES. */
SAROS_API saros_status saros_sum(saros_tensor *x, int axis, int keep,
                                 saros_tensor **out);
SAROS_API saros_status saros_mean(saros_tensor *x, int axis, int keep,
                                  saros_tensor **out);
/* The gradient goes to the first of equal largest (smallest) elements. */
SAROS_API saros_status saros_max(saros_tensor *x, int axis, int keep,
                                 saros_tensor **out);
SAROS_API saros_status saros_min(saros_tensor *x, int axis, int keep,
                                 saros_tensor **out);
/* The logarithm of the sum of exp, without overflow; -inf of no elements. */
SAROS_API saros_status saros_logsumexp(saros_tensor *x, int axis, int keep,
                                       saros_tensor **out);
/* At each position of an axis the sum of what is there and before. */
SAROS_API saros_status saros_cumsum(saros_tensor *x, int axis,
                                    saros_tensor **out);
/* The k largest along an axis, largest first, and their positions (ids); the
** first of equal ones first, NaN counting as the largest. Differentiable in the
** values. SAROS_EARGUMENT unless k is 1 to the size of the axis. */
SAROS_API saros_status saros_topk(saros_tensor *x, int k, int axis,
                                  saros_tensor **values, saros_tensor **ids);
/* Ids; no gradient. */
SAROS_API saros_status saros_argmax(saros_tensor *x, int axis,
                                    saros_tensor **out);

/* --- Tables ------------------------------------------------------------------ */

/* Rows of table (V, n) by ids of any shape S: (S..., n). Differentiable in the
** table. SAROS_EARGUMENT names an id outside 0..V-1 and its place. */
SAROS_API saros_status saros_embedding(saros_tensor *table, saros_tensor *ids,
                                       saros_tensor **out);
/* Element ids[i] of row i of x (S..., V), ids being of shape S: shape S.
** Differentiable in x. */
SAROS_API saros_status saros_pick(saros_tensor *x, saros_tensor *ids,
                                  saros_tensor **out);
/* Elements of x along an axis by ids, whose shape is that of x but for this
** axis: y[.., i, ..] = x[.., ids[.., i, ..], ..]. Differentiable in x. */
SAROS_API saros_status saros_gather(saros_tensor *x, int axis,
                                    saros_tensor *ids, saros_tensor **out);
/* Ids of shape S as rows of zeros with a single 1: (S..., V). */
SAROS_API saros_status saros_one_hot(saros_tensor *ids, int V,
                                     saros_tensor **out);

/* --- Layers and losses, differentiable ---------------------------------------- */

SAROS_API saros_status saros_softmax(saros_tensor *x, int axis,
                                     saros_tensor **out);
SAROS_API saros_status saros_log_softmax(saros_tensor *x, int axis,
                                         saros_tensor **out);

/* All zero: every position and every class counts 1. */
typedef struct saros_cross_entropy_options {
  saros_tensor *mask;     // of shape S or null: what each position counts
  saros_tensor *weights;  // (V) or null: what each class counts, 0 or more
  double smoothing;       // e in [0, 1): label smoothing
} saros_cross_entropy_options;

/*
** The mean over all positions of -log softmax(logits)[target], in nats.
** logits (S..., V); targets ids of shape S; options may be null. With m for the
** mask, w for the weights and ce(v) for -log softmax(logits)[v], it is
**
**   sum of m ((1 - e) w[target] ce(target) + e / V * sum over v of w[v] ce(v))
**   ---------------------------------------------------------------------------
**                            sum of m w[target]
**
** as PyTorch has it; with e = 0 the weighted mean, otherwise label smoothing
** (Szegedy et al. 2016). What a mask of 0 hides is not looked at, neither
** logits nor target. SAROS_EARGUMENT if a target that counts is outside
** 0..V-1, if a weight is negative or not finite, or the last sum is 0 or not
** finite.
*/
SAROS_API saros_status saros_cross_entropy(
    saros_tensor *logits, saros_tensor *targets,
    const saros_cross_entropy_options *options, saros_tensor **out);

typedef enum saros_ctc_reduction {
  SAROS_CTC_MEAN,  // over rows of loss / max(target length, 1): rank 0
  SAROS_CTC_ROWS,  // the loss of each row: (B)
  SAROS_CTC_REDUCTIONS
} saros_ctc_reduction;

/*
** Connectionist temporal classification (Graves et al. 2006): the loss of rows
** whose targets are shorter than their inputs, with nothing said of which step
** belongs to which id. For each row it is, in nats,
**
**   -log of the sum of the probabilities of all paths (a class for each step)
**   that give the target when repeats are merged and then blanks removed,
**
** the probability of a path being the product of its softmax(logits).
**
**   logits          (T, B, V)  V classes, one of which is the blank
**   targets         ids (S, B) in 0..V-1, without the blank
**   input_lengths   (B)        in 1..T; null: all are T
**   target_lengths  (B)        in 0..S; null: all are S
**
** What lies beyond the lengths of a row is not looked at and has gradient 0.
** Where a row has too few steps for its target (each id needs one, and two
** equal neighbours a blank between them), its loss is infinity, and so is the
** mean, and its gradient is 0: it does not disturb the other rows. Lengths are
** read during the call only. SAROS_EARGUMENT if a shape, a length, an id or
** the blank does not fit.
*/
SAROS_API saros_status saros_ctc_loss(saros_tensor *logits,
                                      saros_tensor *targets,
                                      const int *input_lengths,
                                      const int *target_lengths, int blank,
                                      saros_ctc_reduction reduction,
                                      saros_tensor **out);

/* The scores of a linear-chain conditional random field of L tags. */
typedef struct saros_crf {
  saros_tensor *transitions;   // (L, L): from a tag to the next
  saros_tensor *start, *stop;  // (L): of the first and the last tag
  const int *lengths;          // (B) in 1..T; null: all are T
} saros_crf;

/*
** For each row -log of the probability of its tags, ids (T, B) in 0..L-1, as a
** linear-chain conditional random field has it (Lafferty et al. 2001), whose
** scores of a tag at a step are emissions (T, B, L): (B), in nats. Differentiable
** in all scores. What lies beyond the lengths is not looked at. A row whose loss
** is infinite (a score of -inf) or NaN has the gradient 0. Scores that are 700
** below others of their step or table count as impossible.
*/
SAROS_API saros_status saros_crf_loss(saros_tensor *emissions,
                                      saros_tensor *tags, const saros_crf *crf,
                                      saros_tensor **out);

/* The likeliest tags (Viterbi 1967), ids (T, B), 0 beyond the lengths, and their
** scores (B); the first of equal ones. Without a gradient. */
SAROS_API saros_status saros_crf_best(saros_tensor *emissions,
                                      const saros_crf *crf, saros_tensor **tags,
                                      saros_tensor **score);

typedef enum saros_loss_kind {
  SAROS_MSE,    // (x - target)^2
  SAROS_L1,     // |x - target|
  SAROS_HUBER,  // (x - target)^2 / 2 where |x - target| <= delta, else
                // delta (|x - target| - delta / 2) (Huber 1964)
  SAROS_BCE,    // -target log p - (1 - target) log(1 - p), p = sigmoid(x)
  SAROS_KL,     // sum over the last axis of target (log target - x)
  SAROS_LOSSES
} saros_loss_kind;

/*
** The mean of a loss over all elements, x and target having one shape; of
** SAROS_KL, the divergence of x = log q from target = p (KL(p || q), in nats),
** over all positions but those of the last axis. mask, or null: what each
** element or position counts, sum(mask * loss) / sum(mask); what a mask of 0
** hides is not looked at. delta > 0: of SAROS_HUBER. Differentiable in x and
** target. SAROS_EARGUMENT if shapes do not fit, a target of SAROS_BCE or
** SAROS_KL that counts is outside 0..1, or the mask sums to 0 or is not finite.
*/
SAROS_API saros_status saros_loss(saros_loss_kind kind, saros_tensor *x,
                                  saros_tensor *target, saros_tensor *mask,
                                  double delta, saros_tensor **out);
/* Its name in messages and in Lua: "mse"; null if there is no such loss. */
SAROS_API const char *saros_loss_name(saros_loss_kind kind);

/*
** Sets each element to 0 with probability p in [0, 1) and divides the others
** by 1 - p (Srivastava et al. 2014). Acts only while a training tape is open;
** otherwise, or with p = 0, the result is x. The generator gives one number for the
** whole tensor, from which the same elements follow on every machine; p counts in
** steps of 2^-32. A dropped element is 0 even if it was not finite.
*/
SAROS_API saros_status saros_dropout(saros_tensor *x, double p,
                                     saros_generator *generator,
                                     saros_tensor **out);

/* (x - mean) / sqrt(variance + epsilon) * gain + bias over the last axis, with
** the biased variance (Ba, Kiros and Hinton 2016). gain, bias: (n). */
SAROS_API saros_status saros_layer_norm(saros_tensor *x, saros_tensor *gain,
                                        saros_tensor *bias, double epsilon,
                                        saros_tensor **out);

/* x / sqrt(mean square + epsilon) * gain over the last axis (Zhang and Sennrich
** 2019); gain (n), or null for ones. */
SAROS_API saros_status saros_rms_norm(saros_tensor *x, saros_tensor *gain,
                                      double epsilon, saros_tensor **out);

/* The same over each n features of x (..., heads n), times f(gate), elementwise: the
** gate has x's shape, and f is SAROS_SILU or SAROS_SIGMOID. gain (n), rows in all at
** most INT_MAX. SAROS_EARGUMENT if shapes do not fit. */
SAROS_API saros_status saros_gated_rms_norm(saros_tensor *x, saros_tensor *gate,
                                            saros_tensor *gain, double epsilon,
                                            saros_function function,
                                            saros_tensor **out);

/*
** x with zeros in the rows where the mask is 0, whatever stands there, NaN
** included; nor is the gradient of the result read there. The mask (S...) has
** the first sizes of x (S..., n...); where it is not 0 a row is multiplied by
** it. Ids become 0, which a script calls 1.
*/
SAROS_API saros_status saros_mask_rows(saros_tensor *x, saros_tensor *mask,
                                       saros_tensor **out);

/*
** Where a walk over rows in pieces keeps its state: (T, B), 1 except at the
** steps before which it starts again. reset (T, B) is 1 where a new piece of the
** row begins; from the last step to the first ('reverse'), the walk starts again
** when it leaves that step, so that each piece is read as if it stood alone.
** With a mask (T, B), steps where it is 0 belong to no piece, and a reset there
** counts at the next step that does; behind a row's end none counts. Without a
** gradient.
*/
SAROS_API saros_status saros_keep(saros_tensor *reset, saros_tensor *mask,
                                  int reverse, saros_tensor **out);

/* What saros_depthwise_convolution does to its sums; saros_window has none. */
typedef enum saros_window_activation {
  SAROS_WINDOW_PLAIN,  // nothing
  SAROS_WINDOW_SILU,   // x sigmoid(x)
} saros_window_activation;

/* All zero but the kernel and the dilation, which are 1 or more. */
typedef struct saros_window_options {
  int kernel, dilation;
  int ahead;            // steps that the last part of a window looks ahead, up
                        // to (kernel - 1) dilation; then there is no state
  saros_tensor *mask;   // (T, B) of 1 and 0, or null: windows of steps where it
                        // is 0 are zeros, and others do not see these steps
  saros_tensor *reset;  // (T, B) of 1 and 0, or null: at 1 a new piece begins,
                        // whose windows see zeros in place of other pieces,
                        // whichever way the walk goes: see saros_keep
  int reverse;          // from the last step to the first: 'before' is after
  int activation;       // a saros_window_activation; saros_window reads none
} saros_window_options;

/*
** For each step of x (T, B, F) what stands (k - 1) d, ..., d and 0 steps before
** it, for a kernel k and a dilation d, one after the other: (T, B, k F), of which
** a product makes a dilated causal convolution. The steps before the first are
** those of the state (B, (k - 1) d F), oldest first, or zeros if it is null; last
** is the state after the last step. With 'ahead', all of it is seen that many
** steps later. Differentiable in x and the state.
*/
SAROS_API saros_status saros_window(saros_tensor *x, saros_tensor *state,
                                    const saros_window_options *options,
                                    saros_tensor **out, saros_tensor **last);

/* A finite-state cell of 'heads' heads of n states. */
typedef struct saros_finite_options {
  int heads, states;  // states: n, up to 1024
  int pointers;  // P, of a head: 1, which begins at state 0, or n, of which
                 // pointer p begins at state p
  int soft;      // true: the softmax itself, to begin training with
  saros_tensor *mask;   // (T, B) of 1 and 0, or null: at 0 states stay as they
                        // are, results are 0
  saros_tensor *reset;  // (T, B) of 1 and 0, or null: at 1 a new piece begins
} saros_finite_options;

/*
** Heads whose state is one of n, walked over time: each step is a function of the
** n states onto themselves, so that what a head knows does not drift, whatever
** the length. logits (V, heads n n) are looked up by ids (T, B); with ids null they
** are (T, B, heads n n). Of a head they are n rows, one for each state before the
** step, of n logits, the first largest of which names the state after it:
**
**   s(t) = argmax over j of logits(t)[s(t-1)][j]
**
** out (T, B, heads P n) has for each head and pointer s(t) as a row of zeros with a
** single 1; state (B, heads P n), or null for the beginning, and last, the state
** after the last step, have the same form; of a row of the state the first largest
** element counts. With all n pointers a head's state is a function itself: what the
** tokens so far do to each state.
**
** Differentiable in logits and the state by the straight-through estimator (Bengio,
** Leonard and Courville 2013): forward as above, backward as if the function were
** the softmax of the logits where it meets them, and itself where it meets the
** state. With 'soft', forward is the softmax as well, states are distributions, and
** the gradient is exact. SAROS_EARGUMENT if a shape or an id does not fit.
*/
SAROS_API saros_status saros_finite(saros_tensor *logits, saros_tensor *ids,
                                    saros_tensor *state,
                                    const saros_finite_options *options,
                                    saros_tensor **out, saros_tensor **last);

/* Shapes: T steps, B rows, H heads, n reflections. A null tensor is an absent one. */
typedef struct saros_delta_options {
  int heads;            // H, 1 or more
  int reflections;      // n, micro-steps of a step: 1 to 64
  int chunk;            // micro-steps in one set of products, 1 to 64; 0: the
                        // default, 16. It changes rounding alone
  int reverse;          // true: from the last step to the first
  saros_tensor *write;  // (T, B, n H); null: ones
  saros_tensor *erase;  // (T, B, n H); null: nothing is erased
  saros_tensor *decay;  // (T, B, H) or (T, B, H K), logarithms <= 0 of what is
                        // kept of the state; null: all is kept
  saros_tensor *mask;   // (T, B) of 1 and 0: a step where it is 0 changes
                        // nothing, and its y is 0
  saros_tensor *reset;  // (T, B) of 1 and 0: see saros_keep
  saros_tensor *first;  // (H K V), where resets lead, and where a walk without
                        // a state begins; null: zeros
  saros_tensor
      *ids;  // (T, B), or null: q (V, H K), k and v are tables, of which
             // these are the rows; they differ in no other way
  double query_length;  // a head's vector x of q counts as length x /
  double key_length;    // sqrt(x . x + epsilon), and so does one of k; as it is
  double epsilon;       // where its length is 0
} saros_delta_options;

/*
** A memory with the delta rule (DeltaNet, Yang et al. 2024; gated, Yang et al. 2025;
** several reflections, Siems et al. 2025; decays by channel, Kimi Linear 2025). Each
** row and head has a matrix M (K, V). A step is
**
**   M = diag(exp(decay)) M                                    once
**   u = write v - erase M^T k,   M = M + k u^T                for each reflection
**   y = M^T q
**
** q (T, B, H K), k (T, B, n H K), v (T, B, n H V); the reflections of a step lie side
** by side, the first one first. y is (T, B, H V). The state before the first step is
** 'state' (B, H K V), or 'first' if it is null; last is the one after the last step.
** Keys should have length 1, and erase lie in 0..2, or states grow.
**
** Differentiable in q, k, v, write, erase, decay, the state and first. A tape keeps
** the inputs, by reference, and one state for each 64 micro-steps. SAROS_EARGUMENT if
** shapes do not fit; *y and *last are null then.
*/
SAROS_API saros_status saros_delta(saros_tensor *q, saros_tensor *k,
                                   saros_tensor *v,
                                   const saros_delta_options *options,
                                   saros_tensor *state, saros_tensor **y,
                                   saros_tensor **last);

/* Short causal convolutions of q, k and v, each as saros_depthwise_convolution has it.
** A null tensor of taps: none of that one. */
typedef struct saros_delta_convolutions {
  saros_tensor *taps[3];    // (F, k) of F features; k is the same, 2 to 16
  saros_tensor *memory[3];  // (B, (k - 1) F): what came before; null: zeros
  int activation;           // SAROS_WINDOW_PLAIN or SAROS_WINDOW_SILU
} saros_delta_convolutions;

/*
** saros_delta of the convolutions of q, k and v, which are not written out: the way
** back makes them again. c may be null. memories (3) gets what the next steps need of
** each, or null where there is no convolution. Differentiable in taps and memories, too.
*/
SAROS_API saros_status saros_delta_convolved(
    saros_tensor *q, saros_tensor *k, saros_tensor *v,
    const saros_delta_options *options, const saros_delta_convolutions *c,
    saros_tensor *state, saros_tensor **y, saros_tensor **last,
    saros_tensor **memories);

/*
** Depthwise convolution over time, of which each feature has its own weights:
** y(t) = f(bias + the sum over parts j = 0..k-1 of weight[:, j] * part j of the
** window of step t), where f is the 'activation' of the options. Neither windows
** nor sums are written out. weight (F, k) says the kernel, and 'kernel' of the
** options is not read; bias (F) or null; the rest is that of saros_window. y (T, B, F) is 0 where the mask is 0, and its gradient is not
** read there. Differentiable in x, weight, bias and the state.
*/
SAROS_API saros_status saros_depthwise_convolution(
    saros_tensor *x, saros_tensor *weight, saros_tensor *bias,
    saros_tensor *state, const saros_window_options *options,
    saros_tensor **out, saros_tensor **last);

/* x (..., I) W^T + b with W (O, I) and b (O) or null: (..., O). */
SAROS_API saros_status saros_linear(saros_tensor *x, saros_tensor *weight,
                                    saros_tensor *bias, saros_tensor **out);

SAROS_END

#endif
