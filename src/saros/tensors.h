/*
** Tensors: their life, their contents, views and copies, and random numbers to fill
** them with.
*/
#ifndef SAROS_TENSORS_H
#define SAROS_TENSORS_H

#include "context.h"

SAROS_BEGIN

/* --- Tensors -------------------------------------------------------------- */

/* A new tensor of zeros. rank 0..SAROS_MAX_RANK; sizes >= 0; their product
** must be at most 2^40 - 1 elements. */
SAROS_API saros_status saros_tensor_new(saros_context *context,
                                        saros_dtype dtype, int rank,
                                        const int *shape, saros_tensor **out);

SAROS_API saros_tensor *saros_tensor_retain(saros_tensor *tensor);
SAROS_API void saros_tensor_release(saros_tensor *tensor);  // null is allowed

SAROS_API saros_context *saros_tensor_context(const saros_tensor *tensor);
SAROS_API saros_dtype saros_tensor_dtype(const saros_tensor *tensor);
SAROS_API int saros_tensor_rank(const saros_tensor *tensor);
SAROS_API const int *saros_tensor_shape(const saros_tensor *tensor);
SAROS_API size_t saros_tensor_count(const saros_tensor *tensor);
SAROS_API size_t saros_tensor_bytes(const saros_tensor *tensor);
SAROS_API int saros_tensor_is_contiguous(const saros_tensor *tensor);

/* The elements in row-major order, for as long as the tensor lives; null
** unless the tensor is contiguous and of that type. Writing through them goes
** past the check of saros_tensor_writable. */
SAROS_API saros_real *saros_tensor_reals(saros_tensor *tensor);
SAROS_API int32_t *saros_tensor_ids(saros_tensor *tensor);

/* One element by its row-major position 0..count-1, whatever the strides.
** The position is not checked. */
SAROS_API double saros_tensor_get(const saros_tensor *tensor, size_t position);

/* 1 unless an element is an infinity or no number at all. */
SAROS_API int saros_all_finite(const saros_tensor *tensor);

/* A number that tells shape and bits of a tensor from those of others: against
** accidents, not against forgers. The same on every machine for the same type
** of elements. */
SAROS_API uint64_t saros_digest(const saros_tensor *tensor);

/* Memory of the host's. */
typedef struct saros_buffer {
  void *data;                   // aligned as its elements are
  int read_only;                // may nothing write to it?
  void (*release)(void *user);  // or null
  void *user;
} saros_buffer;

/*
** A tensor on memory of the host's, row-major, which is neither copied nor
** freed; views of it and what a tape saves use it, too. When nothing does any
** more, at the latest when the context is destroyed, release(user) is called,
** once, in the thread that lets go. On error it is not called.
*/
SAROS_API saros_status saros_tensor_wrap(saros_context *context,
                                         saros_dtype dtype, int rank,
                                         const int *shape,
                                         const saros_buffer *buffer,
                                         saros_tensor **out);

/* A read-only tensor of zeros that takes the memory of one element, whatever its
** shape: to be given others' elements by saros_tensor_adopt. */
SAROS_API saros_status saros_tensor_blank(saros_context *context, int rank,
                                          const int *shape, saros_tensor **out);

/* A copy that nothing can ever write to, without history. Where products are made in
** low precision, the form that they bring a frozen matrix into is kept with it, from
** call to call; its memory is given back with that of the copy. */
SAROS_API saros_status saros_tensor_frozen(saros_tensor *x, saros_tensor **out);

/* Makes the tensor a second one on the elements of source, which has its shape
** and type, and gives up its own; views of those keep them. SAROS_ESTATE as
** below, except that a read-only tensor may do so. */
SAROS_API saros_status saros_tensor_adopt(saros_tensor *tensor,
                                          saros_tensor *source);

/* SAROS_ESTATE, naming the operation, if the open tape still needs the
** contents of the tensor, or if it is read-only. 'function' begins the
** message. */
SAROS_API saros_status saros_tensor_writable(const saros_tensor *tensor,
                                             const char *function);

/* In place; fill, clamp and add_scaled are for real tensors. SAROS_ESTATE as
** above, and when the source is on the open tape:
** an assignment is not recorded, so its gradient would be lost. */
SAROS_API saros_status saros_fill(saros_tensor *tensor, double value);
SAROS_API saros_status saros_assign(saros_tensor *tensor, saros_tensor *source);
SAROS_API saros_status saros_clamp(saros_tensor *tensor, double low,
                                   double high);
SAROS_API saros_status saros_add_scaled(saros_tensor *tensor, double alpha,
                                        saros_tensor *source);

/* --- Views: share storage with x, differentiable --------------------------- */

/* Positions first..last-1 of an axis. */
SAROS_API saros_status saros_slice(saros_tensor *x, int axis, int first,
                                   int last, saros_tensor **out);
/* Positions first, first + step, ... of an axis, 'count' of them, all within the
** axis. A negative step, which reads backwards, makes a copy. */
SAROS_API saros_status saros_slice_step(saros_tensor *x, int axis, int first,
                                        int count, int step,
                                        saros_tensor **out);
/* One position of an axis, which disappears. */
SAROS_API saros_status saros_select(saros_tensor *x, int axis, int position,
                                    saros_tensor **out);
SAROS_API saros_status saros_transpose(saros_tensor *x, int axis1, int axis2,
                                       saros_tensor **out);
/* The same elements in row-major order under another shape; one size may be
** -1: the rest. Copies where the strides of x allow no view. */
SAROS_API saros_status saros_reshape(saros_tensor *x, int rank,
                                     const int *shape, saros_tensor **out);

/* Elements of x, which is contiguous and without history, from the place 'offset'
** on, so many elements apart on each axis: a view. All must lie within x. */
SAROS_API saros_status saros_strided(saros_tensor *x, int64_t offset, int rank,
                                     const int *shape, const int64_t *stride,
                                     saros_tensor **out);

/* --- Copies ----------------------------------------------------------------- */

/* Contiguous and on its own storage; differentiable. */
SAROS_API saros_status saros_clone(saros_tensor *x, saros_tensor **out);
/* A copy with the positions of an axis in reverse; differentiable. */
SAROS_API saros_status saros_flip(saros_tensor *x, int axis,
                                  saros_tensor **out);
/* x itself, retained, if it is contiguous; otherwise a clone. */
SAROS_API saros_status saros_contiguous(saros_tensor *x, saros_tensor **out);
/* x without history: a view that no gradient flows through. */
SAROS_API saros_status saros_detach(saros_tensor *x, saros_tensor **out);
/* Several tensors along an existing axis, or along a new one. */
SAROS_API saros_status saros_concatenate(saros_context *context, int count,
                                         saros_tensor *const *x, int axis,
                                         saros_tensor **out);
SAROS_API saros_status saros_stack(saros_context *context, int count,
                                   saros_tensor *const *x, int axis,
                                   saros_tensor **out);

/* --- Random numbers ---------------------------------------------------------------- */

/*
** A generator: xoshiro256++ (Blackman and Vigna 2019), seeded through
** splitmix64. Same seed, same numbers, on every machine for uniform and ids.
*/
SAROS_API saros_status saros_generator_new(saros_context *context,
                                           uint64_t seed,
                                           saros_generator **out);
SAROS_API void saros_generator_release(saros_generator *generator);
SAROS_API void saros_generator_seed(saros_generator *generator, uint64_t seed);
#define SAROS_GENERATOR_WORDS 4
SAROS_API void saros_generator_save(const saros_generator *generator,
                                    uint64_t words[SAROS_GENERATOR_WORDS]);
/* SAROS_EARGUMENT if all words are 0: no generator has that state. */
SAROS_API saros_status saros_generator_restore(
    saros_generator *generator, const uint64_t words[SAROS_GENERATOR_WORDS]);

/* A number in [0, 1), with 53 random bits. */
SAROS_API double saros_uniform(saros_generator *generator);
/* A whole number in 0..limit-1, each as likely; limit >= 1. */
SAROS_API uint64_t saros_below(saros_generator *generator, uint64_t limit);

/* Fill a real tensor, in place. SAROS_ESTATE as saros_fill. */
SAROS_API saros_status saros_fill_uniform(saros_generator *generator,
                                          double low, double high,
                                          saros_tensor *tensor);
SAROS_API saros_status saros_fill_normal(saros_generator *generator,
                                         double mean, double deviation,
                                         saros_tensor *tensor);
/* Rows (or columns, if fewer) that are orthonormal, times gain (Saxe,
** McClelland and Ganguli 2014). Rank 2. */
SAROS_API saros_status saros_fill_orthogonal(saros_generator *generator,
                                             double gain, saros_tensor *tensor);

/* Draws from weights (S..., V), >= 0, finite, not all 0 in a row: ids of shape
** S, each with probability proportional to its weight. */
SAROS_API saros_status saros_categorical(saros_generator *generator,
                                         saros_tensor *weights,
                                         saros_tensor **out);
/* The ids 0..n-1 in random order. */
SAROS_API saros_status saros_permutation(saros_generator *generator, int n,
                                         saros_tensor **out);

SAROS_END

#endif
