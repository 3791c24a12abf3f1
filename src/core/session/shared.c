/*
** Weights that many contexts read. A saros_shared has a context of its own with
** the weights; tensors of other contexts borrow this memory. Once it is filled,
** only two things change: its reference count, and, under a mutex, its list of
** plans, which sessions of all contexts share. A plan is kept until the
** saros_shared is freed, so that later sessions find it; MOST_PLANS bounds the list.
*/
#include <stdatomic.h>
#include <string.h>

#include "file.h"
#include "session.h"

/* Bounds what scripts can take from an allocator that is not their own. */
#define MOST_PLANS 16

/* A plan, and what it was made from. */
typedef struct shared_plan {
  session_plan *plan;
  saros_weights weights;
  saros_tensor **parameters;  // of the archive, in the order of its program
} shared_plan;

struct saros_shared {
  atomic_int references;
  saros_context *context;  // its own
  saros_archive *archive;  // there
  pthread_mutex_t mutex;   // whose holder may use the context, and what follows
  int plan_count;
  shared_plan plans[MOST_PLANS];
};

/* --- Life ----------------------------------------------------------------- */

static saros_status copy_tensor(saros_archive *to, const char *name,
                                const saros_tensor *x) {
  saros_tensor *copy;
  TRY(tensor_new(to->context, x->dtype, x->rank, x->shape, &copy));
  tensor_copy(copy, x);
  saros_status status = file_archive_append(to, name, copy);
  saros_tensor_release(copy);
  return status;
}

static saros_status copy_archive(saros_archive *to, const saros_archive *from) {
  for (int i = 0; i < from->tensor_count; i++)
    TRY(copy_tensor(to, from->tensors[i].name, from->tensors[i].tensor));
  for (int i = 0; i < from->text_count; i++)
    TRY(file_archive_append_metadata(to, from->texts[i].key,
                                     from->texts[i].value));
  return SAROS_OK;
}

static saros_status fill(saros_context *context, const saros_archive *from,
                         saros_shared **out) {
  saros_shared *shared;
  TRY(base_object_new(context, sizeof *shared, (void **)&shared));
  atomic_init(&shared->references, 1);
  shared->context = context;
  TRY(saros_archive_new(context, &shared->archive));
  TRY(copy_archive(shared->archive, from));
  pthread_mutex_init(&shared->mutex, NULL);
  *out = shared;
  return SAROS_OK;
}

saros_status saros_shared_new(const saros_archive *archive,
                              saros_allocator allocator, void *user,
                              saros_shared **out) {
  *out = NULL;
  saros_context *context = saros_context_new(allocator, user);
  if (context == NULL)
    return base_out_of_memory(archive->context, sizeof *context);
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
  if (shared == NULL || atomic_fetch_sub(&shared->references, 1) > 1)
    return;
  pthread_mutex_destroy(&shared->mutex);
  saros_context_destroy(shared->context);
}

size_t saros_shared_bytes(saros_shared *shared) {
  pthread_mutex_lock(&shared->mutex);
  size_t bytes = saros_memory_of(shared->context).in_use;
  pthread_mutex_unlock(&shared->mutex);
  return bytes;
}

/* --- Use ------------------------------------------------------------------ */

static void release_user(void *user) {
  saros_shared_release(user);
}

static saros_status borrow(saros_shared *shared,
                           const file_archive_tensor *from, saros_archive *to) {
  const saros_tensor *x = from->tensor;
  saros_tensor *view;
  const saros_buffer buffer = {x->storage->data, 1, release_user, shared};
  TRY(saros_tensor_wrap(to->context, x->dtype, x->rank, x->shape, &buffer,
                        &view));
  saros_shared_retain(shared);
  saros_status status = file_archive_append(to, from->name, view);
  saros_tensor_release(view);
  return status;
}

static saros_status borrow_all(saros_shared *shared, saros_archive *to) {
  const saros_archive *from = shared->archive;
  for (int i = 0; i < from->tensor_count; i++)
    TRY(borrow(shared, &from->tensors[i], to));
  for (int i = 0; i < from->text_count; i++)
    TRY(file_archive_append_metadata(to, from->texts[i].key,
                                     from->texts[i].value));
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

/* --- Plans ---------------------------------------------------------------- */

/* The saros_shared that owns the memory of a tensor; null if none does. */
static saros_shared *lender_of(const saros_tensor *x) {
  const tensor_storage *s = x->storage;
  return s->borrowed && s->loan.release == release_user ? s->loan.user : NULL;
}

/* The shared tensor whose elements are those of x, all and in order; or null. */
static saros_tensor *own_tensor(const saros_shared *shared,
                                const saros_tensor *x) {
  const saros_archive *own = shared->archive;
  for (int i = 0; i < own->tensor_count; i++) {
    saros_tensor *found = own->tensors[i].tensor;
    if (found->storage->data == x->storage->data)
      return x->offset == 0 && tensor_same_shape(found, x) &&
                     saros_tensor_is_contiguous(x)
                 ? found
                 : NULL;
  }
  return NULL;
}

/* A request for a plan, by a session of some context. */
typedef struct borrower {
  saros_context *context;
  const saros_program *program;
  saros_weights weights;
  saros_shared *shared;  // owns the memory of all parameters
  saros_tensor **own;    // the shared tensors, one for each parameter
} borrower;

/* Finds the shared tensors of the parameters. False if one is not shared. */
static int find_parameters(borrower *b, saros_tensor *const *parameters) {
  const int count = b->program->parameter_count;
  b->shared = count > 0 ? lender_of(parameters[0]) : NULL;
  if (b->shared == NULL || b->context->kernels != b->shared->context->kernels)
    return 0;
  for (int i = 0; i < count; i++) {
    if (lender_of(parameters[i]) != b->shared)
      return 0;
    b->own[i] = own_tensor(b->shared, parameters[i]);
    if (b->own[i] == NULL)
      return 0;
  }
  return 1;
}

static int is_wanted(const borrower *b, const shared_plan *known) {
  const saros_program *program = known->plan->program;
  return known->weights == b->weights && program->size == b->program->size &&
         memcmp(program->text, b->program->text, program->size) == 0 &&
         memcmp(known->parameters, b->own,
                (size_t)program->parameter_count * sizeof *b->own) == 0;
}

static session_plan *find_plan(const borrower *b) {
  const saros_shared *shared = b->shared;
  for (int i = 0; i < shared->plan_count; i++)
    if (is_wanted(b, &shared->plans[i]))
      return shared->plans[i].plan;
  return NULL;
}

/* A plan in the shared context. The program is read again in that context. */
static saros_status make_plan(const borrower *b, session_plan **out) {
  saros_context *context = b->shared->context;
  saros_program *program;
  TRY(saros_program_read(context, b->program->text, b->program->size,
                         &program));
  saros_status status =
      session_plan_new(context, program, b->own, b->weights, out);
  saros_program_release(program);
  return status;
}

static saros_status add_plan(const borrower *b, session_plan **out) {
  saros_shared *shared = b->shared;
  saros_context *context = shared->context;
  size_t bytes = (size_t)b->program->parameter_count * sizeof *b->own;
  saros_tensor **kept = pool_take(&context->pool, bytes);
  if (kept == NULL)
    return base_out_of_memory(context, bytes);
  saros_status status = make_plan(b, out);
  if (status != SAROS_OK) {
    pool_give(&context->pool, kept);
    return status;
  }
  memcpy(kept, b->own, bytes);
  shared->plans[shared->plan_count++] = (shared_plan){*out, b->weights, kept};
  return SAROS_OK;
}

/* The plan from the list, or a new one; null if the list is full. An error message
** of the shared context is copied to the borrower's. */
static saros_status find_or_add(const borrower *b, session_plan **out) {
  saros_shared *shared = b->shared;
  saros_status status = SAROS_OK;
  pthread_mutex_lock(&shared->mutex);
  *out = find_plan(b);
  if (*out == NULL && shared->plan_count < MOST_PLANS) {
    shared->context->index_base = b->context->index_base;
    status = add_plan(b, out);
    if (status != SAROS_OK)
      saros_fail(b->context, status, "%s", saros_error(shared->context));
    pool_trim(&shared->context->pool);
  }
  if (*out != NULL)
    session_plan_retain(*out);
  pthread_mutex_unlock(&shared->mutex);
  return status;
}

saros_status session_plan_shared(saros_context *context, saros_program *program,
                                 saros_tensor *const *parameters,
                                 saros_weights weights, session_plan **out,
                                 saros_tensor **lender) {
  borrower b = {.context = context, .program = program, .weights = weights};
  const size_t bytes = ((size_t)program->parameter_count + 1) * sizeof *b.own;
  saros_status status = SAROS_OK;
  *out = NULL, *lender = NULL;
  b.own = pool_take(&context->pool, bytes);
  if (b.own == NULL)
    return base_out_of_memory(context, bytes);
  if (find_parameters(&b, parameters))
    status = find_or_add(&b, out);
  pool_give(&context->pool, b.own);
  if (*out == NULL)
    return status;
  // an alias, as the tensor may adopt other elements
  status = tensor_alias(parameters[0], lender);
  if (status != SAROS_OK) {
    session_plan_release(*out);
    *out = NULL;
  }
  return status;
}
