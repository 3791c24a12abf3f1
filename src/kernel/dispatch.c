/*
** The sets of kernels this binary holds, best first, and the choice among
** them. HAVE_X86_ISAS says that the kernels were also compiled for the wider
** instruction sets of x86-64; elsewhere the compiler's default, which on ARM64
** includes NEON, is the only set.
*/
#include <string.h>
#if defined(HAVE_X86_ISAS) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

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

static int runs_avx512bf16(void) {
  return runs_avx512vnni() && __builtin_cpu_supports("avx512bf16");
}

/* Linux gives the state of tiles only to a process that has asked for it; asking
** again does no harm. */
static int runs_avx512amx(void) {
#ifdef __linux__
  enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
  const unsigned wanted = 1u << 22 | 1u << 24 | 1u << 25;  // bf16, tile, int8
  unsigned a, b, c, d;
  return runs_avx512bf16() && __get_cpuid_count(7, 0, &a, &b, &c, &d) &&
         (d & wanted) == wanted &&
         syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
#else
  return 0;
#endif
}
#endif
#endif

#define BASELINE(family) .family = &KERNEL_NAME(family, baseline),
#define AVX2(family) .family = &KERNEL_NAME(family, avx2),
#define AVX512(family) .family = &KERNEL_NAME(family, avx512),

#define KERNEL_SET(SET, ISA)                                                   \
  KERNEL_SET_WITH(ISA, SET, ISA, packed_bf16, packed_int8, step_int8)

#define KERNEL_SET_WITH(NAME, SET, ISA, PACKED_OF_BF16, PACKED_OF_INT8,        \
                        STEP_OF_INT8)                                          \
  {                                                                            \
    .isa = #NAME,                                                              \
    KERNEL_FAMILIES(SET).packed = {&KERNEL_NAME(packed, ISA),                  \
                                   &KERNEL_NAME(PACKED_OF_BF16, ISA),          \
                                   &KERNEL_NAME(PACKED_OF_INT8, ISA)},         \
    .step = {                                                                  \
      &KERNEL_NAME(step, ISA),                                                 \
      &KERNEL_NAME(step_bf16, ISA),                                            \
      &KERNEL_NAME(STEP_OF_INT8, ISA)                                          \
    }                                                                          \
  }

static const candidate candidates[] = {
#ifdef HAVE_X86_ISAS
#ifndef SAROS_DOUBLE
    {KERNEL_SET_WITH(avx512amx, AVX512, avx512, packed_amx, packed_amx_int8,
                     step_vnni),
     runs_avx512amx},
    {KERNEL_SET_WITH(avx512bf16, AVX512, avx512, packed_avx512bf16, packed_vnni,
                     step_vnni),
     runs_avx512bf16},
    {KERNEL_SET_WITH(avx512vnni, AVX512, avx512, packed_bf16, packed_vnni,
                     step_vnni),
     runs_avx512vnni},
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
