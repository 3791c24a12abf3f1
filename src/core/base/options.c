/*
** Structs of options, which may be those of an older or a newer caller.
*/
#include <string.h>

#include "base.h"

static int is_zero(const unsigned char *bytes, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (bytes[i] != 0)
      return 0;
  return 1;
}

saros_status base_read_options(saros_context *context, const char *type,
                               const void *given, void *own, size_t size) {
  size_t theirs;
  memcpy(&theirs, given, sizeof theirs);
  size_t common = theirs < size ? theirs : size;
  if (theirs < sizeof theirs)
    return saros_fail(context, SAROS_EARGUMENT,
                      "%s: expected size = sizeof(%s), got %zu", type, type,
                      theirs);
  if (!is_zero((const unsigned char *)given + common, theirs - common))
    return saros_fail(
        context, SAROS_EARGUMENT,
        "%s: expected the fields of this version (%zu bytes), got "
        "some of a later one (%zu bytes)",
        type, size, theirs);
  memset(own, 0, size);
  memcpy(own, given, common);
  return SAROS_OK;
}
