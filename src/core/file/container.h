/*
** Containers: a zip file with its members, or any other file as its own only
** member, "". What reads them (container.c) sees no zip library, and what reads
** zips (zip.c) no tensors.
*/
#ifndef CONTAINER_H
#define CONTAINER_H

#include "file.h"

/* A member; its name begins at 'name' in the container's names. */
typedef struct file_member {
  size_t name;
  uint64_t bytes;         // unpacked, as the directory says
  uint64_t place, order;  // where the directory has it; for zip.c
} file_member;

struct saros_container {
  saros_context *context;
  const char *path;  // the container's own copy
  int file;          // its descriptor; negative: none
  uint64_t size;     // of the file
  uint64_t room;     // bytes that tensors may still take
  file_member *members;
  char *names;
  size_t names_used, names_room;
  int count, members_room;
  void *zip;     // of zip.c; null: a plain file
  uint64_t at;   // in the open member
  int open;      // the member that is being read; negative: none
  uint64_t pos;  // of the zip library, in the file
};

/* Adds a member with that name; SAROS_EFILE if there are more than can be. */
saros_status file_container_add(saros_container *c, const char *name,
                                file_member member);
/* SAROS_EFILE: "zip: <words> in <path>"; the words end with what came. */
saros_status file_container_refuse(const saros_container *c, const char *words,
                                   const char *name);

/* --- Zips (zip.c) ---------------------------------------------------------- */

/* Opens the file as a zip and adds its members. */
saros_status file_zip_open(saros_container *c);
void file_zip_close(saros_container *c);
/* Begins to read a member, at its first byte; ends that, with a check of its
** sum if it was read to the end. */
saros_status file_zip_begin(saros_container *c, int at);
saros_status file_zip_end(saros_container *c);
/* The next bytes of that member. */
saros_status file_zip_next(saros_container *c, void *to, size_t size);

#endif
