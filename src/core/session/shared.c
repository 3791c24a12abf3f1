/*
** Weights that many contexts read. They lie in a context of their own, and other
** contexts have tensors on borrowed memory. Once it is filled nothing in it
** changes but the count of who holds it and, behind a mutex, the plans that
** sessions of all contexts read. A plan stays until all of it goes: sessions that
** come and go find it there, and there are only so many.
*/
#include <stdatomic.h>
#include <string.h>

#include "file.h"
#include "session.h"

/* Bounds what scripts can ask of the allocator that is not their own. */
#define MOST_PLANS 16

/* A plan, and what it was made of. */
typedef struct shared_plan {
  session_plan *plan;
  saros_weights weights;
  int count;
  saros_stage *stages;  // of the archive's tensors
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

/* Who lends the memory of a tensor; null if it is not shared. */
static saros_shared *lender_of(const saros_tensor *x) {
  const tensor_storage *s = x->storage;
  return s->borrowed && s->loan.release == release_user ? s->loan.user : NULL;
}

/* The tensor of ours that x is all of, or null. */
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

/* Stages of a context's tensors on the way to stages of ours. */
typedef struct borrower {
  saros_context *context;
  saros_tensor *first;   // of its tensors; null until one was seen
  saros_shared *shared;  // lends that one, and is to lend all others
} borrower;

/* Puts ours in place of tensors, of which some may be null. False if one is not
** ours. */
static int replace_tensors(borrower *b, int count, saros_tensor **x) {
  for (int i = 0; i < count; i++) {
    if (x[i] == NULL)
      continue;
    if (b->first == NULL)
      b->first = x[i], b->shared = lender_of(x[i]);
    if (x[i]->context != b->context || b->shared == NULL ||
        lender_of(x[i]) != b->shared)
      return 0;
    x[i] = own_tensor(b->shared, x[i]);
    if (x[i] == NULL)
      return 0;
  }
  return 1;
}

static int replace_stage(borrower *b, saros_stage *s) {
  enum { LAYER = sizeof(saros_layer) / sizeof(saros_tensor *) };
  _Static_assert(sizeof(saros_layer) == LAYER * sizeof(saros_tensor *),
                 "a layer is tensors and nothing else");
  const struct {
    int count;
    saros_tensor **x;
  } fields[] = {{1, &s->weight},
                {1, &s->bias},
                {LAYER, (saros_tensor **)&s->layer},
                {1, &s->norm_ih_gain},
                {1, &s->norm_ih_bias},
                {1, &s->gamma},
                {SAROS_MAX_STATES, s->first},
                {1, &s->distance}};
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
    if (!replace_tensors(b, fields[i].count, fields[i].x))
      return 0;
  return 1;
}

static void copy_recurrent(saros_stage *to, const saros_stage *from) {
  to->cell = from->cell;
  to->layer = from->layer;
  to->norm_ih_gain = from->norm_ih_gain;
  to->norm_ih_bias = from->norm_ih_bias;
  to->gamma = from->gamma;
  memcpy(to->first, from->first, sizeof to->first);
  memcpy(to->zoneout, from->zoneout, sizeof to->zoneout);
  to->residual = from->residual;
}

/* Copies the fields that the kind of a stage names, as the others may hold
** anything, into zeros, also between them: so stages compare as bytes. */
static int copy_stage(saros_stage *to, const saros_stage *from) {
  to->kind = from->kind;
  switch (from->kind) {
    case SAROS_STAGE_LAYER_NORM:
      to->epsilon = from->epsilon;  // fall through
    case SAROS_STAGE_LINEAR:
      to->bias = from->bias;  // fall through
    case SAROS_STAGE_EMBEDDING:
      to->weight = from->weight;
      return 1;
    case SAROS_STAGE_ADD:
      to->weight = from->weight;
      to->back = from->back;
      return 1;
    case SAROS_STAGE_FUNCTION:
      to->function = from->function;
      return 1;
    case SAROS_STAGE_RECURRENT:
      copy_recurrent(to, from);
      return 1;
    case SAROS_STAGE_ATTENTION:
      to->distance = from->distance;
      return 1;
    default:
      return 0;
  }
}

/* Makes of given stages those of our tensors; false if there are others. */
static int own_stages(borrower *b, int count, const saros_stage *given,
                      saros_stage *own) {
  memset(own, 0, (size_t)count * sizeof *own);
  for (int i = 0; i < count; i++)
    if (!copy_stage(&own[i], &given[i]) || !replace_stage(b, &own[i]))
      return 0;
  return b->shared != NULL &&
         b->context->kernels == b->shared->context->kernels;
}

static session_plan *find_plan(const saros_shared *shared, int count,
                               const saros_stage *stages,
                               saros_weights weights) {
  for (int i = 0; i < shared->plan_count; i++) {
    const shared_plan *known = &shared->plans[i];
    if (known->count == count && known->weights == weights &&
        memcmp(known->stages, stages, (size_t)count * sizeof *stages) == 0)
      return known->plan;
  }
  return NULL;
}

static saros_status add_plan(saros_shared *shared, int count,
                             const saros_stage *stages, saros_weights weights,
                             session_plan **out) {
  saros_context *context = shared->context;
  size_t bytes = (size_t)count * sizeof *stages;
  saros_stage *kept = pool_take(&context->pool, bytes);
  if (kept == NULL)
    return base_out_of_memory(context, bytes);
  saros_status status = session_plan_new(context, count, stages, weights, out);
  if (status != SAROS_OK) {
    pool_give(&context->pool, kept);
    return status;
  }
  memcpy(kept, stages, bytes);
  shared->plans[shared->plan_count++] =
      (shared_plan){*out, weights, count, kept};
  return SAROS_OK;
}

/* The plan of stages of our tensors; null if there are too many others. A
** message of ours becomes one of the borrower's. */
static saros_status find_or_add(const borrower *b, int count,
                                const saros_stage *stages,
                                saros_weights weights, session_plan **out) {
  saros_shared *shared = b->shared;
  saros_status status = SAROS_OK;
  pthread_mutex_lock(&shared->mutex);
  *out = find_plan(shared, count, stages, weights);
  if (*out == NULL && shared->plan_count < MOST_PLANS) {
    shared->context->index_base = b->context->index_base;
    status = add_plan(shared, count, stages, weights, out);
    if (status != SAROS_OK)
      saros_fail(b->context, status, "%s", saros_error(shared->context));
    pool_trim(&shared->context->pool);
  }
  if (*out != NULL)
    session_plan_retain(*out);
  pthread_mutex_unlock(&shared->mutex);
  return status;
}

saros_status session_plan_shared(saros_context *context, int count,
                                 const saros_stage *given,
                                 saros_weights weights, session_plan **out,
                                 saros_tensor **lender) {
  borrower b = {.context = context};
  size_t bytes = (size_t)count * sizeof *given;
  saros_status status = SAROS_OK;
  *out = NULL, *lender = NULL;
  if (count < 1)
    return SAROS_OK;
  saros_stage *own = pool_take(&context->pool, bytes);
  if (own == NULL)
    return base_out_of_memory(context, bytes);
  if (own_stages(&b, count, given, own))
    status = find_or_add(&b, count, own, weights, out);
  pool_give(&context->pool, own);
  if (*out == NULL)
    return status;
  status = tensor_alias(b.first, lender);  // as the tensor may adopt others
  if (status != SAROS_OK) {
    session_plan_release(*out);
    *out = NULL;
  }
  return status;
}
