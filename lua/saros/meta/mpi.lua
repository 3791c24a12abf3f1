---@meta

--- The module `saros_mpi`, for saros.ranks alone: MPI without waiting. It comes from a
--- file of its own, saros_mpi.so, and is loaded where mpirun has started the script.

---@class saros.mpi
local mpi = {}

---@class saros.mpi.Request  what all ranks do together
local Request = {}

--- Goes on with it for so many seconds at most.
---@param seconds number
---@return boolean done
---@return any result  once it is done
function Request:test(seconds) end

--- Begins, once in a process.
---@return integer rank  from 0
---@return integer size
---@return string host
---@return string library  which MPI
function mpi.open() end

--- The texts of all ranks, as a list.
---@param text string
---@return saros.mpi.Request
function mpi.gather(text) end

--- A contiguous tensor becomes that of a rank, from 0.
---@param tensor saros.Tensor
---@param root integer
---@return saros.mpi.Request
function mpi.broadcast(tensor, root) end

--- Elements of a contiguous tensor become the least or greatest of all ranks.
---@param tensor saros.Tensor
---@param how "min"|"max"
---@return saros.mpi.Request
function mpi.reduce(tensor, how) end

--- Real tensors become the sum of nodes, in a given order of additions.
---@param nodes saros.Tensor[][]  of this rank, all of the shapes of `out`
---@param counts integer[]  number of nodes by rank
---@param order integer[]  a number > 0 is a node, in the order of the ranks; 0 adds the last two
---@param out saros.Tensor[]
---@param count integer  elements of `out`
---@param is_bf16 boolean  whether numbers travel in 16 bits
---@return saros.mpi.Request
function mpi.sum(nodes, counts, order, out, count, is_bf16) end

--- Tells the other ranks that this one has left.
---@param has_failed boolean
---@param why string
function mpi.leave(has_failed, why) end

--- A rank that has left, from 0; nothing if there is no news.
---@return integer? rank
---@return boolean? has_failed
---@return string? why
function mpi.notice() end

--- From now on signals that end a program set a flag, or no longer.
---@param is_on boolean
function mpi.watch_signals(is_on) end

--- True if one has come since.
---@return boolean
function mpi.signal() end

return mpi
