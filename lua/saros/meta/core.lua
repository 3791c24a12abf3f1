---@meta saros.core

--- The C module. What scripts need of it is in `saros` (docs/reference.md lists
--- that); the rest serves the Lua modules. Everything counts from 1:
--- axes (-1 is the last), positions (-1 is the last), ids. Sequences are
--- time-major: (T, B, F) is T steps of B rows of F features. Misuse raises an
--- error "function: expected this, got that"; only files and JSON text return
--- nil and a message.

---@class saros.core
---@field null lightuserdata  what null in JSON becomes
local core = {}

--- Numbers where a tensor is expected stand for tensors without axes.
---@alias saros.Operand saros.Tensor|number

--- The sizes of the axes: `zeros(2, 3)` or `zeros { 2, 3 }`.
---@alias saros.Shape integer[]

-- --- Creation ---------------------------------------------------------------

--- A real tensor from a number or from nested tables of numbers. Error, naming
--- the place, where the tables are ragged or hold something else.
---@param value number|table
---@return saros.Tensor
function core.tensor(value) end

--- A tensor of ids from an integer or from nested tables of integers.
---@param value integer|table  each in 1..2^31
---@return saros.Tensor ids
function core.ids(value) end

--- A real tensor of zeros; without sizes, of rank 0. At most 8 axes and
--- 2^40 - 1 elements.
---@param ... integer|saros.Shape
---@return saros.Tensor
function core.zeros(...) end

--- A read-only tensor of zeros that takes the memory of one element: for
--- parameters that will adopt other tensors.
---@param shape saros.Shape
---@return saros.Tensor
function core.blank(shape) end

--- A real tensor of ones.
---@param ... integer|saros.Shape
---@return saros.Tensor
function core.ones(...) end

--- A real tensor with one number everywhere.
---@param shape saros.Shape
---@param value number
---@return saros.Tensor
function core.full(shape, value) end

--- The real numbers 1, 2, ..., n.
---@param n integer
---@return saros.Tensor  (n)
function core.arange(n) end

-- --- Element by element, differentiable --------------------------------------

---@param x saros.Operand
---@return saros.Tensor  of the shape of x
function core.negate(x) end

---@param x saros.Operand
---@return saros.Tensor  of the shape of x
function core.abs(x) end

---@param x saros.Operand
---@return saros.Tensor  of the shape of x
function core.exp(x) end

--- The natural logarithm.
---@param x saros.Operand
---@return saros.Tensor  of the shape of x
function core.log(x) end

---@param x saros.Operand
---@return saros.Tensor  of the shape of x
function core.sqrt(x) end

---@param x saros.Operand
---@return saros.Tensor  of the shape of x
function core.tanh(x) end

--- 1 / (1 + e^-x).
---@param x saros.Operand
---@return saros.Tensor  of the shape of x
function core.sigmoid(x) end

--- max(x, 0).
---@param x saros.Operand
---@return saros.Tensor  of the shape of x
function core.relu(x) end

--- sin x, of radians.
---@param x saros.Operand
---@return saros.Tensor  of the shape of x
function core.sin(x) end

---@param x saros.Operand
---@return saros.Tensor  of the shape of x
function core.cos(x) end

--- log(1 + e^x), without overflow.
---@param x saros.Operand
---@return saros.Tensor  of the shape of x
function core.softplus(x) end

--- x sigmoid(x), also called swish.
---@param x saros.Operand
---@return saros.Tensor  of the shape of x
function core.silu(x) end

--- x times the share of a normal distribution that is below x: x (1 + erf(x / sqrt 2)) / 2
--- (Hendrycks and Gimpel 2016).
---@param x saros.Operand
---@return saros.Tensor  of the shape of x
function core.gelu(x) end

--- Its approximation x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2, which PyTorch calls
--- approximate = "tanh".
---@param x saros.Operand
---@return saros.Tensor  of the shape of x
function core.gelu_tanh(x) end

--- x, or slope (e^x - 1) where x is below 0 (Clevert et al. 2015).
---@param x saros.Operand
---@param slope? number  PyTorch's alpha (1)
---@return saros.Tensor  of the shape of x
function core.elu(x, slope) end

--- x, or slope x where x is below 0.
---@param x saros.Operand
---@param slope? number  (0.01)
---@return saros.Tensor  of the shape of x
function core.leaky_relu(x, slope) end

--- x / 6 + 1/2 within 0..1. (Before version 3, Keras took x / 5 + 1/2.)
---@param x saros.Operand
---@return saros.Tensor  of the shape of x
function core.hard_sigmoid(x) end

--- x within -1..1.
---@param x saros.Operand
---@return saros.Tensor  of the shape of x
function core.hard_tanh(x) end

--- 1 where x is finite, 0 where it is NaN or infinite. No gradient.
---@param x saros.Operand
---@return saros.Tensor  of the shape of x
function core.isfinite(x) end

--- 1 where x is NaN, else 0. No gradient.
---@param x saros.Operand
---@return saros.Tensor  of the shape of x
function core.isnan(x) end

-- --- Two operands, which broadcast --------------------------------------------
-- Shapes are aligned at their last axes; an axis of size 1, or a missing one, is
-- repeated. Error if the shapes do not fit.

--- a + b.
---@param a saros.Operand
---@param b saros.Operand
---@return saros.Tensor
function core.add(a, b) end

--- a - b.
---@param a saros.Operand
---@param b saros.Operand
---@return saros.Tensor
function core.subtract(a, b) end

--- a * b, element by element; see `matmul` for the product of matrices.
---@param a saros.Operand
---@param b saros.Operand
---@return saros.Tensor
function core.multiply(a, b) end

--- a / b.
---@param a saros.Operand
---@param b saros.Operand
---@return saros.Tensor
function core.divide(a, b) end

--- a ^ b.
---@param a saros.Operand
---@param b saros.Operand
---@return saros.Tensor
function core.power(a, b) end

--- The larger of the two.
---@param a saros.Operand
---@param b saros.Operand
---@return saros.Tensor
function core.maximum(a, b) end

--- The smaller of the two.
---@param a saros.Operand
---@param b saros.Operand
---@return saros.Tensor
function core.minimum(a, b) end

--- 1 where a < b, else 0. No comparison has a gradient.
---@param a saros.Operand
---@param b saros.Operand
---@return saros.Tensor
function core.lt(a, b) end

--- 1 where a <= b, else 0.
---@param a saros.Operand
---@param b saros.Operand
---@return saros.Tensor
function core.le(a, b) end

--- 1 where a > b, else 0.
---@param a saros.Operand
---@param b saros.Operand
---@return saros.Tensor
function core.gt(a, b) end

--- 1 where a >= b, else 0.
---@param a saros.Operand
---@param b saros.Operand
---@return saros.Tensor
function core.ge(a, b) end

--- 1 where a equals b, else 0. The operator `==` asks whether two values are
--- the same tensor instead.
---@param a saros.Operand
---@param b saros.Operand
---@return saros.Tensor
function core.eq(a, b) end

--- 1 where a differs from b, else 0.
---@param a saros.Operand
---@param b saros.Operand
---@return saros.Tensor
function core.ne(a, b) end

--- Elements of a where the condition is not 0, else of b; all three broadcast.
--- Differentiable in a and b. What is not chosen does not matter: NaN there
--- reaches neither the result nor a gradient.
---@param condition saros.Operand  such as x:gt(0)
---@param a saros.Operand
---@param b saros.Operand
---@return saros.Tensor
function core.where(condition, a, b) end

-- --- Products and reductions, differentiable ------------------------------------

--- a (..., M, K) times b (..., K, N). The leading axes broadcast; a vector is a
--- row on the left and a column on the right.
---@param a saros.Tensor
---@param b saros.Tensor
---@return saros.Tensor  (..., M, N)
function core.matmul(a, b) end

--- The sum over an axis, or over all elements without one.
---@param x saros.Tensor
---@param axis? integer
---@param keep? boolean  keep the axis, with size 1 (false)
---@return saros.Tensor
function core.sum(x, axis, keep) end

--- The mean over an axis, or over all elements without one.
---@param x saros.Tensor
---@param axis? integer
---@param keep? boolean  keep the axis, with size 1 (false)
---@return saros.Tensor
function core.mean(x, axis, keep) end

--- The largest element along an axis, or of all. Its gradient goes to the first
--- of equal ones. Error if there are no elements.
---@param x saros.Tensor
---@param axis? integer
---@param keep? boolean  keep the axis, with size 1 (false)
---@return saros.Tensor
function core.max(x, axis, keep) end

--- The smallest element along an axis, or of all; otherwise as `max`.
---@param x saros.Tensor
---@param axis? integer
---@param keep? boolean  keep the axis, with size 1 (false)
---@return saros.Tensor
function core.min(x, axis, keep) end

--- The position of the first of the largest elements along an axis.
---@param x saros.Tensor
---@param axis? integer  the last
---@return saros.Tensor ids
function core.argmax(x, axis) end

--- The logarithm of the sum of exp over an axis, or over all elements without one,
--- without overflow.
---@param x saros.Tensor
---@param axis? integer
---@param keep? boolean  keep the axis, with size 1 (false)
---@return saros.Tensor
function core.logsumexp(x, axis, keep) end

--- At each position of an axis the sum of what is there and before.
---@param x saros.Tensor
---@param axis? integer  the last
---@return saros.Tensor  of the shape of x
function core.cumsum(x, axis) end

--- The k largest along an axis, largest first, and their positions; the first of
--- equal ones first, NaN counting as the largest. Differentiable in the values.
---@param x saros.Tensor
---@param k integer  1 to the size of the axis
---@param axis? integer  the last
---@return saros.Tensor values
---@return saros.Tensor ids
function core.topk(x, k, axis) end

-- --- Views, which share their elements with x; differentiable --------------------

--- Positions first..last of an axis, or every step-th of them. With a step below 0
--- they are read backwards and the result is a copy.
---@param x saros.Tensor
---@param axis integer
---@param first integer
---@param last? integer  inclusive; the last, or the first if the step is below 0
---@param step? integer  (1)
---@return saros.Tensor
function core.slice(x, axis, first, last, step) end

--- A copy with the positions of an axis in reverse.
---@param x saros.Tensor
---@param axis integer
---@return saros.Tensor
function core.flip(x, axis) end

--- One position of an axis, which disappears.
---@param x saros.Tensor
---@param axis integer
---@param position integer
---@return saros.Tensor
function core.select(x, axis, position) end

--- Two axes, by default the last ones, change places.
---@param x saros.Tensor
---@param axis1? integer
---@param axis2? integer
---@return saros.Tensor
function core.transpose(x, axis1, axis2) end

--- The same elements in row-major order under another shape; one size may be
--- -1, the rest. Copies where the strides of x allow no view.
---@param x saros.Tensor
---@param ... integer|saros.Shape
---@return saros.Tensor
function core.reshape(x, ...) end

--- All elements along one axis.
---@param x saros.Tensor
---@return saros.Tensor  (count)
function core.flatten(x) end

--- x without history: no gradient flows through the result.
---@param x saros.Tensor
---@return saros.Tensor
function core.detach(x) end

-- --- Copies, differentiable --------------------------------------------------------

--- A contiguous copy.
---@param x saros.Tensor
---@return saros.Tensor
function core.clone(x) end

--- x itself if it is contiguous, else a contiguous copy.
---@param x saros.Tensor
---@return saros.Tensor
function core.contiguous(x) end

--- Tensors, equal in all other axes, joined along one. `a .. b` joins two along
--- the last axis.
---@param list saros.Tensor[]  at least one
---@param axis integer
---@return saros.Tensor
function core.concatenate(list, axis) end

--- Tensors of one shape along a new axis.
---@param list saros.Tensor[]  at least one
---@param axis? integer  of the result (1)
---@return saros.Tensor
function core.stack(list, axis) end

-- --- Tables --------------------------------------------------------------------------

--- Rows of a table by ids. Differentiable in the table. Error at an id outside
--- 1..V, with its place.
---@param table saros.Tensor  (V, n)
---@param ids saros.Tensor  of any shape S
---@return saros.Tensor  (S..., n)
function core.embedding(table, ids) end

--- One element of each row of x. Differentiable in x.
---@param x saros.Tensor  (S..., V)
---@param ids saros.Tensor  (S...), each in 1..V
---@return saros.Tensor  (S...)
function core.pick(x, ids) end

--- Elements along an axis by ids, whose shape is that of x but for this axis:
--- along the last one, y[i][j] = x[i][ids[i][j]]. Differentiable in x.
---@param x saros.Tensor
---@param axis integer
---@param ids saros.Tensor
---@return saros.Tensor  of the shape of ids
function core.gather(x, axis, ids) end

--- Ids as rows of zeros with a single 1.
---@param ids saros.Tensor  (S...), each in 1..V
---@param V integer
---@return saros.Tensor  (S..., V)
function core.one_hot(ids, V) end

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

--- For each step what stands (k - 1) d, ..., d and 0 steps before it, one after the
--- other. The steps before the first are those of the state, oldest first, or zeros.
---@param x saros.Tensor  (T, B, F)
---@param state saros.Tensor?  (B, (k - 1) d F)
---@param options saros.WindowOptions
---@return saros.Tensor windows  (T, B, k F)
---@return saros.Tensor state  after the last step
function core.window(x, state, options) end

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

--- A program from its JSON text: what a model computes in one step. Error, which
--- names the node, if anything in the text does not fit.
---@param text string
---@return saros.Program
function core.program(text) end

-- --- Training -----------------------------------------------------------------------------

--- Opens the tape; error if one is open already, unless `no_gradient` has set
--- that aside. Dropout acts while a training tape is open. Without `parameters`,
--- trainable tensors are constants: watched ones alone are recorded.
---@param options? { training?: boolean, parameters?: boolean }  (true, true)
---@return saros.Tape
function core.tape(options) end

--- Sets the open tape, if any, aside until the result is closed: nothing is
--- recorded and dropout does not act, as without a tape (what PyTorch has as
--- no_grad and eval together). Then the tape records again:
---
---     local function accuracy(model, x, labels)
---       local _ <close> = saros.no_gradient()
---       return model(x):argmax(-1):eq(labels):mean():item()
---     end
---
--- Results are plain values. Pauses nest; a tape opened inside one is closed at
--- its end at the latest. Everything that asks a model something does so inside
--- a pause: evaluate, next, generate, beam, translate, classify, forecast,
--- inspect, gradient_check, sessions.
---@return saros.Pause
function core.no_gradient() end

--- True while a training tape records: dropout acts, and norms of batches take the
--- statistics of what they read.
---@return boolean
function core.is_training() end

--- An operation of a script's own; `saros.operation` checks its options.
---@param name string
---@param forward fun(...): ...
---@param backward fun(...): ...
---@param outputs integer  how many results the caller gets; 0: all
---@return fun(...): ...
function core.operation(name, forward, backward, outputs) end

--- A generator of random numbers: same seed, same numbers.
---@param seed integer
---@return saros.Generator
function core.generator(seed) end

--- Scales the gradients of all tensors by one factor so that their joint L2
--- norm is at most limit. Error, and nothing changed, if it is not finite.
---@param list saros.Tensor[]
---@param limit number  > 0
---@return number norm  before scaling
function core.clip_norm(list, limit) end

--- Clamps each element of the gradients into [-limit, limit].
---@param list saros.Tensor[]
---@param limit number  > 0
function core.clip_value(list, limit) end

---@class saros.Update
---@field rule "sgd"|"rmsprop"|"adam"|"adamw"
---@field lr number  learning rate
---@field weight_decay? number  (0); adamw decays the parameter itself
---@field momentum? number  sgd (0)
---@field nesterov? boolean  sgd (false)
---@field alpha? number  rmsprop: decay of the mean square (0.99)
---@field beta1? number  adam, adamw (0.9)
---@field beta2? number  adam, adamw (0.999)
---@field epsilon? number  rmsprop, adam, adamw (1e-8)
---@field step? number  adam, adamw: which update of the parameter this is (1)

--- Updates a parameter in place from its gradient; one without gradient stays.
---@param options saros.Update
---@param parameter saros.Tensor
---@param first? saros.Tensor  velocity, mean square (rmsprop) or mean (adam); changed in place
---@param second? saros.Tensor  mean square (adam); changed in place
function core.update(options, parameter, first, second) end

return core
