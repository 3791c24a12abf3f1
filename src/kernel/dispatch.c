/*
** The sets of kernels this binary holds, best first, and the choice among
** them. HAVE_X86_ISAS says that the kernels were also compiled for the wider
** instruction sets of x86-64; elsewhere the compiler's default, which on ARM64
** includes NEON, is the only set.
*/
#include <string.h>

#include "kernel.h"

typedef struct candidate {
  kernels set;
  int (*runs)(void);  // does this processor run it?
} candidate;

static int always(void) {
  return 1;
}

#ifdef HAVE_X86_ISAS
static int runs_avx2(void) {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static int runs_avx512(void) {
  return runs_avx2() && __builtin_cpu_supports("avx512f") &&
         __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq");
}

#ifndef SAROS_DOUBLE
static int runs_avx512vnni(void) {
  return runs_avx512() && __builtin_cpu_supports("avx512vnni");
}
#endif
#endif

#define BASELINE(family) .family = &KERNEL_NAME(family, baseline),
#define AVX2(family) .family = &KERNEL_NAME(family, avx2),
#define AVX512(family) .family = &KERNEL_NAME(family, avx512),

#define KERNEL_SET(SET, ISA) KERNEL_SET_WITH(ISA, SET, ISA, step_int8)

#define KERNEL_SET_WITH(NAME, SET, ISA, STEP_OF_INT8)                          \
  {                                                                            \
    .isa = #NAME,                                                              \
    KERNEL_FAMILIES(SET).packed = {&KERNEL_NAME(packed, ISA),                  \
                                   &KERNEL_NAME(packed_bf16, ISA), NULL},      \
    .step = {                                                                  \
      &KERNEL_NAME(step, ISA),                                                 \
      &KERNEL_NAME(step_bf16, ISA),                                            \
      &KERNEL_NAME(STEP_OF_INT8, ISA)                                          \
    }                                                                          \
  }

static const candidate candidates[] = {
#ifdef HAVE_X86_ISAS
#ifndef SAROS_DOUBLE
    {KERNEL_SET_WITH(avx512vnni, AVX512, avx512, step_vnni), runs_avx512vnni},
#endif
    {KERNEL_SET(AVX512, avx512), runs_avx512},
    {KERNEL_SET(AVX2, avx2), runs_avx2},
#endif
    {KERNEL_SET(BASELINE, baseline), always},
};

#define CANDIDATES ((int)(sizeof candidates / sizeof *candidates))

const kernels *kernel_select(const char *name) {
  for (int i = 0; i < CANDIDATES; i++) {
    const candidate *c = &candidates[i];
    if ((name == NULL || strcmp(name, c->set.isa) == 0) && c->runs())
      return &c->set;
  }
  return NULL;
}

const char *kernel_set_name(int index) {
  for (int i = 0; i < CANDIDATES; i++)
    if (candidates[i].runs() && index-- == 0)
      return candidates[i].set.isa;
  return NULL;
}
