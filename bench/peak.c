/*
** Independent chains of multiply-adds that stay in registers. There are enough
** of them to hide the latency (4 cycles, 2 units) and few enough to leave
** registers for the two factors. Compiled with -march=native. Tiles have four
** chains, as the kernels do.
**
** Every thread runs for the same time, not for the same work: where another
** program takes a part of one processor, that part is what is missing from the
** sum, as it is missing from the work that is measured between two samples.
*/
#include <pthread.h>
#include <stddef.h>
#include <time.h>
#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

#include "kernel.h"
#include "peak.h"

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif

#define CHAINS 12
#define PAIR_CHAINS 16  // their latency is longer
#define ROUNDS 20000    // of all chains, between two looks at the clock

typedef real vector __attribute__((vector_size(VECTOR_BYTES)));

#define LANES ((double)(sizeof(vector) / sizeof(real)))

/* Runs ROUNDS of all chains, and says how many operations these were. */
typedef double batch(vector *kept);

typedef struct worker {
  batch *run;
  double seconds;
  double flops_per_second;
  vector kept;  // so that the compiler cannot drop the sums
  pthread_t thread;
} worker;

double peak_clock(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* x <- x a + b in every chain; they converge to b / (1 - a). */
static double run_reals(vector *kept) {
  const vector zero = {0}, a = zero + (real)0.999, b = zero + (real)0.001;
  vector x[CHAINS];
  for (int i = 0; i < CHAINS; i++)
    x[i] = *kept;
  for (int round = 0; round < ROUNDS; round++)
    for (int i = 0; i < CHAINS; i++)
      x[i] = x[i] * a + b;
  for (int i = 0; i < CHAINS; i++)
    *kept += x[i] / CHAINS;
  return ROUNDS * CHAINS * LANES * 2;
}

#if defined(__AVX512BF16__) && !defined(SAROS_DOUBLE)
/* x <- x + a b of pairs, which stay zeros */
static double run_pairs(vector *kept) {
  const __m512bh none = (__m512bh)_mm512_setzero_si512();
  __m512 x[PAIR_CHAINS];
  for (int i = 0; i < PAIR_CHAINS; i++)
    x[i] = (__m512)*kept;
  for (int round = 0; round < ROUNDS; round++)
    for (int i = 0; i < PAIR_CHAINS; i++)
      x[i] = _mm512_dpbf16_ps(x[i], none, none);
  for (int i = 0; i < PAIR_CHAINS; i++)
    *kept += (vector)x[i];
  return ROUNDS * PAIR_CHAINS * LANES * 4;
}
#define RUN_BF16 run_pairs
#else
#define RUN_BF16 run_reals
#endif

#if (defined(__AMX_BF16__) || defined(__AMXBF16__)) && defined(__linux__) &&   \
    !defined(SAROS_DOUBLE)
#include <sys/syscall.h>
#include <unistd.h>

#include "amx_tiles.h"

static int has_tiles(void) {
  enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
  return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}

static double run_tiles(vector *kept) {
  (void)kept;
  kernel_tile_shapes shapes = {.palette = 1};
  for (int tile = 0; tile < 8; tile++)
    shapes.row_bytes[tile] = 64, shapes.rows[tile] = 16;
  KERNEL_TILE_CONFIGURE(&shapes);
  for (int round = 0; round < ROUNDS; round++) {
    KERNEL_TILE_DOT_BF16(0, 4, 6);
    KERNEL_TILE_DOT_BF16(1, 4, 7);
    KERNEL_TILE_DOT_BF16(2, 5, 6);
    KERNEL_TILE_DOT_BF16(3, 5, 7);
  }
  KERNEL_TILE_RELEASE();
  return ROUNDS * 4.0 * 16 * 16 * 32 * 2;
}
#else
#define run_tiles RUN_BF16

static int has_tiles(void) {
  return 0;
}
#endif

static void *work(void *argument) {
  worker *w = argument;
  const double begin = peak_clock();
  double now = begin, flops = 0;
  while (now - begin < w->seconds) {
    flops += w->run(&w->kept);
    now = peak_clock();
  }
  w->flops_per_second = flops / (now - begin);
  return NULL;
}

static double flops_of(batch *run, int threads, double seconds) {
  worker workers[PEAK_MAX_THREADS];
  for (int i = 0; i < threads && i < PEAK_MAX_THREADS; i++)
    workers[i] = (worker){.run = run, .seconds = seconds};
  int started = 1;
  for (; started < threads && started < PEAK_MAX_THREADS; started++)
    if (pthread_create(&workers[started].thread, NULL, work,
                       &workers[started]) != 0)
      break;
  work(&workers[0]);
  double sum = workers[0].flops_per_second;
  for (int i = 1; i < started; i++) {
    pthread_join(workers[i].thread, NULL);
    sum += workers[i].flops_per_second;
  }
  return sum;
}

double peak_flops(int threads, double seconds) {
  return flops_of(run_reals, threads, seconds);
}

double peak_bf16_flops(int threads, double seconds) {
  return flops_of(has_tiles() ? run_tiles : RUN_BF16, threads, seconds);
}
