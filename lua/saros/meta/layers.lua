---@meta

--- More of the C module: layers, losses and what they are made of. Other operations are
--- in core.lua.

---@class saros.core
local core = {}

-- --- Layers and losses, differentiable --------------------------------------------------

--- e^x / sum e^x along an axis.
---@param x saros.Tensor
---@param axis? integer  the last
---@return saros.Tensor
function core.softmax(x, axis) end

--- The logarithm of the softmax, without its overflow.
---@param x saros.Tensor
---@param axis? integer  the last
---@return saros.Tensor
function core.log_softmax(x, axis) end

---@class saros.CrossEntropyOptions
---@field mask? saros.Tensor  (S...): what each position counts, 0 or 1 or any sample weight (1)
---@field weights? saros.Tensor  (V): what each class counts, 0 or more (1)
---@field label_smoothing? number  e in [0, 1): the share of the target that all classes get (0)

--- The mean of -log softmax(logits)[target], in nats. With mask m, weights w and
--- label smoothing e (Szegedy et al. 2016), and ce(v) = -log softmax(logits)[v], it is,
--- as in PyTorch,
---
---     sum of m ((1 - e) w[target] ce(target) + e / V sum over v of w[v] ce(v))  /  sum of m w[target]
---
--- What a mask of 0 hides is not looked at, neither logits nor target. Error if a
--- target that counts is no class, or the last sum is 0.
---@param logits saros.Tensor  (S..., V)
---@param targets saros.Tensor  ids (S...)
---@param options? saros.CrossEntropyOptions
---@return saros.Tensor  of rank 0
function core.cross_entropy(logits, targets, options) end

---@class saros.LossOptions
---@field mask? saros.Tensor  what each element counts, of the shape of x; what a 0 hides is not looked at (1)

--- The mean of (x - target)^2; with a mask sum(mask * loss) / sum(mask).
---@param x saros.Tensor
---@param target saros.Tensor  of the shape of x
---@param options? saros.LossOptions
---@return saros.Tensor  of rank 0
function core.mse(x, target, options) end

--- The mean of |x - target|; mask as in `mse`.
---@param x saros.Tensor
---@param target saros.Tensor  of the shape of x
---@param options? saros.LossOptions
---@return saros.Tensor  of rank 0
function core.l1(x, target, options) end

---@class saros.HuberOptions: saros.LossOptions
---@field delta? number  where the square ends, > 0 (1)

--- The mean of Huber's loss (1964): with e = |x - target|, e^2 / 2 up to delta, and
--- delta (e - delta / 2) from there on; mask as in `mse`.
---@param x saros.Tensor
---@param target saros.Tensor  of the shape of x
---@param options? saros.HuberOptions
---@return saros.Tensor  of rank 0
function core.huber(x, target, options) end

--- Binary cross-entropy of logits: the mean of -target log p - (1 - target)
--- log(1 - p) with p = sigmoid(x), in nats, without its overflow; mask as in `mse`.
---@param x saros.Tensor  logits
---@param target saros.Tensor  probabilities in 0..1, of the shape of x
---@param options? saros.LossOptions
---@return saros.Tensor  of rank 0
function core.bce(x, target, options) end

--- The divergence KL(target || exp x), in nats: the mean over the positions S of the
--- sum over v of target (log target - x). It is 0 where exp x is the target.
---@param x saros.Tensor  (S..., V): log-probabilities, such as x:log_softmax()
---@param target saros.Tensor  (S..., V): probabilities
---@param options? saros.LossOptions  mask (S...)
---@return saros.Tensor  of rank 0
function core.kl(x, target, options) end

---@class saros.CtcOptions
---@field input_lengths? integer[]  steps of each row, in 1..T (all T)
---@field target_lengths? integer[]  ids of each row's target, in 0..S (all S)
---@field blank? integer  the class that says nothing (1)
---@field reduction? "mean"|"none"  the mean over rows of loss / target length, as PyTorch's, or each row's loss ("mean")

--- Connectionist temporal classification (Graves et al. 2006): -log of the
--- probability that repeats merged and then blanks removed, the classes of the
--- steps are the target, summed over all alignments; in nats. What lies beyond
--- the lengths is not looked at. A row with too few steps for its target has
--- the loss infinity, and so has the mean; its gradient is 0.
---@param logits saros.Tensor  (T, B, V)
---@param targets saros.Tensor  ids (S, B), none of them the blank
---@param options? saros.CtcOptions
---@return saros.Tensor  of rank 0, or (B) without reduction
function core.ctc_loss(logits, targets, options) end

---@class saros.Crf
---@field transitions saros.Tensor  (L, L): from a tag to the next
---@field start saros.Tensor  (L): of the first tag
---@field stop saros.Tensor  (L): of the last tag
---@field lengths? integer[]  of the rows, each in 1..T (T)

--- For each row -log of the probability of its tags in a linear-chain conditional
--- random field (Lafferty et al. 2001), in nats. Differentiable in all scores. A row
--- whose loss is infinite or NaN has the gradient 0.
---@param emissions saros.Tensor  (T, B, L): scores of each tag at each step
---@param tags saros.Tensor  ids (T, B)
---@param crf saros.Crf
---@return saros.Tensor  (B)
function core.crf_loss(emissions, tags, crf) end

--- The likeliest tags (Viterbi 1967), 1 behind the ends of rows, and their scores.
---@param emissions saros.Tensor  (T, B, L)
---@param crf saros.Crf
---@return saros.Tensor tags  ids (T, B)
---@return saros.Tensor scores  (B)
function core.crf_best(emissions, crf) end

--- Sets each element to 0 with probability p and divides the others by 1 - p.
--- Acts only while a training tape is open; otherwise gives x.
---@param x saros.Tensor
---@param p number  in [0, 1)
---@param generator saros.Generator
---@return saros.Tensor
function core.dropout(x, p, generator) end

--- (x - mean) / sqrt(variance + epsilon) * gain + bias over the last axis.
---@param x saros.Tensor  (..., n)
---@param gain saros.Tensor  (n)
---@param bias saros.Tensor  (n)
---@param epsilon? number  (1e-5)
---@return saros.Tensor  (..., n)
function core.layer_norm(x, gain, bias, epsilon) end

--- x / sqrt(mean square + epsilon) * gain over the last axis (Zhang and Sennrich 2019).
---@param x saros.Tensor  (..., n)
---@param gain? saros.Tensor  (n) (ones)
---@param epsilon? number  (1e-5)
---@return saros.Tensor  (..., n)
function core.rms_norm(x, gain, epsilon) end

--- The same over each n features of x, times activation(gate), elementwise.
---@param x saros.Tensor  (..., heads n)
---@param gate saros.Tensor  (..., heads n)
---@param gain saros.Tensor  (n)
---@param epsilon? number  (1e-5)
---@param activation? "silu"|"sigmoid"  ("silu")
---@return saros.Tensor  (..., heads n)
function core.gated_rms_norm(x, gate, gain, epsilon, activation) end

--- x with zeros in the rows where the mask is 0, whatever stands there, NaN
--- included; nor is the gradient of the result read there. Elsewhere a row is
--- multiplied by its mask. Ids become 1.
---@param x saros.Tensor  (S..., n...), or ids
---@param mask saros.Tensor  (S...)
---@return saros.Tensor  of the shape of x
function core.mask_rows(x, mask) end

--- 1 where a walk over rows in pieces keeps its state, 0 where it starts again
--- before a step: at the first step of each piece or, in reverse, at its
--- last. Resets at masked steps count at the next step that is none.
---@param reset saros.Tensor  (T, B) of 1 and 0: at 1 a new piece of the row begins
---@param mask? saros.Tensor  (T, B) of 1 and 0: steps of any piece
---@param reverse? boolean  from the last step to the first (false)
---@return saros.Tensor  (T, B)
function core.keep(reset, mask, reverse) end

---@class saros.WindowOptions
---@field kernel? integer  k: parts of a window (1)
---@field dilation? integer  d: steps from one to the next (1)
---@field ahead? integer  steps that the last part looks ahead, up to (k - 1) d; then there is no state (0)
---@field mask? saros.Tensor  (T, B) of 1 and 0: windows are zeros where it is 0, and others do not see these steps
---@field reset? saros.Tensor  (T, B) of 1 and 0: at 1 a new piece begins, whose windows see zeros in place of others
---@field reverse? boolean  from the last step to the first: what stands "before" is after (false)

--- For each step what stands (k - 1) d, ..., d and 0 steps before it, one after the
--- other. The steps before the first are those of the state, oldest first, or zeros.
---@param x saros.Tensor  (T, B, F)
---@param state saros.Tensor?  (B, (k - 1) d F)
---@param options saros.WindowOptions
---@return saros.Tensor windows  (T, B, k F)
---@return saros.Tensor state  after the last step
function core.window(x, state, options) end

---@class saros.FiniteOptions
---@field heads? integer  (1)
---@field states integer  n, of each head
---@field pointers? integer  P, of each head: 1, or n (1)
---@field soft? boolean  walk with the softmax of the logits (false)
---@field mask? saros.Tensor  (T, B) of 1 and 0: where it is 0, states stay as they are and y is 0
---@field reset? saros.Tensor  (T, B) of 1 and 0: at 1 a new piece begins

--- Heads whose state is one of n: each step is a function of the n states onto
--- themselves, the largest of n logits for each state. Straight-through: the gradient
--- of the logits goes through their softmax, that of the state through the function.
---@param logits saros.Tensor  (V, heads n n) to be looked up, or without ids (T, B, heads n n): state before by after
---@param ids saros.Tensor?  (T, B)
---@param state saros.Tensor?  (B, heads P n): one-hots
---@param options saros.FiniteOptions
---@return saros.Tensor y  (T, B, heads P n): one-hots of the states after each step
---@return saros.Tensor state  after the last step
function core.finite(logits, ids, state, options) end

---@class saros.DeltaOptions
---@field heads? integer  H (1)
---@field reflections? integer  n: micro-steps of a step, up to 64 (1)
---@field write? saros.Tensor  (T, B, n H) (ones)
---@field erase? saros.Tensor  (T, B, n H) (nothing is erased)
---@field decay? saros.Tensor  (T, B, H) or (T, B, H K): logarithms, 0 or less (nothing decays)
---@field mask? saros.Tensor  (T, B) of 1 and 0: a step where it is 0 changes nothing, and its y is 0
---@field reset? saros.Tensor  (T, B) of 1 and 0: see keep
---@field first? saros.Tensor  (H K V): where resets lead, and where a walk without a state begins (zeros)
---@field ids? saros.Tensor  (T, B): q (V, H K), k and v are tables of which these are the rows (none)
---@field reverse? boolean  from the last step to the first (false)
---@field chunk? integer  micro-steps that are one set of products, 1 to 64; it changes rounding alone (16)
---@field query_length? number  a head's vector x of q counts as length x / sqrt(x . x + epsilon); 0: as it is (0)
---@field key_length? number  the same of k (0)
---@field epsilon? number  0 or more (0)
---@field taps_q? saros.Tensor  (H K, k), k of 2 to 16, the same for all: in place of q comes its depthwise convolution
---  (none)
---@field taps_k? saros.Tensor  (n H K, k): of k (none)
---@field taps_v? saros.Tensor  (n H V, k): of v (none)
---@field memory_q? saros.Tensor  (B, (k - 1) H K): what the convolution of q read before (zeros)
---@field memory_k? saros.Tensor  (B, (k - 1) n H K)
---@field memory_v? saros.Tensor  (B, (k - 1) n H V)
---@field activation? "silu"  of the convolutions (none)

--- A memory with the delta rule: each row and head has a matrix M (K, V), and a step is
---
---     M = diag(exp(decay)) M                              once
---     u = write v - erase M^T k,   M = M + k u^T          for each reflection
---     y = M^T q
---
--- The reflections of a step lie side by side, the first one first. Convolutions are those of
--- `depthwise`, but are not written out: the way back makes them again.
---@param q saros.Tensor  (T, B, H K)
---@param k saros.Tensor  (T, B, n H K), of length 1 by head, or with a key_length
---@param v saros.Tensor  (T, B, n H V)
---@param options saros.DeltaOptions
---@param state? saros.Tensor  (B, H K V) (options.first)
---@return saros.Tensor y  (T, B, H V)
---@return saros.Tensor state  after the last step
---@return saros.Tensor? memory_q  of the convolution of q after the last step; nil where there are no taps
---@return saros.Tensor? memory_k
---@return saros.Tensor? memory_v
function core.delta(q, k, v, options, state) end

---@class saros.DepthwiseOptions: saros.WindowOptions
---@field activation? "silu"  f (none)

--- Depthwise convolution over time: y(t) = f(bias + the sum over j of weight[:, j] times part j
--- of the window of step t). Neither windows nor sums are written out; the way back makes the
--- sums again. y is 0 where the mask is 0.
---@param x saros.Tensor  (T, B, F)
---@param weight saros.Tensor  (F, k)
---@param bias? saros.Tensor  (F)
---@param state? saros.Tensor  (B, (k - 1) d F)
---@param options? saros.DepthwiseOptions  without kernel, which the weight says
---@return saros.Tensor y  (T, B, F)
---@return saros.Tensor state  after the last step
function core.depthwise(x, weight, bias, state, options) end

--- x W^T + b.
---@param x saros.Tensor  (..., I)
---@param weight saros.Tensor  (O, I)
---@param bias? saros.Tensor  (O)
---@return saros.Tensor  (..., O)
function core.linear(x, weight, bias) end

--- A cell as the core names it, with its options: "lstm", "gru_before". The enumeration
--- saros_cell (src/saros/recurrence.h) has the equations and the gates, G, of each.
---@alias saros.Cell string

--- The parameters of one recurrent layer, as PyTorch has them. P is the size of
--- h: H, unless there is a projection.
---@class saros.Layer
---@field weight_ih? saros.Tensor  (G H, I); absent: x is W x already
---@field weight_hh? saros.Tensor  (G H, P), unless the cell is linear in h
---@field bias_ih? saros.Tensor  (G H)
---@field bias_hh? saros.Tensor  (G H)
---@field weight_hr? saros.Tensor  (P, H), lstm: h = W_hr (o tanh(c))
---@field peephole? saros.Tensor  (3, H), lstm: from c into i, f and o
---@field norm_gain? saros.Tensor  (G H): layer norm of U h
---@field norm_bias? saros.Tensor  (G H)
---@field norm_c_gain? saros.Tensor  (H), lstm: layer norm of c inside tanh(c)
---@field norm_c_bias? saros.Tensor  (H)
---@field table? saros.Tensor  (V, G H): x is ids (T, B) then, and W x the row of the id
---@field nu? saros.Tensor  (H / 2), lru: log of the rate of decay
---@field theta? saros.Tensor  (H / 2), lru: log of the angle
---@field first_h? saros.Tensor  (P): h where a row begins, at the first step or at a reset (zeros)
---@field first_c? saros.Tensor  (H), lstm: c at the start of a row

--- One recurrent layer over a whole sequence, differentiable in x, the states
--- and all parameters. One entry on the tape.
---@param cell saros.Cell
---@param x saros.Tensor  (T, B, I), T >= 1
---@param states (saros.Tensor|false)[]?  h (B, P), c (B, H), before the first step; absent or false: as at a reset
---@param parameters saros.Layer
---@param steps? saros.nn.Steps  how to walk: direction, padding, rows that start again, dropout, zoneout
---@return saros.Tensor y  (T, B, P): h(t) of every step
---@return saros.Tensor[] last  h (B, P), c (B, H): the states after the last step
function core.recurrent(cell, x, states, parameters, steps) end

--- A session of a program; `module:session()` makes both.
---@param program saros.CoreProgram  see core.program
---@param parameters saros.Tensor[]  in the order of the program
---@param streams integer  1..65536 rows that are stepped together
---@param weights "real"|"bf16"|"int8"  how weights are kept
---@param form? table  what turns its list of states into those of a model, and back: state(list), set_state(tree),
---  and parameters(model) for repack
---@return saros.Session
function core.session(program, parameters, streams, weights, form) end

--- A matrix as the products of a session keep it: rows times a scale for each. In
--- "int8" the rows are whole numbers in -127..127, otherwise scale is 1.
---@param w saros.Tensor  (n, k)
---@param weights "real"|"bf16"|"int8"
---@return saros.Tensor rows  (n, k)
---@return saros.Tensor scale  (n)
function core.round_weights(w, weights) end

--- A program from its JSON text: what a model computes in one step. Error, which
--- names the node, if anything in the text does not fit.
---@param text string
---@return saros.Program
function core.program(text) end

return core
