/*
** JSON of programs: sections, items and their fields.
*/
#ifndef PROGRAM_JSON_H
#define PROGRAM_JSON_H

#include "program_read.h"

#define PROGRAM_SECTIONS 5

/* A member of the text's object: one value, or a list of items. */
typedef struct program_section {
  const char *name;
  int is_list;
  saros_status (*item)(program_reader *r, json_t *json);
} program_section;

/* Finds all sections, in any order, then reads them in the order of the list. */
saros_status program_sections(program_reader *r,
                              const program_section *sections);

/* Values of fields; 'name' is the field's. A null json is an absent field. */
saros_status program_integer(const program_reader *r, const json_t *json,
                             const char *name, int least, int most, int *out);
saros_status program_flag(const program_reader *r, const json_t *json,
                          const char *name, int *out);
saros_status program_real(const program_reader *r, const json_t *json,
                          const char *name, double *out);
/* In [0, 1). */
saros_status program_probability(const program_reader *r, const json_t *json,
                                 const char *name, double *out);
/* A copy of a field "name", which must not be empty. */
saros_status program_name(program_reader *r, const json_t *json,
                          const char **out);
/* Checks that the item has exactly this many fields. */
saros_status program_fields(const program_reader *r, const json_t *json,
                            size_t count);

#endif
