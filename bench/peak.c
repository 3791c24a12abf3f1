/*
** Independent chains of multiply-adds that stay in registers. There are enough
** of them to hide the latency (4 cycles, 2 units) and few enough to leave
** registers for the two factors. Compiled with -march=native.
**
** Every thread runs for the same time, not for the same work: where another
** program takes a part of one processor, that part is what is missing from the
** sum, as it is missing from the work that is measured between two samples.
*/
#include <pthread.h>
#include <stddef.h>
#include <time.h>

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
#define ROUNDS 20000  // of all chains, between two looks at the clock

typedef real vector __attribute__((vector_size(VECTOR_BYTES)));

#define LANES ((double)(sizeof(vector) / sizeof(real)))

typedef struct worker {
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

/* ROUNDS steps x <- x a + b of every chain; they converge to b / (1 - a). */
static void run_chains(vector *chains, vector a, vector b) {
  vector x[CHAINS];
  for (int i = 0; i < CHAINS; i++)
    x[i] = chains[i];
  for (int round = 0; round < ROUNDS; round++)
    for (int i = 0; i < CHAINS; i++)
      x[i] = x[i] * a + b;
  for (int i = 0; i < CHAINS; i++)
    chains[i] = x[i];
}

static void *work(void *argument) {
  worker *w = argument;
  vector chains[CHAINS] = {{0}};
  const vector zero = {0}, a = zero + (real)0.999, b = zero + (real)0.001;
  const double begin = peak_clock();
  double now = begin, batches = 0;
  while (now - begin < w->seconds) {
    run_chains(chains, a, b);
    batches++;
    now = peak_clock();
  }
  for (int i = 0; i < CHAINS; i++)
    w->kept += chains[i];
  w->flops_per_second = batches * ROUNDS * CHAINS * LANES * 2 / (now - begin);
  return NULL;
}

double peak_flops(int threads, double seconds) {
  worker workers[PEAK_MAX_THREADS] = {{.seconds = seconds}};
  int started = 1;
  for (; started < threads && started < PEAK_MAX_THREADS; started++) {
    workers[started].seconds = seconds;
    if (pthread_create(&workers[started].thread, NULL, work,
                       &workers[started]) != 0)
      break;
  }
  work(&workers[0]);
  double sum = workers[0].flops_per_second;
  for (int i = 1; i < started; i++) {
    pthread_join(workers[i].thread, NULL);
    sum += workers[i].flops_per_second;
  }
  return sum;
}
