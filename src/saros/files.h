/*
** Files of tensors.
*/
#ifndef SAROS_FILES_H
#define SAROS_FILES_H

#include "context.h"

SAROS_BEGIN

/* --- Files -------------------------------------------------------------------------- */

/*
** A file in safetensors format: named tensors and a metadata of strings.
** Reading never trusts the file: see saros_safetensors_read. Belongs to the
** caller once opened.
*/
typedef struct saros_archive saros_archive;

SAROS_API saros_status saros_archive_new(saros_context *context,
                                         saros_archive **out);
SAROS_API void saros_archive_release(saros_archive *archive);  // or null
/* Adds a tensor, which the archive retains, or a string. Names and keys are
** copied. SAROS_EARGUMENT unless each is UTF-8 and new, and a tensor is not
** called "__metadata__", which the format reserves. */
SAROS_API saros_status saros_archive_add(saros_archive *archive,
                                         const char *name,
                                         saros_tensor *tensor);
SAROS_API saros_status saros_archive_add_metadata(saros_archive *archive,
                                                  const char *key,
                                                  const char *value);
/* What was added or read, in that order; positions are not checked. */
SAROS_API int saros_archive_count(const saros_archive *archive);
SAROS_API const char *saros_archive_name(const saros_archive *archive, int at);
/* Borrowed. */
SAROS_API saros_tensor *saros_archive_tensor(const saros_archive *archive,
                                             int at);
/* The type of the elements in the file, "F32"; null unless the archive was made by
** saros_safetensors_describe. */
SAROS_API const char *saros_archive_type(const saros_archive *archive, int at);
/* The rank; *shape has that many sizes and is borrowed. */
SAROS_API int saros_archive_shape(const saros_archive *archive, int at,
                                  const int **shape);
SAROS_API int saros_archive_metadata_count(const saros_archive *archive);
SAROS_API const char *saros_archive_metadata_key(const saros_archive *archive,
                                                 int at);
SAROS_API const char *saros_archive_metadata_value(const saros_archive *archive,
                                                   int at);

/*
** The tensors and metadata of an archive, for contexts on any number of
** threads: one copy in memory, which nobody may write to. It has a context of
** its own, whose allocator must be one for all threads (null: realloc and
** free). The archive is borrowed for the call; errors are in its context.
**
** Operations read the elements where they are. Sessions whose program has no
** parameters but these, each of them whole, read one packing, in whatever contexts
** and of however many streams they are. The first of them makes it, with the same
** allocator, and it stays as long as the elements do, so that nothing grows when
** sessions come and go. There is one for each program and kind of weights, and 16
** at most; beyond those, and for other programs, a session packs its own in its
** context.
*/
SAROS_API saros_status saros_shared_new(const saros_archive *archive,
                                        saros_allocator allocator, void *user,
                                        saros_shared **out);
/* From any thread. The last one to let go frees it: a caller, or a context in
** which a tensor of it or a session on it is left. */
SAROS_API saros_shared *saros_shared_retain(saros_shared *shared);
SAROS_API void saros_shared_release(saros_shared *shared);  // or null
/* Of tensors and packed weights; from any thread. */
SAROS_API size_t saros_shared_bytes(saros_shared *shared);

/* An archive, in the caller's context, of read-only tensors on the shared
** elements. May be called from any thread, each with its own context. */
SAROS_API saros_status saros_shared_archive(saros_shared *shared,
                                            saros_context *context,
                                            saros_archive **out);

/* Writes to a temporary file in the same folder, syncs it and renames it: a
** crash or an error at any instant leaves the old file or the new one.
** SAROS_EFILE names the path and the cause. */
SAROS_API saros_status saros_safetensors_write(const saros_archive *archive,
                                               const char *path);

/*
** Reads a file, strictly: header at most 100,000,000 bytes and a JSON object,
** names unique, metadata strings only, offsets from 0 without hole or overlap
** and ending exactly at the end of the file. F64, F32, F16 and BF16 are
** converted to saros_real; I64, I32, I16, I8, U8 and BOOL to ids where each
** value fits. Anything else is SAROS_EFILE with the reason. The tensors come in
** the order of their elements in the file.
*/
SAROS_API saros_status saros_safetensors_read(saros_context *context,
                                              const char *path,
                                              saros_archive **out);

/* The same checks, but no elements are read: the archive has names, types, shapes
** and metadata, and its tensors are null. */
SAROS_API saros_status saros_safetensors_describe(saros_context *context,
                                                  const char *path,
                                                  saros_archive **out);

/* --- Containers ---------------------------------------------------------------------- */

/*
** A zip file with its members, stored or deflated, or any other file as its own
** only member, named "": what NumPy and PyTorch keep tensors in. Its tensors take
** at most 'limit' bytes in memory in all; 0: four times the bytes of the file and
** 1 MiB. SAROS_EFILE if it cannot be read, or if it is a zip that is damaged,
** encrypted or packed in another way. A host that has kept files for itself
** (SAROS_NO_FILES) gets SAROS_EFILE, too.
*/
typedef struct saros_container saros_container;

SAROS_API saros_status saros_container_open(saros_context *context,
                                            const char *path, uint64_t limit,
                                            saros_container **out);
SAROS_API void saros_container_release(saros_container *container);  // or null
SAROS_API int saros_container_count(const saros_container *container);
/* Borrowed; names need not be unique. */
SAROS_API const char *saros_container_name(const saros_container *container,
                                           int at);
/* Unpacked, as the directory says. */
SAROS_API uint64_t saros_container_bytes(const saros_container *container,
                                         int at);
/* Bytes of the file. */
SAROS_API uint64_t saros_container_size(const saros_container *container);
/* What its tensors may still take; bytes that are read may take as much at a time. */
SAROS_API uint64_t saros_container_room(const saros_container *container);
/* Exactly 'size' bytes of a member from one of them on; SAROS_EFILE if there are
** fewer, or if they are damaged (the sum is checked at the end of a member). */
SAROS_API saros_status saros_container_read(saros_container *container, int at,
                                            uint64_t from, size_t size,
                                            void *to);
/* 'count' elements of a member from a byte on, as a tensor of rank 1. Types are
** those of safetensors, "F32", with little-endian bytes unless 'swapped'.
** SAROS_EFILE as above, past the limit, and where an id does not fit. */
SAROS_API saros_status saros_container_elements(saros_container *container,
                                                int at, uint64_t from,
                                                const char *type,
                                                uint64_t count, int swapped,
                                                saros_tensor **out);

/* --- Source and other files ------------------------------------------------------------ */

/* A piece of a file of C source: text, or the elements of a tensor. */
typedef struct saros_piece {
  const char *text;            // null: the tensor's elements
  size_t size;                 // of the text, in bytes
  const saros_tensor *tensor;  // any shape; borrowed
} saros_piece;

/* Writes the pieces one after the other, elements as C99 literals that are
** exactly them (ids from 0; NAN and INFINITY are of math.h), with a comma after
** each. As with saros_safetensors_write, the file appears whole or not at all.
** SAROS_EFILE names the path and the cause. */
SAROS_API saros_status saros_write_source(saros_context *context,
                                          const char *path, int count,
                                          const saros_piece *pieces);

/*
** A file in the wire format of protocol buffers, such as an ONNX model, read field by
** field. Nothing in it is believed: a length that leaves the range in which it stands is
** SAROS_EFILE. Positions are bytes from 0. Nothing is mapped, so a file that shrinks is
** an error and no signal.
*/
typedef struct saros_wire saros_wire;

/* Kinds of fields, as the format numbers them; 3 and 4, groups, are refused. */
#define SAROS_WIRE_VARINT 0
#define SAROS_WIRE_FIXED64 1
#define SAROS_WIRE_BYTES 2
#define SAROS_WIRE_FIXED32 5

typedef struct saros_wire_field {
  uint32_t number;
  int kind;
  uint64_t value;  // the number's bits; of bytes, where they begin
  uint64_t after;  // where the field ends, and its bytes
} saros_wire_field;

/* Elements in a file. */
typedef struct saros_wire_elements {
  const char *type;     // as safetensors names them: "F32", "I64"
  uint64_t begin, end;  // where they are
  uint32_t
      number;  // 0: bytes, one element after the other; else that range is a
               // message, which has them as its field of this number
} saros_wire_elements;

/* Of the whole file, which is read into memory. */
SAROS_API saros_status saros_wire_open(saros_context *context, const char *path,
                                       saros_wire **out);
SAROS_API void saros_wire_release(saros_wire *wire);  // or null
SAROS_API uint64_t saros_wire_size(const saros_wire *wire);
/* All bytes, for as long as the object lives. */
SAROS_API const char *saros_wire_bytes(const saros_wire *wire);
/* The field that begins at a position, of a message that ends at another one.
** SAROS_EARGUMENT unless at < end <= size. */
SAROS_API saros_status saros_wire_next(const saros_wire *wire, uint64_t at,
                                       uint64_t end, saros_wire_field *out);
/* A tensor of reals of that shape, each element rounded where it has more digits.
** SAROS_EFILE if there are more or fewer elements, before memory is taken. */
SAROS_API saros_status saros_wire_reals(const saros_wire *wire,
                                        const saros_wire_elements *from,
                                        int rank, const int *shape,
                                        saros_tensor **out);
/* Exactly 'count' integers. */
SAROS_API saros_status saros_wire_integers(const saros_wire *wire,
                                           const saros_wire_elements *from,
                                           size_t count, int64_t *out);

/* Writes the pieces one after the other: text as it is, elements as floats of 32 bits,
** little-endian, ids as integers of 64 bits, from 0. As with saros_safetensors_write,
** the file appears whole or not at all. */
SAROS_API saros_status saros_write_pieces(saros_context *context,
                                          const char *path, int count,
                                          const saros_piece *pieces);

/* Makes a folder and those above it that are missing; one that is there is
** fine. SAROS_EFILE names the path and the cause; folders made so far stay. */
SAROS_API saros_status saros_make_folder(saros_context *context,
                                         const char *path);

/* Replaces a file in one instant, as saros_safetensors_write does, by 'size'
** bytes. SAROS_EFILE names the path and the cause; then the old file stays. */
SAROS_API saros_status saros_write_file(saros_context *context,
                                        const char *path, const void *bytes,
                                        size_t size);

SAROS_END

#endif
