---@meta

--- A model that runs one step at a time, in memory that was taken when it was
--- made: `model:session()`. Tensors that it returns are its own, always the same
--- ones: the next step writes over them, so copy what is to stay (`y:clone()`).
--- With one stream they are vectors; with more, streams are the rows.
---@class saros.Session
local Session = {}

--- One step of all streams. An id for a model that begins with an embedding,
--- otherwise features: a list, a tensor, or a number if there is only one. With
--- several streams a list or tensor of ids, or rows of features.
--- Several inputs are arguments in their order, or one table with a field for each.
---@param x integer|number|table|saros.Tensor
---@param ... integer|number|table|saros.Tensor  further inputs
---@return saros.Tensor y  (O), or (streams, O): the session's own, see above; the first of several outputs
function Session:step(x, ...) end

--- One of the outputs of the last step, by its name or number; (1).
---@param which? string|integer
---@return saros.Tensor
function Session:output(which) end

--- The states, as copies: in the form in which the model takes and returns them,
--- with a row for each stream. So a session goes on where a layer has read up to,
--- and back. Of a session that was made from a program: a list of tensors
--- (streams, width), in the order of the program.
---@return saros.nn.State
function Session:state() end

--- Go on from states of that form. If one does not fit, nothing changes.
---@param state saros.nn.State
---@return saros.Session self
function Session:set_state(state) end

--- What the last step returned; zeros before the first one.
---@return saros.Tensor
function Session:logits() end

--- The softmax of it, over the last axis.
---@return saros.Tensor
function Session:probabilities() end

---@class saros.SamplingOptions
---@field temperature? number
---@field top_k? integer
---@field top_p? number
---@field bias? saros.Tensor  (V) or (streams, V), contiguous: added to the logits; -inf forbids an id
---@field repetition_penalty? number
---@field history? saros.Tensor  contiguous ids (N), or (streams, N): what repetition_penalty makes less likely

--- An id, chosen by those probabilities; for several streams a tensor of ids,
--- which `step` takes. The generator may be nil where the likeliest is asked for.
---@param generator saros.Generator?
---@param options? saros.SamplingOptions  as of saros.sampler
---@return integer|saros.Tensor
function Session:sample(generator, options) end

--- Back to the first state: one stream, or all.
---@param row? integer
---@return saros.Session self
function Session:reset(row) end

--- The state as bytes, for a file or for another session of this model, in
--- whatever way that keeps its weights, as they are not among the bytes.
---@return string
function Session:dump() end

--- Go on bit for bit from such bytes. If they do not fit, nothing changes.
---@param bytes string
---@return saros.Session self
function Session:restore(bytes) end

--- Another session in the same state, which goes its own way.
---@return saros.Session
function Session:fork() end

--- Go on with the parameters as they are now. The state stays; forks keep the
--- weights that they have.
---@param model saros.nn.Module|saros.Tensor[]  that the session steps; or the list that core.session was given
---@return saros.Session self
function Session:repack(model) end

---@return integer
function Session:streams() end

return Session
