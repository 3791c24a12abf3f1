/*
** Pauses: the open tape is set aside, and what follows is as without a tape.
**
** Pauses form a stack, from the innermost (context->pause) outwards. Each
** holds the tape that was open when it began, or null; context->tape is the one
** that was opened since the innermost began. So "no open tape" inside a pause
** needs no test of its own: nothing is recorded and dropout does not act because
** context->tape is null.
**
**   context->tape      opened inside the innermost pause
**   pause->tape        opened inside pause->outer, set aside by pause
**   ...
**
** A coroutine may end its pause while a later one is still open. Then the tape
** that belongs to it is the one that the later pause set aside.
*/
#include "tape.h"

saros_status saros_pause_begin(saros_context *context, saros_pause **out) {
  TRY(base_object_new(context, sizeof(saros_pause), (void **)out));
  saros_pause *pause = *out;
  pause->context = context;
  pause->outer = context->pause;
  pause->tape = context->tape;
  context->pause = pause;
  context->tape = NULL;
  return SAROS_OK;
}

void saros_pause_end(saros_pause *pause) {
  if (pause == NULL)
    return;
  saros_context *context = pause->context;
  saros_pause **place = &context->pause;
  saros_tape **inside = &context->tape;  // where the tape opened in it is
  for (; *place != pause; place = &(*place)->outer)
    inside = &(*place)->tape;
  if (*inside != NULL)
    saros_tape_close(*inside);
  *inside = pause->tape;
  *place = pause->outer;
  base_object_free(context, pause);
}

void tape_pause_forget(saros_context *context, const saros_tape *tape) {
  saros_tape **place = &context->tape;
  saros_pause *pause = context->pause;
  while (*place != tape) {
    place = &pause->tape;
    pause = pause->outer;
  }
  *place = NULL;
}
