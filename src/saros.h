/*
** Saros: recurrent networks in C, scripted in Lua.
**
** This is the whole public interface: whatever a script can do, a C program
** can do through this header. Three ideas carry it:
**
**   context   owns memory, the last error and the open tape. Everything else
**             belongs to one context; two contexts never meet, so each thread
**             may have its own. A context is used by one thread at a time.
**   tensor    a reference-counted array of real numbers or of ids, or a view
**             that shares the storage of another tensor.
**   tape      while one is open, operations on trainable or watched tensors
**             are recorded; saros_tape_backward runs them in reverse
**             (back-propagation, through time where there is time).
**
** Conventions. Functions return a status; anything but SAROS_OK leaves a
** message in saros_error(context), sets the outputs to null and changes
** nothing else unless stated. An output tensor belongs to the caller, who
** releases it. Inputs are borrowed for the call. Axes, steps, rows and ids
** count from 0. Axes may be negative: -1 is the last one. Sequences are
** time-major: (T, B, F) is T steps of B rows of F features. A number that is no
** enumerator of an argument's type is SAROS_EARGUMENT.
**
**   saros/context.h     contexts, memory, threads, messages, profiles
**   saros/tensors.h     tensors, views, random numbers
**   saros/operations.h  operations, layers, losses
**   saros/recurrence.h  recurrent layers over sequences
**   saros/gradients.h   the tape, clipping, updates
**   saros/programs.h    what a model computes in one step, as data
**   saros/sessions.h    a model one step at a time
**   saros/models.h      models in files
**   saros/files.h       safetensors and other files
**   saros/texts.h       texts, vocabularies, files of ids
**   saros/scripts.h     Lua
*/
#ifndef SAROS_H
#define SAROS_H

#include "saros/context.h"
#include "saros/tensors.h"
#include "saros/operations.h"
#include "saros/recurrence.h"
#include "saros/gradients.h"
#include "saros/programs.h"
#include "saros/sessions.h"
#include "saros/models.h"
#include "saros/files.h"
#include "saros/texts.h"
#include "saros/scripts.h"

#endif
