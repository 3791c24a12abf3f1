/*
** The instructions of a code's chains: each element-wise value is one, or part of
** its reader's. A value that only its own chain reads gets a register, which is
** free again behind its last reader.
*/
#include <string.h>

#include "loop_code.h"

/* Registers of a chain in the making. */
typedef struct emission {
  loop_compiler *c;
  int step;
  int *last;  // by value: the last value of the chain that reads it
  int *free;  // registers that are free again
  int frees, used;
} emission;

static int width_of(const loop_compiler *c, int v) {
  return c->g->value[v].width;
}

/* --- Readers ------------------------------------------------------------------------- */

/* Reader v reads x, perhaps through values that are part of its instruction. */
static void note_reader(emission *e, int v, int x) {
  const loop_compiler *c = e->c;
  e->last[x] = v;
  if (!loop_code_is_leaf(c, x) && c->fold[x] >= 0)
    for (int i = 0; i < c->g->value[x].inputs; i++)
      note_reader(e, v, loop_input(c->g, x, i));
}

static void find_readers(emission *e) {
  for (int v = 0; v < e->c->count; v++)
    if (e->c->step_of[v] == e->step)
      for (int i = 0; i < e->c->g->value[v].inputs; i++)
        note_reader(e, v, loop_input(e->c->g, v, i));
}

/* --- Registers ------------------------------------------------------------------------- */

static void take_register(emission *e, int v) {
  loop_place *place = &e->c->code->place[v];
  if (place->array >= 0)
    return;
  int number = e->frees > 0 ? e->free[--e->frees] : e->used++;
  *place = (loop_place){-1, number};
  if (e->used > e->c->code->registers)
    e->c->code->registers = e->used;
}

/* Gives back the register of x if v was its last reader. */
static void free_register(emission *e, int v, int x) {
  loop_compiler *c = e->c;
  if (loop_code_is_leaf(c, x))
    return;
  if (c->fold[x] >= 0) {
    for (int i = 0; i < c->g->value[x].inputs; i++)
      free_register(e, v, loop_input(c->g, x, i));
    return;
  }
  if (c->step_of[x] != e->step || e->last[x] != v ||
      c->code->place[x].array >= 0)
    return;
  e->last[x] = -1;
  e->free[e->frees++] = c->code->place[x].column;
}

/* --- Instructions ------------------------------------------------------------------------ */

static loop_operand operand_of(const emission *e, int v, int x) {
  return (loop_operand){e->c->code->place[x],
                        width_of(e->c, x) == width_of(e->c, v)};
}

static void read(const emission *e, loop_instruction *i, int v, int x) {
  i->x[i->operands++] = operand_of(e, v, x);
}

static int is_fast_slope(const loop_value *v) {
  return v->op == LOOP_UNARY_BACK &&
         (v->function == SAROS_SIGMOID || v->function == SAROS_TANH);
}

static int kind_of(const loop_value *v) {
  switch (v->op) {
    case LOOP_UNARY:
      return LOOP_DO_UNARY;
    case LOOP_BINARY:
      return LOOP_DO_BINARY;
    case LOOP_WHERE:
      return LOOP_DO_WHERE;
    case LOOP_UNARY_BACK:
      if (!is_fast_slope(v))
        return LOOP_DO_UNARY_BACK;
      return v->function == SAROS_TANH ? LOOP_DO_TANH_BACK
                                       : LOOP_DO_SIGMOID_BACK;
    case LOOP_BLEND:
      return LOOP_DO_BLEND;
    case LOOP_MASKED:
      return LOOP_DO_MASKED;
    default:
      return LOOP_DO_COPY;
  }
}

/* The instruction of a value that takes the product m over. */
static void read_with_product(const emission *e, loop_instruction *i, int v,
                              int m) {
  const loop_compiler *c = e->c;
  const loop_value *value = &c->g->value[v];
  int other = loop_input(c->g, v, 0);
  if (other == m)
    other = loop_input(c->g, v, 1);
  if (value->op == LOOP_BINARY)
    i->kind = value->function == SAROS_ADD ? LOOP_DO_MULTIPLY_ADD
                                           : LOOP_DO_SUBTRACT_PRODUCT;
  else
    i->kind = value->function == SAROS_TANH ? LOOP_DO_MULTIPLY_TANH_BACK
                                            : LOOP_DO_MULTIPLY_SIGMOID_BACK;
  read(e, i, v, loop_input(c->g, m, 0));
  read(e, i, v, loop_input(c->g, m, 1));
  read(e, i, v, other);
}

static loop_instruction instruction_of(const emission *e, int v) {
  const loop_compiler *c = e->c;
  const loop_value *value = &c->g->value[v];
  loop_instruction i = {.kind = kind_of(value), .function = value->function};
  for (int k = 0; k < value->inputs; k++) {
    int x = loop_input(c->g, v, k);
    if (!loop_code_is_leaf(c, x) && c->fold[x] == v) {
      read_with_product(e, &i, v, x);
      break;
    }
  }
  for (int k = 0; k < value->inputs && i.operands < value->inputs; k++)
    read(e, &i, v, loop_input(c->g, v, k));
  if (value->op == LOOP_VIEW) {  // saved by itself: some columns are copied
    i.x[0].at.column += value->at[0];
    i.x[0].wide = 1;
  }
  return i;
}

static saros_status emit(emission *e, int v) {
  loop_compiler *c = e->c;
  loop_code *code = c->code;
  TRY(array_grow(c->plan->context, &code->instruction, code->instructions,
                 &code->instruction_room, 1, sizeof *code->instruction));
  loop_instruction i = instruction_of(e, v);
  take_register(e, v);
  i.y = (loop_operand){code->place[v], 1};
  code->instruction[code->instructions++] = i;
  for (int k = 0; k < c->g->value[v].inputs; k++)
    free_register(e, v, loop_input(c->g, v, k));
  return SAROS_OK;
}

static saros_status emit_chain(emission *e) {
  loop_code *code = e->c->code;
  loop_step *step = &code->step[e->step];
  e->frees = e->used = 0;
  find_readers(e);
  step->first = (int)code->instructions;
  for (int v = 0; v < e->c->count; v++)
    if (e->c->step_of[v] == e->step)
      TRY(emit(e, v));
  step->count = (int)code->instructions - step->first;
  return SAROS_OK;
}

static void finish_step(const loop_compiler *c, loop_step *step) {
  int v = step->value;
  step->y = c->code->place[v];
  if (step->kind != LOOP_STEP_PRODUCT || c->product[v] < 0)
    return;
  step->add = 1;
  step->value = c->product[v];
}

saros_status loop_emit(loop_compiler *c) {
  saros_context *context = c->plan->context;
  size_t bytes = 2 * (size_t)c->count * sizeof(int) + 1;
  int *block = pool_take(&context->pool, bytes);
  if (block == NULL)
    return base_out_of_memory(context, bytes);
  memset(block, 0xff, bytes);
  emission e = {.c = c, .last = block, .free = block + c->count};
  saros_status status = SAROS_OK;
  for (size_t s = 0; s < c->code->steps && status == SAROS_OK; s++) {
    e.step = (int)s;
    if (c->code->step[s].kind == LOOP_STEP_CHAIN)
      status = emit_chain(&e);
    else
      finish_step(c, &c->code->step[s]);
  }
  pool_give(&context->pool, block);
  return status;
}
