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

#define KERNEL_SET(ISA) KERNEL_SET_WITH(ISA, ISA, &KERNEL_NAME(step_int8, ISA))

#define KERNEL_SET_WITH(NAME, ISA, STEP_OF_INT8)                               \
  {                                                                            \
    .isa = #NAME, .pointwise = &KERNEL_NAME(pointwise, ISA),                   \
    .product = &KERNEL_NAME(product, ISA),                                     \
    .packed = &KERNEL_NAME(packed, ISA), .reduce = &KERNEL_NAME(reduce, ISA),  \
    .softmax = &KERNEL_NAME(softmax, ISA), .loss = &KERNEL_NAME(loss, ISA),    \
    .ctc = &KERNEL_NAME(ctc, ISA), .crf = &KERNEL_NAME(crf, ISA),              \
    .layer_norm = &KERNEL_NAME(layer_norm, ISA),                               \
    .lookup = &KERNEL_NAME(lookup, ISA), .elman = &KERNEL_NAME(elman, ISA),    \
    .lstm = &KERNEL_NAME(lstm, ISA), .gru = &KERNEL_NAME(gru, ISA),            \
    .scan = &KERNEL_NAME(scan, ISA), .blend = &KERNEL_NAME(blend, ISA),        \
    .attention = &KERNEL_NAME(attention, ISA),                                 \
    .update = &KERNEL_NAME(update, ISA), .strip = &KERNEL_NAME(strip, ISA),    \
    .step = {&KERNEL_NAME(step, ISA), &KERNEL_NAME(step_bf16, ISA),            \
             STEP_OF_INT8},                                                    \
  }

static const candidate candidates[] = {
#ifdef HAVE_X86_ISAS
#ifndef SAROS_DOUBLE
    {KERNEL_SET_WITH(avx512vnni, avx512, &KERNEL_NAME(step_vnni, avx512)),
     runs_avx512vnni},
#endif
    {KERNEL_SET(avx512), runs_avx512},
    {KERNEL_SET(avx2), runs_avx2},
#endif
    {KERNEL_SET(baseline), always},
};

const kernels *kernel_select(const char *name) {
  const size_t count = sizeof candidates / sizeof *candidates;
  for (size_t i = 0; i < count; i++) {
    const candidate *c = &candidates[i];
    if ((name == NULL || strcmp(name, c->set.isa) == 0) && c->runs())
      return &c->set;
  }
  return NULL;
}
