/*
** Steps from weights in int8. They become floats on the way, so that what they
** are multiplied with keeps all digits, and a NaN in it remains one.
*/
#include "step_int8.h"

#define STEP_PACKING step_int8

#include "step_packing.h"
