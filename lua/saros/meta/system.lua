---@meta

--- More of the C module: files, codecs, JSON, numbers as text, and what the toolkit
--- tells of itself. Tensors and what is computed with them are in core.lua.

---@class saros.core
local core = {}

-- --- Files -----------------------------------------------------------------------------------

--- Writes a safetensors file: completely or, at an error, not at all.
---@param path string
---@param tensors table<string, saros.Tensor>
---@param metadata? table<string, string>
---@return true? ok  nil if the file could not be written
---@return string? message
function core.write_tensors(path, tensors, metadata) end

--- Reads a safetensors file.
---@param path string
---@return table<string, saros.Tensor>? tensors  nil if there is no such file, or a malformed one
---@return table<string, string>|string metadata  or the message
function core.read_tensors(path) end

--- What a safetensors file holds, without reading the elements.
---@param path string
---@return { name: string, type: string, shape: integer[] }[]? tensors  in the order of their elements; nil as above
---@return table<string, string>|string metadata  or the message
function core.describe_tensors(path) end

---@class saros.Container  a file, or a zip of them; closed at its end of scope. `#container` members
local Container = {}

--- Opens a zip, or any other file as its own only member, "". See saros_container_open.
---@param path string
---@param limit? integer  bytes that its tensors may take in all (four times the file's, and 1 MiB)
---@return saros.Container? container  nil if it cannot be read
---@return string? message
function core.open_container(path, limit) end

---@return integer bytes  of the file
function Container:size() end

---@param n integer
---@return string name
---@return integer bytes
function Container:member(n) end

--- Bytes of a member from one of them on, counted from 0; nil and a message where there
--- are fewer, or damaged ones.
---@param n integer
---@param from integer
---@param size integer
---@return string? bytes
---@return string? message
function Container:read(n, from, size) end

--- Elements of a member as a tensor (count).
---@param n integer
---@param type string  as in safetensors: "F32"
---@param from integer  the byte of the first one, from 0
---@param count integer
---@param swapped? boolean  big-endian (false)
---@return saros.Tensor? elements
---@return string? message
function Container:elements(n, type, from, count, swapped) end

--- A view of a contiguous tensor: elements from a place on, counted from 0, so many
--- places apart on each axis.
---@param x saros.Tensor
---@param offset integer
---@param shape integer[]
---@param strides integer[]
---@return saros.Tensor
function core.strided(x, offset, shape, strides) end

--- Writes strings as they are, and the elements of tensors as C literals that
--- are exactly them, with a comma after each: completely or not at all. Error
--- if an element is not finite.
---@param path string
---@param pieces (string|saros.Tensor)[]
---@return true? ok  nil if the file could not be written
---@return string? message
function core.write_source(path, pieces) end

--- Makes a folder, and those above it, unless it is there.
---@param path string
---@return true? ok
---@return string? message
function core.make_folder(path) end

--- Replaces a file in one instant: a crash leaves the old one or the new one.
---@param path string
---@param text string  of any bytes
---@return true? ok
---@return string? message
function core.write_file(path, text) end

--- A codec from its symbols. Characters and words are lists of strings; merges
--- of BPE are pairs of ids in one list, the first merge being id 257.
---@param unit saros.Unit
---@param symbols? string[]|integer[]  none for bytes
---@param unknown? boolean  words: "<unk>" is the last symbol (false)
---@return saros.Codec
function core.codec(unit, symbols, unknown) end

--- A codec learned from a text. See saros.data.vocabulary, which this is for.
---@param unit saros.Unit
---@param text string  or its path
---@param is_path boolean
---@param size integer  words: the most symbols, 0: all; bpe: the number of symbols
---@param min_count integer  words: those that occur so often
---@param unknown boolean  words: "<unk>" is the last symbol
---@return saros.Codec? codec  nil if the file could not be read
---@return string? message
function core.learn_codec(unit, text, is_path, size, min_count, unknown) end

--- Opens a token file. See saros.data.text, which this is for.
---@param path string
---@return saros.Tokens? tokens  nil if it could not be read, or is no token file, or a damaged one
---@return string? message
function core.open_tokens(path) end

--- Opens a file in the wire format of protocol buffers. See saros.onnx.wire, which this is for.
---@param path string
---@return saros.Wire? wire  nil if it could not be read
---@return string? message
function core.open_wire(path) end

--- Writes strings and tensors one after the other, elements as floats of 32 bits, ids from 0 as integers of 64. The file
--- appears whole or not at all.
---@param path string
---@param pieces (string|saros.Tensor)[]
---@return true? ok
---@return string? message
function core.write_pieces(path, pieces) end

--- A value as JSON: tables with string keys are objects, with 1..n arrays, and
--- empty ones objects. Keys are sorted. Error at what JSON cannot say.
---@param value any
---@param pretty? boolean  on several lines (false)
---@return string
function core.json_encode(value, pretty) end

--- The value of a JSON text. Integers stay integers, null is `saros.null`.
---@param text string
---@return any value  nil if the text is malformed
---@return string? message  with line and column
function core.json_decode(text) end

-- --- Numbers as text --------------------------------------------------------------------

--- string.format with a decimal point in every locale, for what the library
--- prints: a host may have set a decimal comma.
---@param text string
---@param ... any
---@return string
function core.format(text, ...) end

--- The fields of a line, put into a list: as a number, if a field is one that is
--- finite as an element of a tensor and has none of the marks, else as text.
---@param line string
---@param separator string  one character
---@param list (number|string)[]  elements behind the fields stay
---@param marks string  characters
---@return integer count  fields
function core.fields(line, separator, list, marks) end

--- tonumber with a decimal point in every locale: nil where a text says no number.
---@param text string
---@return number?
function core.to_number(text) end

-- --- The toolkit itself -------------------------------------------------------------------

--- What this build is and what it chose for this machine. Products of at most
--- exact_outputs outputs keep their weights where others have fewer bits. `caches`
--- has the bytes of those that the system tells of; `products` says how large products
--- are cut: columns and rows of a packed matrix that are taken together, and the bytes
--- that are fetched into L2 before they are used.
---@return { version: string, real: "float"|"double", isa: string, isas: string[], blas: string, threads: integer, exact_outputs: integer, caches: { l1?: integer, l2?: integer, l3?: integer }, products: { columns: integer, depth: integer, ahead: integer } }
function core.info() end

--- Bytes of living tensors and tapes, those of them that the open tape is going
--- to read, the most there were, the most since the last mark, and those kept for
--- reuse.
---@return { in_use: integer, taped: integer, peak: integer, recent: integer, pooled: integer }
function core.memory() end

--- `recent` begins again with what is in use.
function core.mark_memory() end

--- True if a function is written with a colon: its first parameter is self.
---@param f function
---@return boolean
function core.is_method(f) end

--- Long work is over that recorded nothing: the tensors that it has left are
--- collected when the next one is made.
function core.collect_soon() end

--- The bytes of the block that holds this many bytes.
---@param bytes integer  0..2^50
---@return integer
function core.block_bytes(bytes) end

--- Traces memory: true begins, nil puts a mark, false ends. See saros.nn.memory,
--- which this is for.
---@param on? boolean
---@param times? number  as many rows as there are are meant (1)
---@return integer[]? events  at the end: bytes > 0 of each block taken, minus the number of one given back, 0 for a mark; none where nothing was traced
function core.trace(on, times) end

--- How many rows that many rows stand for: themselves where no trace runs. What
--- is decided by the number of rows asks this, so that a trace sees it, too.
---@param rows number
---@return number
function core.trace_rows(rows) end

--- Gives the bytes kept for reuse back to the system.
function core.trim() end

--- Begins to measure operations (true), or ends it (false); as many ends as
--- beginnings. See saros.profile, which this is for.
---@param on boolean
---@return { operation: string, layer: string, backward: boolean, calls: integer, seconds: number }[] rows  so far; the first is outside operations
function core.profiling(on) end

--- From here on (true) an operation whose result holds an infinity or no number
--- is an error, "lstm in recurrent": its name and its layer. See
--- saros.train.finite, which this is for.
---@param on boolean
function core.watch_finite(on) end

---@class saros.Recording  ends at its end of scope

--- From here on `recorder` is told of every call of a function or a method of the
--- core, once it has returned; calls inside the recorder are not told. An error in
--- it ends the recording:
---
---     local _ <close> = core.record(function(name, arguments, results) ... end)
---@param recorder fun(name: string, arguments: table, results: table)  both with their number as n
---@return saros.Recording
function core.record(recorder) end

--- f(...), with room on Lua's stack for all that a recorder calls.
---@generic R
---@param f fun(...: any): R
---@param ... any
---@return R
function core.with_room(f, ...) end

--- While something is measured, operations belong to the layer named last.
---@param name string  "": none
---@return string before  the name before it
function core.layer(name) end

--- Sets the precision of large products; see saros.nn.precision.
---@param kind? "real"|"bf16"|"int8"
---@return "real"|"bf16"|"int8" before
function core.precision(kind) end

--- Sets the number of threads, which changes no result.
---@param n? integer  1..256; without it nothing changes
---@return integer n  in force
function core.threads(n) end

--- Seconds of a clock that never goes back, for differences.
---@return number
function core.clock() end

--- Whether a file is a terminal.
---@param file file*
---@return boolean
function core.is_terminal(file) end

--- The columns of the terminal that a file is; nil if it is none.
---@param file file*
---@return integer?
function core.terminal_width(file) end

--- The name, among the keys of a table or in a list, that a typing error turns
--- into another one.
---@param name string
---@param known table
---@return string?
function core.nearest(name, known) end

--- What a message adds about a name that is not known: "; did you mean 'hidden'?",
--- or "" if none is near.
---@param name any
---@param known table  with the names as keys, or a list of them
---@return string
function core.hint(name, known) end

--- The nearest line outside the library, "script.lua:12: ", for the front of a
--- message: however deep a mistake is found, there it was made.
---@return string
function core.caller() end

--- The line where a script defines a function, "script.lua:12: "; nil for those of the
--- library and of C.
---@param f function
---@return string?
function core.defined_at(f) end

--- Name and value of the n-th upvalue of a script's function; nothing if there is none.
--- With a third argument, it becomes that.
---@param f function
---@param n integer
---@param value? any
---@return string? name
---@return any value
function core.upvalue(f, n, value) end

return core
