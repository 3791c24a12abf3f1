/*
** Every malformed file is refused, with the reason, at little cost and without
** a trace; so is every damaged one.
*/
#include <errno.h>
#include <sys/stat.h>
#include <time.h>

#include "safetensors_spec.h"

/* --- Refusals ------------------------------------------------------------------ */

#define X "\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]"

/* A header that is no header of a file with 8 bytes of data, and why. */
static const struct malformed {
  const char *header, *reason;
} malformed[] = {
    {"", "begins with '{'"},
    {"[]", "begins with '{'"},
    {" {}", "begins with '{'"},
    {"\xEF\xBB\xBF{}", "begins with '{'"},
    {"{", "end of the header"},
    {"{\"a\"", "expected ':', got the end"},
    {"{\"a\":", "expected JSON"},
    {"{\"a\":{" X "}", "expected '}', got the end"},
    {"{\"a\":{" X "},}", "expected '\"'"},
    {"{,\"a\":{" X "}}", "expected '\"' at byte 1"},
    {"{\"a\" {" X "}}", "expected ':' at byte 5"},
    {"{\"a\":{" X "}}\n", "expected spaces"},
    {"{\"a\":{" X "}} x", "expected spaces"},
    {"{\"a\":{" X "}}{}", "expected spaces"},
    {"{a:{" X "}}", "expected '\"'"},
    {"{\"\xFF\":{" X "}}", "expected JSON"},
    {"{\"\xC0\x80\":{" X "}}", "expected JSON"},
    {"{\"\xED\xA0\x80\":{" X "}}", "expected JSON"},
    {"{\"\\uD800\":{" X "}}", "expected JSON"},
    {"{\"a\\u0000b\":{" X "}}", "expected JSON"},
    {"{\"a\nb\":{" X "}}", "expected JSON"},
    {"{\"a\":{" X "},\"a\":{" X "}}", "each name once"},
    {"{\"a\":{" X "},\"\\u0061\":{" X "}}", "each name once"},
    {"{\"a\":{" X "," X "}}", "duplicate"},
    {"{\"a\":1}", "exactly dtype, shape and data_offsets"},
    {"{\"a\":null}", "exactly dtype, shape and data_offsets"},
    {"{\"a\":[]}", "exactly dtype, shape and data_offsets"},
    {"{\"a\":{}}", "exactly dtype, shape and data_offsets"},
    {"{\"a\":{" X ",\"x\":0}}", "exactly dtype, shape and data_offsets"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", "exactly dtype"},
    {"{\"__metadata__\":1,\"a\":{" X "}}", "expected '{'"},
    {"{\"__metadata__\":null,\"a\":{" X "}}", "expected '{'"},
    {"{\"__metadata__\":{\"k\":1},\"a\":{" X "}}", "a string in __metadata__"},
    {"{\"__metadata__\":{\"k\":{}},\"a\":{" X "}}", "a string in"},
    {"{\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"},\"a\":{" X "}}",
     "each name once"},
    {"{\"__metadata__\":{},\"__metadata__\":{},\"a\":{" X "}}",
     "each name once"},
    {"{\"__metadata__\":{" X "},\"a\":{" X "}}", "a string in __metadata__"},
    {"{}", "0 bytes of elements up to the end of the file, got 8"},
};

/* An entry, whose fields are not those of 8 bytes, and why. */
static const struct malformed_entry {
  const char *type, *shape, *offsets, *reason;
} malformed_entries[] = {
    {"\"F31\"", "[2]", "[0,8]", "F16, BF16, I64"},
    {"\"f32\"", "[2]", "[0,8]", "got \"f32\""},
    {"\"\"", "[2]", "[0,8]", "expected dtype"},
    {"\"F32 \"", "[2]", "[0,8]", "expected dtype"},
    {"4", "[2]", "[0,8]", "got no string"},
    {"\"U16\"", "[4]", "[0,8]", "expected dtype"},
    {"\"F8_E4M3\"", "[8]", "[0,8]", "expected dtype"},
    {"\"F32\"", "2", "[0,8]", "no array"},
    {"\"F32\"", "{}", "[0,8]", "no array"},
    {"\"F32\"", "[2.0]", "[0,8]", "shape of integers"},
    {"\"F32\"", "[\"2\"]", "[0,8]", "shape of integers"},
    {"\"F32\"", "[true]", "[0,8]", "shape of integers"},
    {"\"F32\"", "[-2]", "[0,8]", "sizes in 0..2147483647, got -2"},
    {"\"F32\"", "[-1,-2]", "[0,8]", "got -1"},
    {"\"F32\"", "[2147483648]", "[0,8]", "got 2147483648"},
    {"\"F32\"", "[4611686018427387906]", "[0,8]", "got 4611686018427387906"},
    {"\"F32\"", "[18446744073709551618]", "[0,8]", "expected JSON"},
    {"\"F32\"", "[2147483647,2147483647]", "[0,8]", "at most 2^40 - 1"},
    {"\"F32\"", "[65536,65536,65536,65536]", "[0,8]", "at most 2^40 - 1"},
    {"\"U8\"", "[65536,65536,65536,65536,0]", "[0,8]", "at most 2^40 - 1"},
    {"\"F32\"", "[1,1,1,1,1,1,1,1,2]", "[0,8]", "at most 8 sizes"},
    {"\"F32\"", "[3]", "[0,8]", "12 apart for F32 (3), got 8"},
    {"\"F32\"", "[]", "[0,8]", "4 apart for F32 (), got 8"},
    {"\"F64\"", "[2]", "[0,8]", "16 apart for F64 (2), got 8"},
    {"\"F32\"", "[0]", "[0,8]", "0 apart for F32 (0), got 8"},
    {"\"F32\"", "[2]", "{}", "data_offsets of two integers"},
    {"\"F32\"", "[2]", "8", "data_offsets of two integers"},
    {"\"F32\"", "[2]", "[8]", "data_offsets of two integers"},
    {"\"F32\"", "[2]", "[0,8,8]", "data_offsets of two integers"},
    {"\"F32\"", "[2]", "[0,8.0]", "data_offsets of two integers"},
    {"\"F32\"", "[2]", "[0,\"8\"]", "data_offsets of two integers"},
    {"\"F32\"", "[2]", "[8,0]", "0 <= begin <= end, got 8 and 0"},
    {"\"F32\"", "[2]", "[-8,0]", "0 <= begin <= end, got -8 and 0"},
    {"\"F32\"", "[2]", "[-9223372036854775808,9223372036854775807]", "0 <="},
    {"\"F32\"", "[2]", "[4,12]", "begin at 0, got 4 for \"a\""},
    {"\"F32\"", "[1]", "[0,4]", "4 bytes of elements"},
    {"\"F32\"", "[4]", "[0,16]", "16 bytes of elements"},
    {"\"F32\"", "[0]", "[8,8]", "begin at 0, got 8"},
    {"\"F32\"", "[2]", "[9223372036854775800,9223372036854775807]", "8 apart"},
};

static void check_refusal(const char *header, size_t length,
                          const char *reason) {
  saros_archive *archive;
  put_parts(header, length, "12345678", 8);
  saros_status status = read_file(&archive);
  const char *error = saros_error(context);
  CHECK(status == SAROS_EFILE, "%s: status %d", header, (int)status);
  CHECK(strstr(error, reason), "%s: expected \"%s\" in: %s", header, reason,
        error);
  CHECK(!strncmp(error, "safetensors: ", 13) && strstr(error, path),
        "%s: neither function nor path in: %s", header, error);
  saros_archive_release(archive);
}

static void refuses_what_is_malformed(void) {
  char text[1000];
  for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++)
    check_refusal(malformed[i].header, strlen(malformed[i].header),
                  malformed[i].reason);
  size_t count = sizeof malformed_entries / sizeof *malformed_entries;
  for (size_t i = 0; i < count; i++) {
    const struct malformed_entry *e = &malformed_entries[i];
    snprintf(text, sizeof text,
             "{\"a\":{\"dtype\":%s,\"shape\":%s,\"data_offsets\":%s}}", e->type,
             e->shape, e->offsets);
    check_refusal(text, strlen(text), e->reason);
  }
  check_refusal("{\0}", 3, "expected '\"' at byte 1 of the header, got \"\"");
  check_refusal("{}\0", 3, "expected spaces");
}

/* Two tensors that leave a hole, overlap, or lie in each other. */
static void refuses_holes_and_overlaps(void) {
  static const struct {
    int a0, a1, b0, b1;
    const char *reason;
  } cases[] = {
      {0, 4, 5, 8, "begin at 4, got 5 for \"b\""},
      {0, 5, 4, 8, "begin at 5, got 4 for \"b\""},
      {4, 8, 0, 5, "begin at 5, got 4 for \"a\""},
      {0, 8, 2, 6, "begin at 8, got 2 for \"b\""},
      {0, 8, 0, 8, "begin at 8, got 0 for \"b\""},
      {0, 4, 4, 9, "9 bytes of elements up to the end of the file, got 8"},
      {1, 4, 4, 8, "begin at 0, got 1 for \"a\""},
      {0, 8, 4, 4, "begin at 8, got 4 for \"b\""},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char text[300];
    snprintf(text, sizeof text,
             "{\"a\":{\"dtype\":\"U8\",\"shape\":[%d],\"data_offsets\":[%d,%d]}"
             ",\"b\":{\"dtype\":\"I8\",\"shape\":[%d],\"data_offsets\":[%d,%d]}"
             "}",
             cases[i].a1 - cases[i].a0, cases[i].a0, cases[i].a1,
             cases[i].b1 - cases[i].b0, cases[i].b0, cases[i].b1);
    check_refusal(text, strlen(text), cases[i].reason);
  }
}

/* Lengths of headers that the file does not hold. */
static void refuses_lengths_at_no_cost(void) {
  static const struct {
    unsigned char bytes[8];
    const char *reason;
  } cases[] = {
      {{3}, "a header of 3 bytes, got only 2"},
      {{0, 0xE1, 0xF5, 5}, "a header of 100000000 bytes, got only 2"},
      {{1, 0xE1, 0xF5, 5}, "at most 100000000 bytes, got 100000001"},
      {{0, 0, 0, 0, 0, 0, 0, 0x80}, "at most 100000000"},
      {{255, 255, 255, 255, 255, 255, 255, 255}, "at most 100000000"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char bytes[10] = "????????{}";
    memcpy(bytes, cases[i].bytes, 8);
    put_bytes(bytes, 10);
    saros_archive *archive;
    clock_t begin = clock();
    peak_bytes = live_bytes;
    size_t before = live_bytes;
    CHECK(read_file(&archive) == SAROS_EFILE, "length %zu is refused", i);
    CHECK(strstr(saros_error(context), cases[i].reason), "length %zu: %s", i,
          saros_error(context));
    CHECK(peak_bytes - before < 10000, "it took %zu bytes",
          peak_bytes - before);
    CHECK(clock() - begin < CLOCKS_PER_SEC / 10, "it took too long");
  }
}

/* A long header that jansson alone would turn into a tree of 20 times its size,
** and one that is nested too deeply. */
static void refuses_bombs(void) {
  const size_t length = 2000000;
  char *header = malloc(length);
  memset(header, '[', length);
  memcpy(header, "{\"a\":", 5);
  check_refusal(header, length, "expected");
  for (size_t i = 5; i < length; i++)
    header[i] = "[0,0,0,"[i == 5 ? 0 : 1 + i % 2];
  saros_context_release(context);
  context = saros_context_new(allocate, NULL);
  clock_t begin = clock();
  peak_bytes = live_bytes;
  size_t before = live_bytes;
  check_refusal(header, length, "at most 4096 bytes");
  CHECK(peak_bytes - before < 2 * length, "took %zu bytes",
        peak_bytes - before);
  CHECK(clock() - begin < CLOCKS_PER_SEC / 2, "it took too long");
  free(header);
}

static void quotes_names_safely(void) {
  char header[3000], name[2000];
  memset(name, 'x', sizeof name);
  name[sizeof name - 1] = 0;
  snprintf(header, sizeof header, "{\"%s\":{}}", name);
  check_refusal(header, strlen(header), "xxx...\" in \"");
  snprintf(header, sizeof header, "%s",
           "{\"\\u001b[2J\\n\\u009b\\\"\xC3\xA9\":{}}");
  check_refusal(header, strlen(header),
                "\"\\x1B[2J\\x0A\\xC2\\x9B\\\"\xC3\xA9\"");
}

/* Paths at which there is no file to be read. */
static void refuses_other_paths(void) {
  saros_archive *archive;
  char other[300];
  CHECK(saros_safetensors_read(context, folder, &archive) == SAROS_EFILE,
        "a folder is refused");
  snprintf(other, sizeof other, "%s/none", folder);
  CHECK(saros_safetensors_read(context, other, &archive) == SAROS_EFILE &&
            strstr(saros_error(context), strerror(ENOENT)),
        "a missing file is refused: %s", saros_error(context));
  CHECK(mkfifo(other, 0600) == 0, "a pipe");
  CHECK(saros_safetensors_read(context, other, &archive) == SAROS_EFILE,
        "a pipe is refused, not waited for");
  unlink(other);
  CHECK(saros_safetensors_read(context, "/dev/zero", &archive) == SAROS_EFILE,
        "a device is refused");
}

static void refuses_ids_that_do_not_fit(void) {
  static unsigned char bytes[8 * 20000];
  bytes[8 * 19999 + 3] = 0x80;  // 2^31, in the third block
  CHECK(!read_elements("I64", 20000, bytes, sizeof bytes), "2^31 is refused");
  CHECK(strstr(saros_error(context),
               "got 2147483648 at position 19999 for "
               "\"a\" in "),
        "%s", saros_error(context));
  CHECK(!read_elements("I64", 1, "\xFF\xFF\xFF\x7F\xFF\xFF\xFF\xFF", 8) &&
            strstr(saros_error(context), "got -2147483649 at position 0"),
        "%s", saros_error(context));
  CHECK(!read_elements("BOOL", 2, "\0\2", 2) &&
            strstr(saros_error(context), "got 2 at position 1"),
        "%s", saros_error(context));
}

/* --- Damage ------------------------------------------------------------------------ */

static void refuses_every_truncation(void) {
  size_t size;
  saros_archive *archive;
  char *bytes = small_file(&size);
  for (size_t length = 0; length < size; length++) {
    put_bytes(bytes, length);
    CHECK(read_file(&archive) == SAROS_EFILE, "%zu of %zu bytes are accepted",
          length, size);
    saros_archive_release(archive);
  }
  bytes[size] = 0;
  put_bytes(bytes, size + 1);
  CHECK(read_file(&archive) == SAROS_EFILE, "a byte too many is accepted");
  saros_archive_release(archive);
  free(bytes);
}

static void survives_every_flipped_bit(void) {
  size_t size;
  char *bytes = small_file(&size);
  for (size_t bit = 0; bit < 8 * (size - 10); bit++) {
    saros_archive *archive;
    bytes[bit / 8] = (char)(bytes[bit / 8] ^ 1 << bit % 8);
    put_bytes(bytes, size);
    saros_status status = read_file(&archive);
    CHECK(status == SAROS_EFILE ||
              (status == SAROS_OK && saros_archive_count(archive) == 2),
          "bit %zu: status %d, %s", bit, (int)status, saros_error(context));
    saros_archive_release(archive);
    bytes[bit / 8] = (char)(bytes[bit / 8] ^ 1 << bit % 8);
  }
  free(bytes);
}

static void specs(void) {
  refuses_what_is_malformed();
  refuses_holes_and_overlaps();
  refuses_lengths_at_no_cost();
  refuses_bombs();
  quotes_names_safely();
  refuses_other_paths();
  refuses_ids_that_do_not_fit();
  refuses_every_truncation();
  survives_every_flipped_bit();
}

int main(void) {
  return run_specs(specs);
}
