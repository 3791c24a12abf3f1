/*
** The peak of fused multiply-add: what this machine's arithmetic could do at
** this moment, against which the benchmark holds everything else.
*/
#ifndef PEAK_H
#define PEAK_H

/* So many threads can be measured at once. */
#define PEAK_MAX_THREADS 256

/*
** Floating-point operations per second (two per multiply-add) of 'threads'
** threads that do nothing else for so many seconds, in the elements of this
** build and in the widest vectors of this machine. Threads that could not be
** started count as idle.
*/
double peak_flops(int threads, double seconds);

/* The same of products of bf16 with sums in float, by the best instruction that
** this machine has: tiles of AMX, vdpbf16ps, or multiply-adds of floats. */
double peak_bf16_flops(int threads, double seconds);

/* Seconds since some moment in the past. */
double peak_clock(void);

#endif
