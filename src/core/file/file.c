/*
** Folders, and files that are replaced in one instant: the new contents are
** written beside the old file and take over its name once they are on disk. A
** crash at any point leaves the old file or the new one, and at worst a
** temporary file beside it.
*/
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"

#define MAX_ATTEMPTS 1000
#define SUFFIX_BYTES 40  // of ".tmp-<process>-<attempt>"

saros_status file_expect_allowed(saros_context *context, const char *function,
                                 const char *verb, const char *path) {
  if (!(context->restricted & SAROS_NO_FILES))
    return SAROS_OK;
  return saros_fail(context, SAROS_EFILE,
                    "%s: expected to %s %s, got no way to files from the host",
                    function, verb, BASE_QUOTE(path));
}

saros_status file_failure(saros_context *context, const char *function,
                          const char *verb, const char *path) {
  int cause = errno;
  return saros_fail(context, SAROS_EFILE, "%s: expected to %s %s, got \"%s\"",
                    function, verb, BASE_QUOTE(path), strerror(cause));
}

static saros_status failure(const file_writer *w) {
  return file_failure(w->context, w->function, "write", w->path);
}

/* --- Reading -------------------------------------------------------------- */

/* A pipe without a writer would make open wait: hence O_NONBLOCK. */
saros_status file_open(saros_context *context, const char *function,
                       const char *path, int *descriptor, uint64_t *size) {
  *descriptor = -1;
  TRY(file_expect_allowed(context, function, "read", path));
  do
    *descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  while (*descriptor < 0 && errno == EINTR);
  struct stat found;
  if (*descriptor < 0 || fstat(*descriptor, &found) != 0)
    return file_failure(context, function, "read", path);
  if (!S_ISREG(found.st_mode))
    return saros_fail(context, SAROS_EFILE,
                      "%s: expected a regular file, got %s", function,
                      BASE_QUOTE(path));
  *size = (uint64_t)found.st_size;
  return SAROS_OK;
}

saros_status file_read_at(saros_context *context, const char *function,
                          const char *path, int descriptor, void *to,
                          uint64_t at, size_t size) {
  char *next = to;
  while (size > 0) {
    size_t most = size < (size_t)1 << 30 ? size : (size_t)1 << 30;
    ssize_t got = pread(descriptor, next, most, (off_t)at);
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return file_failure(context, function, "read", path);
    if (got == 0)
      return saros_fail(context, SAROS_EFILE,
                        "%s: expected the file to keep its size, got its end "
                        "in %s",
                        function, BASE_QUOTE(path));
    next += got;
    at += (uint64_t)got;
    size -= (size_t)got;
  }
  return SAROS_OK;
}

/* --- Writing -------------------------------------------------------------- */

/* Only a regular file may be replaced: renaming onto a device or a pipe would
** destroy it. */
static saros_status expect_replaceable(const file_writer *w) {
  struct stat old;
  if (stat(w->path, &old) != 0 || S_ISREG(old.st_mode))
    return SAROS_OK;
  errno = S_ISDIR(old.st_mode) ? EISDIR : EEXIST;
  return failure(w);
}

saros_status file_create(file_writer *w) {
  size_t room = strlen(w->path) + SUFFIX_BYTES;
  w->temporary = NULL;
  TRY(file_expect_allowed(w->context, w->function, "write", w->path));
  TRY(expect_replaceable(w));
  char *name = pool_take(&w->context->pool, room);
  if (name == NULL)
    return base_out_of_memory(w->context, room);
  int attempt = 0;
  do {
    snprintf(name, room, "%s.tmp-%ld-%d", w->path, (long)getpid(), attempt);
    w->descriptor = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  } while (w->descriptor < 0 && (errno == EEXIST || errno == EINTR) &&
           ++attempt < MAX_ATTEMPTS);
  if (w->descriptor < 0) {
    saros_status status = failure(w);
    pool_give(&w->context->pool, name);
    return status;
  }
  w->temporary = name;
  return SAROS_OK;
}

saros_status file_write(file_writer *w, const void *bytes, size_t size) {
  const char *at = bytes;
  while (size > 0) {
    // no more at once than every system takes
    size_t most = size < (size_t)1 << 30 ? size : (size_t)1 << 30;
    ssize_t written = write(w->descriptor, at, most);
    if (written < 0 && errno != EINTR)
      return failure(w);
    if (written > 0) {
      at += written;
      size -= (size_t)written;
    }
  }
  return SAROS_OK;
}

/* --- Taking over the name ------------------------------------------------- */

/* Down to the medium, which on macOS needs more than fsync. */
static int sync_descriptor(int descriptor) {
#ifdef F_FULLFSYNC
  if (fcntl(descriptor, F_FULLFSYNC) == 0)
    return 0;
#endif
  int failed;
  do
    failed = fsync(descriptor);
  while (failed && errno == EINTR);
  return failed;
}

/* Makes the new name last. Folders that cannot be opened for reading or synced
** keep either name just as well, only not from now on. */
static int sync_folder_of(char *path) {
  char *slash = strrchr(path, '/');
  const char *folder = slash == NULL ? "." : slash == path ? "/" : path;
  if (slash != NULL)
    *slash = 0;
  int descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (slash != NULL)
    *slash = '/';
  if (descriptor < 0)
    return 0;
  int failed = sync_descriptor(descriptor);
  int cause = errno;
  close(descriptor);
  errno = cause;
  return failed && cause != EINVAL && cause != ENOTSUP;
}

/* A file that only its owner may read stays so. */
static void keep_mode(const file_writer *w) {
  struct stat old;
  if (stat(w->path, &old) == 0 && S_ISREG(old.st_mode))
    (void)!fchmod(w->descriptor, old.st_mode & 0777);
}

static void forget_temporary(file_writer *w) {
  pool_give(&w->context->pool, w->temporary);
  w->temporary = NULL;
}

saros_status file_commit(file_writer *w) {
  keep_mode(w);
  if (sync_descriptor(w->descriptor) != 0)
    return failure(w);
  int failed = close(w->descriptor);
  w->descriptor = -1;
  if (failed || rename(w->temporary, w->path) != 0)
    return failure(w);
  failed = sync_folder_of(w->temporary);
  forget_temporary(w);
  return failed ? failure(w) : SAROS_OK;
}

void file_discard(file_writer *w) {
  if (w->temporary == NULL)
    return;
  if (w->descriptor >= 0)
    close(w->descriptor);
  unlink(w->temporary);
  forget_temporary(w);
}

saros_status saros_write_file(saros_context *context, const char *path,
                              const void *bytes, size_t size) {
  file_writer writer = {
      .context = context, .function = "write_file", .path = path};
  saros_status status;
  TRY_OR_DONE(file_create(&writer));
  TRY_OR_DONE(file_write(&writer, bytes, size));
  status = file_commit(&writer);
done:
  file_discard(&writer);
  return status;
}

/* --- Folders -------------------------------------------------------------- */

/* Makes one folder unless it is there. */
static int make_one(const char *path) {
  struct stat found;
  if (mkdir(path, 0777) == 0)
    return 0;
  int cause = errno;
  if (stat(path, &found) == 0 && S_ISDIR(found.st_mode))
    return 0;
  errno = cause;
  return -1;
}

saros_status saros_make_folder(saros_context *context, const char *path) {
  TRY(file_expect_allowed(context, "make_folder", "make", path));
  size_t bytes = strlen(path) + 1;
  char *part = pool_take(&context->pool, bytes);
  if (part == NULL)
    return base_out_of_memory(context, bytes);
  memcpy(part, path, bytes);
  int failed = 0;
  for (char *at = part + 1; bytes > 1 && *at != 0 && !failed; at++) {
    if (*at != '/')
      continue;
    *at = 0;
    failed = make_one(part);
    *at = '/';
    if (failed && errno == EEXIST)
      errno = ENOTDIR;  // a file where a folder has to be
  }
  if (!failed)
    failed = make_one(part);
  saros_status status = SAROS_OK;
  if (failed)
    status = file_failure(context, "make_folder", "make", path);
  pool_give(&context->pool, part);
  return status;
}
