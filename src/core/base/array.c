/*
** Arrays of the pool that grow by doubling.
*/
#include <string.h>

#include "base.h"

saros_status array_grow(saros_context *context, void *items, size_t used,
                        size_t *room, size_t more, size_t item_size) {
  void **array = items;
  if (more <= *room - used)
    return SAROS_OK;
  size_t wanted = used + more > 2 * *room ? used + more : 2 * *room;
  wanted = wanted < 64 ? 64 : wanted;
  void *larger = wanted < ((size_t)1 << 50) / item_size
                     ? pool_take(&context->pool, wanted * item_size)
                     : NULL;
  if (larger == NULL)
    return base_out_of_memory(context, wanted * item_size);
  if (used > 0)
    memcpy(larger, *array, used * item_size);
  pool_give(&context->pool, *array);
  *array = larger;
  *room = wanted;
  return SAROS_OK;
}

saros_status array_reserve(saros_context *context, void *items, int count,
                           int *room, size_t item_size) {
  void **array = items;
  if (count < *room)
    return SAROS_OK;
  int more = count < 8 ? 8 : count > INT32_MAX / 2 ? INT32_MAX : 2 * count;
  size_t bytes = (size_t)more * item_size;
  void *larger = count == more ? NULL : pool_take(&context->pool, bytes);
  if (larger == NULL)
    return base_out_of_memory(context, bytes);
  if (count > 0)
    memcpy(larger, *array, (size_t)count * item_size);
  pool_give(&context->pool, *array);
  *array = larger;
  *room = more;
  return SAROS_OK;
}
