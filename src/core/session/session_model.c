/*
** Models from files: the program in a file's metadata with the tensors that it
** names, for hosts without Lua.
*/
#include <stdlib.h>
#include <string.h>

#include "program.h"

// Keys of the metadata, as lua/saros/model_file.lua has them.
#define PROGRAM_KEY "program"
#define UNTRACED_KEY "untraced"

struct saros_model {
  saros_context *context;
  saros_archive *archive;
  saros_program *program;
  saros_tensor **parameters;  // of the archive, in the program's order
};

void saros_model_release(saros_model *model) {
  if (model == NULL)
    return;
  saros_program_release(model->program);
  saros_archive_release(model->archive);
  pool_give(&model->context->pool, model->parameters);
  base_object_free(model->context, model);
}

const char *saros_model_metadata(const saros_model *model, const char *key) {
  const saros_archive *archive = model->archive;
  for (int i = 0; i < saros_archive_metadata_count(archive); i++)
    if (strcmp(saros_archive_metadata_key(archive, i), key) == 0)
      return saros_archive_metadata_value(archive, i);
  return NULL;
}

/* --- The tensors that a program names --------------------------------------------- */

/* The tensors of the archive, by rising name. */
typedef struct named {
  const char *name;
  saros_tensor *tensor;
} named;

static int compare(const void *a, const void *b) {
  return strcmp(((const named *)a)->name, ((const named *)b)->name);
}

static saros_status expect_fit(const saros_model *model, const char *path,
                               saros_program_tensor wanted,
                               const named *found) {
  if (found == NULL)
    return saros_fail(model->context, SAROS_EFILE,
                      "model: expected the tensor \"%s\" of the program in %s, "
                      "got none",
                      wanted.name, path);
  const saros_tensor *x = found->tensor;
  if (saros_tensor_dtype(x) == SAROS_REAL && x->rank == wanted.rank &&
      memcmp(x->shape, wanted.shape,
             (size_t)wanted.rank * sizeof *wanted.shape) == 0)
    return SAROS_OK;
  return saros_fail(model->context, SAROS_EFILE,
                    "model: expected \"%s\" in %s to have the shape that the "
                    "program says, got %s",
                    wanted.name, path, TENSOR_SHAPE(x));
}

static saros_status connect(saros_model *model, const char *path, named *list) {
  int tensors = saros_archive_count(model->archive);
  int parameters = saros_program_of(model->program).parameters;
  for (int i = 0; i < tensors; i++)
    list[i] = (named){saros_archive_name(model->archive, i),
                      saros_archive_tensor(model->archive, i)};
  qsort(list, (size_t)tensors, sizeof *list, compare);
  for (int i = 0; i < parameters; i++) {
    saros_program_tensor wanted = saros_program_parameter(model->program, i);
    named key = {wanted.name, NULL};
    const named *found =
        bsearch(&key, list, (size_t)tensors, sizeof *list, compare);
    TRY(expect_fit(model, path, wanted, found));
    model->parameters[i] = found->tensor;
  }
  return SAROS_OK;
}

static saros_status find_parameters(saros_model *model, const char *path) {
  base_pool *pool = &model->context->pool;
  size_t parameters = (size_t)saros_program_of(model->program).parameters;
  size_t tensors = (size_t)saros_archive_count(model->archive);
  size_t bytes = (parameters + 1) * sizeof(saros_tensor *);
  model->parameters = pool_take(pool, bytes);
  if (model->parameters == NULL)
    return base_out_of_memory(model->context, bytes);
  named *list = pool_take(pool, (tensors + 1) * sizeof *list);
  if (list == NULL)
    return base_out_of_memory(model->context, (tensors + 1) * sizeof *list);
  saros_status status = connect(model, path, list);
  pool_give(pool, list);
  return status;
}

/* --- Loading ---------------------------------------------------------------------- */

/* Files say why a module was not traced. */
static saros_status without_program(const saros_model *model,
                                    const char *path) {
  const char *reason = saros_model_metadata(model, UNTRACED_KEY);
  return saros_fail(model->context, SAROS_EFILE,
                    "model: expected a program in the metadata of %s, got "
                    "parameters only%s%s%s",
                    path, reason != NULL ? " (" : "",
                    reason != NULL ? reason : "", reason != NULL ? ")" : "");
}

static saros_status read_model(saros_model *model, const char *path) {
  TRY(saros_safetensors_read(model->context, path, &model->archive));
  const char *text = saros_model_metadata(model, PROGRAM_KEY);
  if (text == NULL)
    return without_program(model, path);
  saros_status status =
      saros_program_read(model->context, text, strlen(text), &model->program);
  if (status == SAROS_EARGUMENT)  // the file's fault, not the caller's
    return SAROS_EFILE;
  TRY(status);
  return find_parameters(model, path);
}

saros_status saros_model_load(saros_context *context, const char *path,
                              saros_model **out) {
  TRY(base_object_new(context, sizeof(saros_model), (void **)out));
  (*out)->context = context;
  saros_status status = read_model(*out, path);
  if (status == SAROS_OK)
    return SAROS_OK;
  saros_model_release(*out);
  *out = NULL;
  return status;
}

saros_program *saros_model_program(const saros_model *model) {
  return model->program;
}

saros_tensor *const *saros_model_parameters(const saros_model *model) {
  return model->parameters;
}

saros_status saros_model_session(const saros_model *model, int streams,
                                 saros_weights weights, saros_session **out) {
  return saros_session_new(model->context, model->program, model->parameters,
                           streams, weights, out);
}

saros_status saros_model_save(const saros_model *model, const char *path) {
  return saros_safetensors_write(model->archive, path);
}
