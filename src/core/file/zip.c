/*
** Members of zip files, through minizip, which reads the directory entry by entry
** and takes the same memory for every file. Without the library (no HAVE_MINIZIP)
** zips are refused.
*/
#include <string.h>

#include "container.h"

#ifdef HAVE_MINIZIP

#include <unzip.h>

/* Bytes of a local header and a directory entry without names: a member has
** one of both, so a file of n bytes has at most n / MEMBER_BYTES. */
#define MEMBER_BYTES 76
#define MOST_NAME 4096

/* --- Files as minizip sees them --------------------------------------------- */

static voidpf open_file(voidpf opaque, const void *path, int mode) {
  (void)path;
  return mode & ZLIB_FILEFUNC_MODE_WRITE ? NULL : opaque;
}

static uLong read_file(voidpf opaque, voidpf stream, void *to, uLong size) {
  saros_container *c = stream;
  (void)opaque;
  uint64_t rest = c->pos < c->size ? c->size - c->pos : 0;
  size_t part = size < rest ? size : (size_t)rest;
  if (file_read_at(c->context, "zip", c->path, c->file, to, c->pos, part))
    return 0;
  c->pos += part;
  return (uLong)part;
}

static uLong write_file(voidpf opaque, voidpf stream, const void *from,
                        uLong size) {
  (void)opaque, (void)stream, (void)from, (void)size;
  return 0;
}

static ZPOS64_T tell_file(voidpf opaque, voidpf stream) {
  (void)opaque;
  return ((saros_container *)stream)->pos;
}

static long seek_file(voidpf opaque, voidpf stream, ZPOS64_T offset,
                      int origin) {
  saros_container *c = stream;
  (void)opaque;
  uint64_t base = origin == ZLIB_FILEFUNC_SEEK_SET   ? 0
                  : origin == ZLIB_FILEFUNC_SEEK_CUR ? c->pos
                                                     : c->size;
  if (__builtin_add_overflow(base, offset, &base) || base > c->size)
    return -1;
  c->pos = base;
  return 0;
}

static int close_file(voidpf opaque, voidpf stream) {
  (void)opaque, (void)stream;
  return 0;
}

static int test_file(voidpf opaque, voidpf stream) {
  (void)opaque, (void)stream;
  return 0;
}

/* --- The directory ------------------------------------------------------------ */

static saros_status add_member(saros_container *c) {
  char name[MOST_NAME + 1];
  unz_file_info64 info;
  unz64_file_pos place;
  if (unzGetCurrentFileInfo64(c->zip, &info, name, MOST_NAME, NULL, 0, NULL,
                              0) != UNZ_OK ||
      unzGetFilePos64(c->zip, &place) != UNZ_OK)
    return file_container_refuse(c, "expected a directory, got damage", NULL);
  if (info.size_filename > MOST_NAME)
    return file_container_refuse(c, "expected names of 4096 bytes, got more",
                                 NULL);
  name[info.size_filename] = 0;
  if (info.compression_method != 0 && info.compression_method != Z_DEFLATED)
    return file_container_refuse(
        c, "expected stored or deflated bytes, got others", name);
  if (info.flag & 1)
    return file_container_refuse(c, "expected plain bytes, got encrypted ones",
                                 name);
  if (info.compression_method == 0 && info.uncompressed_size > c->size)
    return file_container_refuse(
        c, "expected fewer bytes than the file, got more", name);
  if ((uint64_t)c->count >= c->size / MEMBER_BYTES)
    return file_container_refuse(
        c, "expected a header for each name, got fewer", NULL);
  return file_container_add(c, name,
                            (file_member){.bytes = info.uncompressed_size,
                                          .place = place.pos_in_zip_directory,
                                          .order = place.num_of_file});
}

saros_status file_zip_open(saros_container *c) {
  zlib_filefunc64_def functions = {open_file, read_file,  write_file, tell_file,
                                   seek_file, close_file, test_file,  c};
  c->zip = unzOpen2_64(c->path, &functions);
  if (c->zip == NULL)
    return file_container_refuse(c, "expected a directory at the end, got none",
                                 NULL);
  int state = unzGoToFirstFile(c->zip);
  for (; state == UNZ_OK; state = unzGoToNextFile(c->zip))
    TRY(add_member(c));
  if (state != UNZ_END_OF_LIST_OF_FILE)
    return file_container_refuse(c, "expected a directory, got damage", NULL);
  return SAROS_OK;
}

void file_zip_close(saros_container *c) {
  if (c->zip != NULL)
    unzClose(c->zip);
  c->zip = NULL;
}

/* --- A member -------------------------------------------------------------------- */

static saros_status damaged(const saros_container *c, int at) {
  return file_container_refuse(c, "expected sound bytes, got damage",
                               saros_container_name(c, at));
}

saros_status file_zip_begin(saros_container *c, int at) {
  unz64_file_pos place = {c->members[at].place, c->members[at].order};
  if (unzGoToFilePos64(c->zip, &place) != UNZ_OK ||
      unzOpenCurrentFile(c->zip) != UNZ_OK)
    return damaged(c, at);
  return SAROS_OK;
}

saros_status file_zip_end(saros_container *c) {
  return unzCloseCurrentFile(c->zip) == UNZ_OK ? SAROS_OK : damaged(c, c->open);
}

saros_status file_zip_next(saros_container *c, void *to, size_t size) {
  for (char *next = to; size > 0;) {
    unsigned part = size < 1u << 30 ? (unsigned)size : 1u << 30;
    int got = unzReadCurrentFile(c->zip, next, part);
    if (got <= 0)
      return damaged(c, c->open);
    next += got;
    size -= (size_t)got;
  }
  return SAROS_OK;
}

#else

saros_status file_zip_open(saros_container *c) {
  return file_container_refuse(
      c,
      "expected a build with minizip (Debian: libminizip-dev), got one without",
      NULL);
}

void file_zip_close(saros_container *c) {
  (void)c;
}

saros_status file_zip_begin(saros_container *c, int at) {
  (void)at;
  return file_zip_open(c);
}

saros_status file_zip_end(saros_container *c) {
  return file_zip_open(c);
}

saros_status file_zip_next(saros_container *c, void *to, size_t size) {
  (void)to, (void)size;
  return file_zip_open(c);
}

#endif
