/*
** The version and the element type: a host must be compiled for those that the
** library has, since sizes of structs and the meaning of arrays depend on them.
** And the instruction set that the user wants, which the processor must run.
*/
#include <stdio.h>
#include <stdlib.h>

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

const char *base_wanted_isa(void) {
  const char *wanted = getenv("SAROS_ISA");
  return wanted != NULL && wanted[0] != '\0' ? wanted : NULL;
}

/* SAROS_EARGUMENT if there are no kernels of the instruction set that is wanted. */
static saros_status check_isa(char *message, size_t size) {
  const char *wanted = base_wanted_isa(), *name;
  if (kernel_select(wanted) != NULL)
    return SAROS_OK;
  char names[100] = "";
  size_t length = 0;
  for (int i = 0; (name = kernel_set_name(i)) != NULL; i++)
    length += (size_t)snprintf(names + length, sizeof names - length, "%s%s",
                               i == 0 ? "" : ", ", name);
  snprintf(message, size,
           "expected SAROS_ISA to be one of %s, which this processor runs, got "
           "\"%s\"",
           names, wanted);
  return SAROS_EARGUMENT;
}

saros_status saros_check_build(int version, size_t real_size, char *message,
                               size_t size) {
  int is_equal = version / 100 == SAROS_VERSION_NUMBER / 100 &&
                 real_size == sizeof(saros_real);
  snprintf(message, size, "%s", "");
  if (is_equal)
    return check_isa(message, size);
  snprintf(message, size,
           "expected a host compiled for Saros %s with elements of type %s, "
           "as the library is, got one for %d.%d.%d and %s",
           SAROS_VERSION, type_name(sizeof(saros_real)), version / 10000,
           version / 100 % 100, version % 100, type_name(real_size));
  return SAROS_EARGUMENT;
}
