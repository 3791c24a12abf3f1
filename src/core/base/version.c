/*
** The version and the element type: a host must be compiled for those that the
** library has, since sizes of structs and the meaning of arrays depend on them.
*/
#include <stdio.h>

#include "base.h"

const char *saros_version(void) {
  return SAROS_VERSION;
}

int saros_version_number(void) {
  return SAROS_VERSION_NUMBER;
}

static const char *type_name(size_t real_size) {
  return real_size == sizeof(float)    ? "float"
         : real_size == sizeof(double) ? "double"
                                       : "unknown";
}

saros_status saros_check_build(int version, size_t real_size, char *message,
                               size_t size) {
  int is_equal = version / 100 == SAROS_VERSION_NUMBER / 100 &&
                 real_size == sizeof(saros_real);
  if (is_equal)
    snprintf(message, size, "%s", "");
  else
    snprintf(message, size,
             "expected a host compiled for Saros %s with elements of type %s, "
             "as the library is, got one for %d.%d.%d and %s",
             SAROS_VERSION, type_name(sizeof(saros_real)), version / 10000,
             version / 100 % 100, version % 100, type_name(real_size));
  return is_equal ? SAROS_OK : SAROS_EARGUMENT;
}
