/*
** What the specs of safetensors files share: a temporary folder, an allocator
** that counts and fails, and files that are made by hand.
*/
#ifndef SAFETENSORS_SPEC_H
#define SAFETENSORS_SPEC_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "saros.h"

/* --- An allocator that counts and fails -------------------------------------- */

static long requests, failing_request;  // and all after it; 0: none
static size_t live_bytes, peak_bytes;

static inline void *allocate(void *user, void *block, size_t old, size_t new) {
  (void)user;
  if (new > 0 && ++requests >= failing_request && failing_request > 0)
    return NULL;
  live_bytes += new;
  live_bytes -= block == NULL ? 0 : old;
  if (live_bytes > peak_bytes)
    peak_bytes = live_bytes;
  if (new > 0)
    return realloc(block, new);
  free(block);
  return NULL;
}

/* --- Files -------------------------------------------------------------------- */

static saros_context *context;
static char folder[200], path[256];

/* Writes the bytes to 'path' as they are. */
static inline void put_bytes(const void *bytes, size_t size) {
  FILE *file = fopen(path, "wb");
  CHECK(file && fwrite(bytes, 1, size, file) == size, "cannot write %s", path);
  if (file)
    fclose(file);
}

/* Reads 'path' into a new block. */
static inline char *get_bytes(size_t *size) {
  char *bytes = malloc(1 << 20);
  FILE *file = fopen(path, "rb");
  *size = file ? fread(bytes, 1, 1 << 20, file) : 0;
  if (file)
    fclose(file);
  return bytes;
}

/* A file of a header with its length, and of data. */
static inline void put_parts(const char *header, size_t length,
                             const void *data, size_t size) {
  char *bytes = malloc(8 + length + size);
  for (int i = 0; i < 8; i++)
    bytes[i] = (char)((unsigned long long)length >> 8 * i);
  memcpy(bytes + 8, header, length);
  if (size > 0)
    memcpy(bytes + 8 + length, data, size);
  put_bytes(bytes, 8 + length + size);
  free(bytes);
}

static inline int files_in_folder(void) {
  int count = 0;
  DIR *open_folder = opendir(folder);
  for (struct dirent *file; (file = readdir(open_folder)) != NULL;)
    count += file->d_name[0] != '.';
  closedir(open_folder);
  return count;
}

/* Reads 'path'; checks that a refusal leaves nothing behind. */
static inline saros_status read_file(saros_archive **out) {
  size_t before = saros_memory_of(context).in_use;
  saros_status status = saros_safetensors_read(context, path, out);
  if (status != SAROS_OK) {
    CHECK(*out == NULL, "a refusal gives no archive");
    CHECK(saros_memory_of(context).in_use == before, "memory is lost after %s",
          saros_error(context));
  }
  return status;
}

/* The bytes of a small valid file, which is at 'path'. */
static inline char *small_file(size_t *size) {
  static const char header[] =
      "{\"__metadata__\":{\"k\":\"v\"},"
      "\"a\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[0,8]},"
      "\"b\":{\"dtype\":\"I16\",\"shape\":[],\"data_offsets\":[8,10]}}   ";
  saros_archive *archive;
  put_parts(header, sizeof header - 1, "12345678ab", 10);
  CHECK(read_file(&archive) == SAROS_OK, "%s", saros_error(context));
  saros_archive_release(archive);
  return get_bytes(size);
}

/* Reads 'count' elements of a type; null after a refusal. */
static inline saros_tensor *read_elements(const char *type, int count,
                                          const void *data, size_t size) {
  char header[200];
  saros_archive *archive;
  snprintf(header, sizeof header,
           "{\"a\":{\"dtype\":\"%s\",\"shape\":[%d],\"data_offsets\":[0,%zu]}}",
           type, count, size);
  put_parts(header, strlen(header), data, size);
  if (read_file(&archive) != SAROS_OK)
    return NULL;
  saros_tensor *x = saros_tensor_retain(saros_archive_tensor(archive, 0));
  saros_archive_release(archive);
  return x;
}

/* Runs specs in a folder that is new and empty, and empty again afterwards. */
static inline int run_specs(void (*specs)(void)) {
  const char *temporary = getenv("TMPDIR");
  snprintf(folder, sizeof folder, "%s/saros-XXXXXX",
           temporary ? temporary : "/tmp");
  if (mkdtemp(folder) == NULL) {
    perror(folder);
    return 1;
  }
  snprintf(path, sizeof path, "%s/file.safetensors", folder);
  context = saros_context_new(allocate, NULL);
  specs();
  saros_context_release(context);
  CHECK(live_bytes == 0, "%zu bytes are left", live_bytes);
  unlink(path);
  CHECK(rmdir(folder) == 0, "files are left in %s", folder);
  return report();
}

#endif
