/*
** What the files that read and write archives share: the archive itself, text
** from outside in messages, and files that appear all at once.
*/
#ifndef FILE_H
#define FILE_H

#include "tensor.h"

/* --- The archive (archive.c) ---------------------------------------------- */

typedef struct file_archive_tensor {
  char *name;
  saros_tensor *tensor;  // null: only described
  const char *type;      // of the elements in the file; null: no file says it
  int rank;
  int shape[SAROS_MAX_RANK];
} file_archive_tensor;

typedef struct file_archive_text {
  char *key, *value;
} file_archive_text;

/* Names and keys are unique, valid UTF-8 and the archive's own copies. */
struct saros_archive {
  saros_context *context;
  file_archive_tensor *tensors;
  file_archive_text *texts;
  int tensor_count, tensor_room;
  int text_count, text_room;
};

/* Without the checks of saros_archive_add: the caller has made them. */
saros_status file_archive_append(saros_archive *archive, const char *name,
                                 saros_tensor *tensor);
/* A description without a tensor; 'type' lives as long as the program. */
saros_status file_archive_describe(saros_archive *archive, const char *name,
                                   const char *type, int rank,
                                   const int *shape);
saros_status file_archive_append_metadata(saros_archive *archive,
                                          const char *key, const char *value);

/* --- Element types of files (element_type.c) ------------------------------ */

#define FILE_ELEMENT_TYPES "F64, F32, F16, BF16, I64, I32, I16, I8, U8 or BOOL"

typedef struct file_element_type {
  const char *name;
  saros_dtype dtype;  // of the tensors that it becomes
  size_t size;        // in the file
  /* Turns elements of the file into reals or ids; returns how many, which is
  ** less than count where the next one has no such form. */
  size_t (*decode)(void *to, const char *from, size_t count);
} file_element_type;

/* Null if there is none of that name. */
const file_element_type *file_element_type_named(const char *name);

/* --- Files (file.c) ------------------------------------------------------- */

/* SAROS_OK if the host allows files; else as file_failure. */
saros_status file_expect_allowed(saros_context *context, const char *function,
                                 const char *verb, const char *path);

/* SAROS_EFILE: 'function: expected to <verb> "path", got "<errno's words>"'. */
saros_status file_failure(saros_context *context, const char *function,
                          const char *verb, const char *path);

/* Opens a regular file for reading; *descriptor is the caller's, negative if it
** was not opened, also on failure. */
saros_status file_open(saros_context *context, const char *function,
                       const char *path, int *descriptor, uint64_t *size);
/* Exactly 'size' bytes from a place; SAROS_EFILE if the file ends before. */
saros_status file_read_at(saros_context *context, const char *function,
                          const char *path, int descriptor, void *to,
                          uint64_t at, size_t size);

/*
** A file that replaces another in one instant. It grows under a temporary name
** in the same folder; file_commit syncs it and renames it. file_discard frees
** what the writer holds and removes the temporary file if there still is one;
** it accepts a writer of zeros.
*/
typedef struct file_writer {
  saros_context *context;
  const char *function;  // begins the messages
  const char *path;
  char *temporary;  // its name; null when there is no such file
  int descriptor;   // open while temporary is not null
} file_writer;

saros_status file_create(file_writer *writer);
saros_status file_write(file_writer *writer, const void *bytes, size_t size);
saros_status file_commit(file_writer *writer);
void file_discard(file_writer *writer);

#endif
