/*
** The state of a session as bytes, little-endian:
**
**   "saros/st"            8
**   version               u32
**   bytes of a real       u32: 4 or 8
**   streams, features     u32, u32: of all outputs
**   count of states       u32
**   their sizes           u32 each, in the order of the program; of attention
**                         keys, values and their place, as they lie
**   the states            reals, (streams, size) each; windows oldest first
**   the outputs           reals, (streams, width) each
*/
#include <string.h>

#include "little_endian.h"
#include "session.h"

#define MAGIC "saros/st"
#define MAGIC_BYTES 8
#define VERSION 1

/* Magic, and five words. */
#define FIXED_BYTES (MAGIC_BYTES + 5 * 4)

static size_t header_bytes(const session_plan *p) {
  return FIXED_BYTES + 4 * (size_t)p->state_count;
}

/* The features of all outputs. */
static size_t output_width(const session_plan *p) {
  size_t width = 0;
  for (int i = 0; i < p->output_count; i++)
    width += (size_t)p->outputs[i].width;
  return width;
}

size_t saros_session_dump_size(const saros_session *s) {
  const session_plan *p = s->plan;
  size_t reals_of_row = output_width(p);
  for (int i = 0; i < p->state_count; i++)
    reals_of_row += (size_t)p->states[i].n;
  return header_bytes(p) + (size_t)s->streams * reals_of_row * sizeof(real);
}

/* Writes the header. Only a dump with the same one can be restored. */
static unsigned char *put_header(const saros_session *s, unsigned char *to) {
  const session_plan *p = s->plan;
  const uint32_t words[] = {VERSION, sizeof(real), (uint32_t)s->streams,
                            (uint32_t)output_width(p),
                            (uint32_t)p->state_count};
  memcpy(to, MAGIC, MAGIC_BYTES);
  to += MAGIC_BYTES;
  for (size_t i = 0; i < sizeof words / sizeof *words; i++, to += 4)
    base_store_32(to, words[i]);
  for (int i = 0; i < p->state_count; i++, to += 4)
    base_store_32(to, (uint32_t)p->states[i].n);
  return to;
}

/* The bytes of a real, in the order of the file, to or from a real. */
static void swap_copy(void *to, const void *from) {
#ifdef SAROS_DOUBLE
  base_store_64(to, base_native_64(from));
#else
  base_store_32(to, base_native_32(from));
#endif
}

static unsigned char *put_reals(unsigned char *to, const real *x, int n) {
  for (int i = 0; i < n; i++, to += sizeof(real))
    swap_copy(to, &x[i]);
  return to;
}

static const unsigned char *get_reals(real *x, const unsigned char *from,
                                      int n) {
  for (int i = 0; i < n; i++, from += sizeof(real))
    swap_copy(&x[i], from);
  return from;
}

void saros_session_dump(const saros_session *s, void *bytes) {
  const session_plan *p = s->plan;
  unsigned char *to = put_header(s, bytes);
  for (int i = 0; i < p->state_count; i++) {
    const session_state *x = &p->states[i];
    const real *rows = session_state_rows(s, x);
    const int first = (int)session_oldest(s, x);
    for (int row = 0; row < s->streams; row++, rows += STEP_WIDTH(x->n)) {
      to = put_reals(to, rows + first, x->n - first);
      to = put_reals(to, rows, first);
    }
  }
  for (int i = 0; i < p->output_count; i++)
    to = put_reals(to, tensor_reals(s->outputs[i]),
                   s->streams * p->outputs[i].width);
}

/* --- Back ------------------------------------------------------------------------ */

/* Checks the header: the session must be of the same form. */
static saros_status check_header(const saros_session *s,
                                 const unsigned char *bytes, size_t size) {
  const session_plan *p = s->plan;
  static const char *const names[] = {"version", "bytes for each number",
                                      "streams", "outputs", "states"};
  const uint32_t expected[] = {VERSION, sizeof(real), (uint32_t)s->streams,
                               (uint32_t)output_width(p),
                               (uint32_t)p->state_count};
  if (size < FIXED_BYTES || memcmp(bytes, MAGIC, MAGIC_BYTES) != 0)
    return saros_fail(s->context, SAROS_EARGUMENT,
                      "restore: expected the dump of a session, got %zu bytes "
                      "that are none",
                      size);
  for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
    uint32_t got = base_load_32(bytes + MAGIC_BYTES + 4 * i);
    if (got != expected[i])
      return saros_fail(s->context, SAROS_EARGUMENT,
                        "restore: expected a dump with %u as its %s, got %u",
                        (unsigned)expected[i], names[i], (unsigned)got);
  }
  if (size != saros_session_dump_size(s))
    return saros_fail(s->context, SAROS_EARGUMENT,
                      "restore: expected a dump of %zu bytes, got %zu",
                      saros_session_dump_size(s), size);
  return SAROS_OK;
}

static saros_status check_sizes(const saros_session *s,
                                const unsigned char *bytes) {
  for (int i = 0; i < s->plan->state_count; i++) {
    uint32_t got = base_load_32(bytes + FIXED_BYTES + 4 * (size_t)i);
    if (got != (uint32_t)s->plan->states[i].n)
      return saros_fail(s->context, SAROS_EARGUMENT,
                        "restore: expected state %d of size %d, got %u",
                        i + s->context->index_base, s->plan->states[i].n,
                        (unsigned)got);
  }
  return SAROS_OK;
}

static int is_place(real x, int places) {
  return x >= 0 && x < (real)places && x == (real)(int)x;
}

/* Checks the places of rings: a step writes to the slot of that number. 'from' are
** the states. */
static saros_status check_places(const saros_session *s,
                                 const unsigned char *from) {
  const session_plan *p = s->plan;
  for (int i = 0; i < p->state_count; i++) {
    const session_state *x = &p->states[i];
    for (int row = 0; row < s->streams; row++, from += x->n * sizeof(real)) {
      real place;
      swap_copy(&place, from);
      if (x->places > 0 && !is_place(place, x->places))
        return saros_fail(s->context, SAROS_EARGUMENT,
                          "restore: expected a place in 0..%d as state %d, "
                          "got %g",
                          x->places - 1, i + s->context->index_base,
                          (double)place);
    }
  }
  return SAROS_OK;
}

saros_status saros_session_restore(saros_session *s, const void *bytes,
                                   size_t size) {
  const session_plan *p = s->plan;
  const unsigned char *from = bytes;
  TRY(check_header(s, from, size));
  TRY(check_sizes(s, from));
  for (int i = 0; i < p->output_count; i++)
    TRY(saros_tensor_writable(s->outputs[i], "restore"));
  from += header_bytes(p);
  TRY(check_places(s, from));
  for (int i = 0; i < p->state_count; i++) {
    const session_state *x = &p->states[i];
    real *rows = session_state_rows(s, x);
    const int first = (int)session_oldest(s, x);
    for (int row = 0; row < s->streams; row++, rows += STEP_WIDTH(x->n)) {
      from = get_reals(rows + first, from, x->n - first);
      from = get_reals(rows, from, first);
    }
  }
  for (int i = 0; i < p->output_count; i++)
    from = get_reals(tensor_reals(s->outputs[i]), from,
                     s->streams * p->outputs[i].width);
  return SAROS_OK;
}
