/*
** Single kernels, their samples in turns with samples of the peak. Prints lines
** of JSON.
**
**   micro product      the recurrent product of the cases A, B, C for a block
**                      of rows: the packed kernels and OpenBLAS
**   micro activation   exp, tanh, sigmoid: time per element, and the largest
**                      error in units of the last place
*/
#include <cblas.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel.h"
#include "peak.h"

/* Short and many, so that some are undisturbed where others use the machine. */
#define SAMPLES 45
#define SAMPLE_SECONDS 0.002

/* --- Samples ------------------------------------------------------------- */

typedef struct job {
  void (*run)(const struct job *j);
  const kernels *kernels;
  kernel_unary function;
  real *out, *in, *matrix;
  void *packed;
  int kind;  // of the packed matrix
  int rows, columns, depth;
} job;

typedef struct measured {
  double seconds;   // of one run
  double peak;      // operations per second, beside it
  double fraction;  // of the peak that a run reaches
} measured;

static double time_runs(const job *j, int runs) {
  const double begin = peak_clock();
  for (int i = 0; i < runs; i++)
    j->run(j);
  return peak_clock() - begin;
}

/* The peak of what the job does. */
static double peak_of(const job *j) {
  return j->kind == PACKED_BF16 ? peak_bf16_flops(1, SAMPLE_SECONDS)
                                : peak_flops(1, SAMPLE_SECONDS);
}

/* Times samples of a job of 'flops' operations: the fastest sample, and the
** highest peak that was measured before or after one. */
static measured measure(const job *j, double flops) {
  double seconds = INFINITY, peak = 0;
  int runs = 1;
  while (time_runs(j, runs) < SAMPLE_SECONDS)  // and warm up
    runs *= 2;
  for (int i = 0; i < SAMPLES; i++) {
    peak = fmax(peak, peak_of(j));
    seconds = fmin(seconds, time_runs(j, runs) / runs);
  }
  return (measured){seconds, peak, flops / seconds / peak};
}

/* Random numbers, aligned as the pool aligns. The program ends without memory
** for them. */
static real *new_array(size_t count) {
  const size_t bytes = (count * sizeof(real) + 63) / 64 * 64;
  real *x = aligned_alloc(64, bytes);
  if (x == NULL) {
    fprintf(stderr, "micro: expected %zu bytes of memory, got none\n", bytes);
    exit(EXIT_FAILURE);
  }
  for (size_t i = 0; i < count; i++)
    x[i] = (real)(12.0 * rand() / RAND_MAX - 6);
  return x;
}

/* --- Products ------------------------------------------------------------ */

static void run_packed(const job *j) {
  j->kernels->packed[j->kind]->multiply(j->out, j->columns, j->in, j->depth, 0,
                                        j->packed, j->rows, j->columns,
                                        j->depth, 1, NULL, 0);
}

static void run_openblas(const job *j) {
  j->kernels->product->multiply(j->out, j->columns, j->in, j->depth, 0,
                                j->matrix, j->depth, 1, j->rows, j->columns,
                                j->depth, 1);
}

static void report_product(const job *j, const char *shape,
                           const char *kernel) {
  const double flops = 2.0 * j->rows * j->columns * j->depth;
  const measured m = measure(j, flops);
  printf(
      "{\"case\": \"product\", \"shape\": \"%s\", \"kernel\": \"%s\", "
      "\"rows\": %d, \"columns\": %d, \"depth\": %d, \"isa\": \"%s\", "
      "\"gflops\": %.4g, \"peak_gflops\": %.4g, \"fraction\": %.4g}\n",
      shape, kernel, j->rows, j->columns, j->depth, j->kernels->isa,
      flops / m.seconds / 1e9, m.peak / 1e9, m.fraction);
}

static void report_packed(job *j, const char *shape) {
  static const char *const names[PACKED_KINDS] = {"packed", "packed_bf16",
                                                  "packed_int8"};
  for (j->kind = 0; j->kind < PACKED_KINDS; j->kind++) {
    const packed_kernels *k = j->kernels->packed[j->kind];
    if (k == NULL)
      continue;
    j->packed = new_array(k->bytes(j->columns, j->depth) / sizeof(real) + 1);
    k->pack(j->packed, j->matrix, j->depth, 1, NULL, j->columns, j->depth);
    report_product(j, shape, names[j->kind]);
    free(j->packed);
  }
}

/* h (rows, H) times the recurrent weights (4H, H) of an LSTM, transposed; of a
** large H a layer. */
static void report_products(const kernels *k) {
  static const struct {
    const char *shape;
    int rows, H;
  } shapes[] = {{"A", 25, 128}, {"B", 32, 512}, {"C", 32, 1024}};
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
    const int H = shapes[i].H, rows = shapes[i].rows;
    const int depth = H < PACKED_DEPTH ? H : PACKED_DEPTH;
    job j = {.kernels = k, .rows = rows, .columns = 4 * H, .depth = depth};
    j.in = new_array((size_t)rows * (size_t)depth);
    j.out = new_array((size_t)rows * 4 * (size_t)H);
    j.matrix = new_array(4 * (size_t)H * (size_t)depth);
    j.run = run_packed;
    report_packed(&j, shapes[i].shape);
    j.run = run_openblas;
    report_product(&j, shapes[i].shape, "openblas");
    free(j.in), free(j.out), free(j.matrix);
  }
}

/* --- Activations --------------------------------------------------------- */

#define ELEMENTS 2048  // in and out stay in the first-level cache
#define STRIDE 2039    // of the bit patterns of floats that are looked at

static double sigmoid(double x) {
  return 1 / (1 + exp(-x));
}

typedef struct activation {
  const char *name;
  kernel_unary id;
  double (*twin)(double);
} activation;

static void run_activation(const job *j) {
  j->kernels->pointwise->unary[j->function](j->out, j->in, ELEMENTS);
}

/* The error in units of the last place of a float at 'exact'; results that
** overflow or are subnormal, which may be flushed to zero, do not count. */
static double ulps(real got, double exact) {
  if (!isfinite((float)exact) || fabs(exact) < 1.17549435e-38)
    return 0;
  return fabs((double)got - exact) / ldexp(1, ilogb(exact) - 23);
}

static double max_ulp(const kernels *k, const activation *f, real *x, real *y) {
  double worst = 0;
  for (uint64_t bits = 0; bits <= UINT32_MAX;) {
    size_t n = 0;
    for (; n < ELEMENTS && bits <= UINT32_MAX; n++, bits += STRIDE) {
      const uint32_t pattern = (uint32_t)bits;
      float value;
      memcpy(&value, &pattern, sizeof value);
      x[n] = isnan(value) ? 0 : (real)value;
    }
    k->pointwise->unary[f->id](y, x, n);
    for (size_t i = 0; i < n; i++)
      worst = fmax(worst, ulps(y[i], f->twin((double)x[i])));
  }
  return worst;
}

static void report_activations(const kernels *k) {
  static const activation functions[] = {{"exp", UNARY_EXP, exp},
                                         {"tanh", UNARY_TANH, tanh},
                                         {"sigmoid", UNARY_SIGMOID, sigmoid}};
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    const activation *f = &functions[i];
    const job j = {.run = run_activation,
                   .kernels = k,
                   .function = f->id,
                   .in = new_array(ELEMENTS),
                   .out = new_array(ELEMENTS)};
    const double seconds = measure(&j, 0).seconds;
    printf(
        "{\"case\": \"activation\", \"function\": \"%s\", \"isa\": \"%s\", "
        "\"ns_per_element\": %.4g, \"max_ulp\": %.4g}\n",
        f->name, k->isa, seconds / ELEMENTS * 1e9, max_ulp(k, f, j.in, j.out));
    free(j.in), free(j.out);
  }
}

int main(int count, char **words) {
  const char *wanted = getenv("SAROS_ISA");
  const kernels *k = kernel_select(wanted);
  if (k == NULL) {
    fprintf(stderr, "micro: expected SAROS_ISA to name kernels, got %s\n",
            wanted);
    return EXIT_FAILURE;
  }
  openblas_set_num_threads(1);
  if (count == 2 && strcmp(words[1], "product") == 0)
    report_products(k);
  else if (count == 2 && strcmp(words[1], "activation") == 0)
    report_activations(k);
  else {
    fputs("usage: micro product|activation\n", stderr);
    return EXIT_FAILURE;
  }
  return EXIT_SUCCESS;
}
