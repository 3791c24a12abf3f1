/*
** What the reader of programs shares with the table of node kinds.
*/
#ifndef PROGRAM_READ_H
#define PROGRAM_READ_H

#include <jansson.h>

#include "program.h"
#include "recurrent.h"

/* A row of values has fewer features than this; an invariant may have up to
** INT32_MAX elements. */
#define PROGRAM_MAX_WIDTH (1 << 26)
#define PROGRAM_MAX_OPERANDS 16  // except of concatenate
#define PROGRAM_MAX_ITEMS 65536  // nodes, states, ...; operands of concatenate

typedef struct program_reader {
  saros_context *context;
  saros_program *program;
  const char *text;
  size_t at, end;  // the position in the text, and the end of the section
  char place[64];  // " in node 17 (linear)"
  size_t node_room, state_room, parameter_room, input_room, output_room;
} program_reader;

/* A few words for a message. */
typedef struct program_words {
  char text[160];
} program_words;
__attribute__((format(printf, 2, 3))) const char *
program_format(program_words *buffer, const char *format, ...);
/* Valid until the end of the statement. */
#define PROGRAM_WORDS(...) program_format(&(program_words){{0}}, __VA_ARGS__)

/* SAROS_EARGUMENT: "program: expected <this> in node 17 (linear), got <that>". */
saros_status program_refuse(const program_reader *r, const char *expected,
                            const char *got);

/* Memory that lives as long as the program, zeroed. */
saros_status program_take(program_reader *r, size_t bytes, void *out);

/* --- Kinds of nodes (program_kinds.c) ----------------------------------------- */

/* How an attribute is written in the text, and which field of the node gets it. */
enum {
  ATTRIBUTE_INTEGER = 1,  // at[place], from 'least' on
  ATTRIBUTE_FLAG,         // at[place], true or false
  ATTRIBUTE_REAL,         // number[place]
  ATTRIBUTE_PROBABILITY,  // number[place], in [0, 1)
  ATTRIBUTE_NAME,         // of an input
  ATTRIBUTE_STATE,        // state[0]
  ATTRIBUTE_STATES,       // all of state
  ATTRIBUTE_VALUES,       // a list of reals
  ATTRIBUTE_ZONEOUT,      // a list of probabilities, number[0], number[1]
  ATTRIBUTE_CELL,         // the name of a cell
  ATTRIBUTE_WITH          // names of a cell's parameters
};

typedef struct program_attribute {
  const char *name;
  int form;  // 0: the end of the list
  int place;
  int optional;
  int least;      // of an integer
  int otherwise;  // the value of an absent integer
} program_attribute;

typedef struct program_kind {
  const char *name;  // null: those of saros_function, saros_operator
  int least, most;   // operands
  int reads_ids;     // the first operand may be ids
  int varies;        // true if it is never invariant, whatever it reads
  const program_attribute *attributes;
  /* Checks operands and attributes, and computes the width of the result. The
  ** caller refuses a width that is too large. */
  saros_status (*measure)(const program_reader *r, program_node *n,
                          int64_t *width);
} program_kind;

extern const program_kind program_kinds[NODE_KINDS];

/* Sets n->op and n->function from the name of an op; 0 if no op has the name. */
int program_find_kind(const char *name, program_node *n);

/* The width rule of cell nodes. (program_cell.c) */
saros_status program_measure_cell(const program_reader *r, program_node *n,
                                  int64_t *width);

/* --- Checks of the whole table (program_components.c) ---------------------------- */

/* Checks states, their first values and their next nodes. */
saros_status program_check_states(program_reader *r);

/* Finds the components; the states of one loop must run in one direction. */
saros_status program_find_components(program_reader *r);

#endif
