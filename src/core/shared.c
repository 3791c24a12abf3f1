/*
** Weights that many contexts read. They lie in a context of their own that
** nobody uses once it is filled, so nothing in it changes but the count of who
** holds it; other contexts have tensors on borrowed memory.
*/
#include <stdatomic.h>

#include "archive.h"

struct saros_shared {
  atomic_int references;
  saros_context *context;  // its own
  saros_archive *archive;  // there
};

/* --- Life ----------------------------------------------------------------- */

static saros_status copy_tensor(saros_archive *to, const char *name,
                                const saros_tensor *x) {
  saros_tensor *copy;
  TRY(tensor_new(to->context, x->dtype, x->rank, x->shape, &copy));
  tensor_copy(copy, x);
  saros_status status = archive_append(to, name, copy);
  saros_tensor_release(copy);
  return status;
}

static saros_status copy_archive(saros_archive *to, const saros_archive *from) {
  for (int i = 0; i < from->tensor_count; i++)
    TRY(copy_tensor(to, from->tensors[i].name, from->tensors[i].tensor));
  for (int i = 0; i < from->text_count; i++)
    TRY(archive_append_metadata(to, from->texts[i].key, from->texts[i].value));
  return SAROS_OK;
}

static saros_status fill(saros_context *context, const saros_archive *from,
                         saros_shared **out) {
  saros_shared *shared;
  TRY(object_new(context, sizeof *shared, (void **)&shared));
  atomic_init(&shared->references, 1);
  shared->context = context;
  TRY(saros_archive_new(context, &shared->archive));
  TRY(copy_archive(shared->archive, from));
  *out = shared;
  return SAROS_OK;
}

saros_status saros_shared_new(const saros_archive *archive,
                              saros_allocator allocator, void *user,
                              saros_shared **out) {
  *out = NULL;
  saros_context *context = saros_context_new(allocator, user);
  if (context == NULL)
    return out_of_memory(archive->context, sizeof *context);
  saros_status status = fill(context, archive, out);
  if (status != SAROS_OK) {
    saros_fail(archive->context, status, "%s", saros_error(context));
    saros_context_destroy(context);
  }
  return status;
}

saros_shared *saros_shared_retain(saros_shared *shared) {
  atomic_fetch_add(&shared->references, 1);
  return shared;
}

void saros_shared_release(saros_shared *shared) {
  if (shared != NULL && atomic_fetch_sub(&shared->references, 1) == 1)
    saros_context_destroy(shared->context);
}

size_t saros_shared_bytes(const saros_shared *shared) {
  return saros_memory_of(shared->context).in_use;
}

/* --- Use ------------------------------------------------------------------ */

static void release_user(void *user) {
  saros_shared_release(user);
}

static saros_status borrow(saros_shared *shared, const archive_tensor *from,
                           saros_archive *to) {
  const saros_tensor *x = from->tensor;
  saros_tensor *view;
  const saros_buffer buffer = {x->storage->data, 1, release_user, shared};
  TRY(saros_tensor_wrap(to->context, x->dtype, x->rank, x->shape, &buffer,
                        &view));
  saros_shared_retain(shared);
  saros_status status = archive_append(to, from->name, view);
  saros_tensor_release(view);
  return status;
}

static saros_status borrow_all(saros_shared *shared, saros_archive *to) {
  const saros_archive *from = shared->archive;
  for (int i = 0; i < from->tensor_count; i++)
    TRY(borrow(shared, &from->tensors[i], to));
  for (int i = 0; i < from->text_count; i++)
    TRY(archive_append_metadata(to, from->texts[i].key, from->texts[i].value));
  return SAROS_OK;
}

saros_status saros_shared_archive(saros_shared *shared, saros_context *context,
                                  saros_archive **out) {
  *out = NULL;
  saros_archive *archive;
  TRY(saros_archive_new(context, &archive));
  saros_status status = borrow_all(shared, archive);
  if (status == SAROS_OK)
    *out = archive;
  else
    saros_archive_release(archive);
  return status;
}
