/*
** Models in files: a program and its parameters.
*/
#ifndef SAROS_MODELS_H
#define SAROS_MODELS_H

#include "sessions.h"

SAROS_BEGIN

/* --- Models in files ----------------------------------------------------------------- */

/*
** What module:save of a script wrote: a program, the tensors that it names, and
** metadata; so a host without Lua steps and trains any model that could be traced.
** See saros_program_run for what is slow to train.
** Sequences are (T, B, ...), also for modules that scripts call with batch_first.
** Files of encoder-decoders, and of modules that were not traced, have none.
**
** Numbers go in and come out in the units of a script's session: a forecaster takes
** and tells those of its series, h times K of them, a classifier takes those of its
** features and tells logits, and training compares in these units. A file that an
** earlier state of 0.1 wrote has the program between the scales, which its "saros"
** metadata have as 'inputs' and 'targets', or 'features'; a script that loads and
** saves it writes the units.
**
**   saros_model *model;
**   saros_session *session;
**   saros_model_load(context, "model.safetensors", &model);
**   saros_model_session(model, 1, SAROS_WEIGHTS_REAL, &session);
*/
typedef struct saros_model saros_model;

/*
** Reads a model. SAROS_EFILE if the file cannot be read, has no program, or one that
** does not fit its tensors; the message says what was expected. Time and memory are
** in proportion to the file.
*/
SAROS_API saros_status saros_model_load(saros_context *context,
                                        const char *path, saros_model **out);
SAROS_API void saros_model_release(saros_model *model);  // or null

/* Borrowed. */
SAROS_API saros_program *saros_model_program(const saros_model *model);
/* One for each parameter of the program, in its order; borrowed, to be made
** trainable and updated in place. */
SAROS_API saros_tensor *const *saros_model_parameters(const saros_model *model);
/* The text under a key of the metadata, borrowed; null: none. "saros" has what a
** script knows of the model, such as its vocabulary, as JSON. */
SAROS_API const char *saros_model_metadata(const saros_model *model,
                                           const char *key);

/* A session of the model as it is now: see saros_session_new. */
SAROS_API saros_status saros_model_session(const saros_model *model,
                                           int streams, saros_weights weights,
                                           saros_session **out);

/* Writes the model, as it is now, as saros_safetensors_write does. */
SAROS_API saros_status saros_model_save(const saros_model *model,
                                        const char *path);

SAROS_END

#endif
