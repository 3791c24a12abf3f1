/*
** A part of kernel.h: products with a packed matrix.
*/
#ifndef KERNEL_PACKED_H
#define KERNEL_PACKED_H

/* --- Products with a packed matrix (packed.c, packed_bf16.c, packed_int8.c,
** packed_vnni.c, packed_amx_int8.c) ----------------------------------------- */

/* A packed matrix has at most so many rows, so that a few rows of A fit on the
** stack in the form that its kind converts them to. */
#define PACKED_DEPTH 512

/* Each kind of packing is a table of this type. */
typedef struct packed_kernels {
  /* Columns that are packed side by side. A packed matrix (k, n) begins with
  ** that of its first columns, if their number is a multiple of this. */
  int width;

  /* The bytes of a packed matrix (k, n), so many reals. For a column that is a multiple of
  ** 'width', bytes(column, k) is also where that column begins. */
  size_t (*bytes)(int n, int k);

  /* Packs op(B) (k, n) for 'multiply', and with it start (n), what every row
  ** of the product starts from; null for zeros. With b_transposed, B is stored
  ** as (n, k). packed is aligned to 64 bytes. */
  void (*pack)(void *packed, const real *b, int ldb, int b_transposed,
               const real *start, int n, int k);

  /* C (m, n) = start + op(A) B for a packed B, or C += the same with 'add';
  ** otherwise C is only written. op(A) is (m, k); with a_transposed, A is
  ** stored as (k, m). C must not overlap A. Meanwhile ahead (ahead_count),
  ** which the caller will read next, is brought near; it may be null. An
  ** element of C takes the same bits whatever m and n are. */
  void (*multiply)(real *c, int ldc, const real *a, int lda, int a_transposed,
                   const void *packed, int m, int n, int k, int add,
                   const real *ahead, size_t ahead_count);
} packed_kernels;

/* The kinds. */
enum {
  PACKED_REAL,  // operands as they are (packed.c)
  PACKED_BF16,  // A and B rounded to bf16, to nearest even, where a subnormal
  // number may count as 0; start and sums are real (packed_bf16.c)
  PACKED_INT8,  // rounded to 8 bits of a scale for each row of A and column of B;
  // start and sums as above (packed_int8.c, packed_bytes.h)
  PACKED_KINDS
};

#endif
