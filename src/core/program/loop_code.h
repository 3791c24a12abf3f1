/*
** What the files that compile a loop share: a code in the making.
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
  char *live;    // by value: a sink needs it
  char *copied;  // by view: it is saved by itself
  char *done;    // by value: its step was made
  char *chosen;  // by value: in the chain that is being made
} loop_compiler;

/* True if the code finds the value in an array. */
int loop_code_is_leaf(const loop_compiler *c, int v);
/* STEP_... of a value that a step computes; -1 if none does. */
int loop_code_kind(const loop_compiler *c, int v);

/* Puts all values into steps. (loop_schedule.c) */
saros_status loop_schedule(loop_compiler *c);
/* Writes the instructions of the chains. (loop_emit.c) */
saros_status loop_emit(loop_compiler *c);

#endif
