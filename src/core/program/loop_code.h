/*
** The state of the compiler of loops, for the files that it consists of.
*/
#ifndef LOOP_CODE_H
#define LOOP_CODE_H

#include "loop.h"

typedef struct loop_compiler {
  loop_plan *plan;
  loop_graph *g;
  loop_code *code;
  int count;     // values of the graph
  int *uses;     // by value: how often it is read, sinks included
  int *fold;     // by value: the reader whose instruction computes it; or -1
  int *product;  // by sum: the product that adds to the other term; or -1
  int *step_of;  // by value: its step; or -1
  char *live;    // by value: true if a sink needs it
  char *copied;  // by view: true if it is saved as a copy
  char *done;    // by value: true if its step has been made
  char *chosen;  // by value: true if it is in the chain being made
} loop_compiler;

/* True if the value is in an array before the code runs. */
int loop_code_is_leaf(const loop_compiler *c, int v);
/* STEP_... of a value that a step computes; -1 if none does. */
int loop_code_kind(const loop_compiler *c, int v);

/* Puts all values into steps. (loop_schedule.c) */
saros_status loop_schedule(loop_compiler *c);
/* Writes the instructions of the chains. (loop_emit.c) */
saros_status loop_emit(loop_compiler *c);

#endif
