/*
** Archives in files: what is written is read again, and whatever fails, the old
** file or the new one is there and no memory is lost. System calls go through
** the functions below, so that each of them can be made to fail, to be
** interrupted or to do its work in small pieces.
*/
#define _GNU_SOURCE  // RTLD_NEXT
#include <dlfcn.h>
#include <errno.h>
#include <math.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "safetensors_spec.h"

/* --- System calls that fail ------------------------------------------------ */

static long calls, failing_call;  // 0: none
static int stutters;              // short reads and writes, interruptions
static int dies;                  // the failing call ends the process

static int unsynced;          // bytes were written since the last fsync
static int renamed_unsynced;  // a file got its name too early

/* Counts a call; whether it is the one to fail. */
static int call_fails(void) {
  int fails = ++calls == failing_call;
  if (fails && dies)
    _exit(0);
  if (fails)
    errno = EIO;
  return fails;
}

/* How much a call may do of what it is asked for; 0: it is interrupted. */
static size_t portion(size_t size) {
  static unsigned turn;
  if (!stutters)
    return size;
  errno = EINTR;
  turn++;
  return turn % 3 == 0 ? 0 : size < 5 ? size : 5;
}

ssize_t write(int file, const void *bytes, size_t size) {
  static ssize_t (*next)(int, const void *, size_t);
  if (next == NULL)
    *(void **)&next = dlsym(RTLD_NEXT, "write");
  if (file <= 2)
    return next(file, bytes, size);
  size_t part = portion(size);
  if (call_fails() || part == 0)
    return -1;
  unsynced = 1;
  return next(file, bytes, part);
}

ssize_t pread(int file, void *bytes, size_t size, off_t at) {
  static ssize_t (*next)(int, void *, size_t, off_t);
  if (next == NULL)
    *(void **)&next = dlsym(RTLD_NEXT, "pread");
  size_t part = portion(size);
  if (call_fails() || part == 0)
    return -1;
  return next(file, bytes, part, at);
}

int fsync(int file) {
  static int (*next)(int);
  if (next == NULL)
    *(void **)&next = dlsym(RTLD_NEXT, "fsync");
  if (call_fails() || portion(1) == 0)
    return -1;
  unsynced = 0;
  return next(file);
}

int rename(const char *from, const char *to) {
  static int (*next)(const char *, const char *);
  if (next == NULL)
    *(void **)&next = dlsym(RTLD_NEXT, "rename");
  if (call_fails())
    return -1;
  renamed_unsynced |= unsynced;
  unsynced = 1;  // the folder
  return next(from, to);
}

/* --- Types ------------------------------------------------------------------------ */

/* The obvious twin. */
static double half_value(unsigned bits) {
  int exponent = bits >> 10 & 31, fraction = bits & 1023;
  double size = exponent == 0 ? ldexp(fraction, -24)
                              : ldexp(1024 + fraction, exponent - 25);
  if (exponent == 31)
    size = fraction ? NAN : INFINITY;
  return bits & 0x8000 ? -size : size;
}

static int same_number(double a, double b) {
  return isnan(a) ? isnan(b) : a == b && !signbit(a) == !signbit(b);
}

/* All numbers of 16 bits. */
static void check_short_floats(void) {
  static unsigned char bytes[131072];
  for (size_t i = 0; i < 65536; i++) {
    bytes[2 * i] = (unsigned char)i;
    bytes[2 * i + 1] = (unsigned char)(i >> 8);
  }
  saros_tensor *half = read_elements("F16", 65536, bytes, sizeof bytes);
  saros_tensor *brain = read_elements("BF16", 65536, bytes, sizeof bytes);
  int wrong = 0;
  for (uint32_t i = 0; half && brain && i < 65536; i++) {
    uint32_t bits = i << 16;
    float expected;
    memcpy(&expected, &bits, sizeof bits);
    wrong += !same_number(saros_tensor_get(half, i), half_value(i));
    wrong += !same_number(saros_tensor_get(brain, i), (double)expected);
  }
  CHECK(half && brain && !wrong, "F16 and BF16: %d wrong", wrong);
  saros_tensor_release(half);
  saros_tensor_release(brain);
}

static void check_elements(const char *type, int count, const void *data,
                           size_t size, const double *expected) {
  saros_tensor *x = read_elements(type, count, data, size);
  CHECK(x != NULL, "%s: %s", type, saros_error(context));
  if (x == NULL)
    return;
  CHECK(saros_tensor_dtype(x) == (type[0] == 'F' ? SAROS_REAL : SAROS_IDS),
        "%s becomes the wrong type", type);
  for (int i = 0; i < count; i++)
    CHECK(same_number(saros_tensor_get(x, (size_t)i), expected[i]),
          "%s: expected %g, got %g", type, expected[i],
          saros_tensor_get(x, (size_t)i));
  saros_tensor_release(x);
}

static void reads_every_type(void) {
  check_elements("F64", 2, "\0\0\0\0\0\0\xF8\x3F\0\0\0\0\0\0\0\x80", 16,
                 (double[]){1.5, -0.0});
  check_elements("F32", 2, "\0\0\xC0\xBF\0\0\x80\x7F", 8,
                 (double[]){-1.5, INFINITY});
  check_elements("I64", 2, "\xFF\xFF\xFF\x7F\0\0\0\0\0\0\0\x80\xFF\xFF\xFF\xFF",
                 16, (double[]){2147483647, -2147483648.0});
  check_elements("I32", 2, "\1\2\0\0\xFE\xFF\xFF\xFF", 8, (double[]){513, -2});
  check_elements("I16", 2, "\1\2\xFE\xFF", 4, (double[]){513, -2});
  check_elements("I8", 2, "\1\xFE", 2, (double[]){1, -2});
  check_elements("U8", 2, "\1\xFE", 2, (double[]){1, 254});
  check_elements("BOOL", 2, "\1\0", 2, (double[]){1, 0});
  check_short_floats();
}

/* --- Round trips ------------------------------------------------------------------- */

#define TENSORS 6
#define LONG 300  // (LONG, LONG) elements are several blocks

static const char *const names[TENSORS] = {
    "weight_ih_l0", "",      "caf\xC3\xA9 \"quoted\" \\ \n\t\x01\x7F",
    "empty",        "a.b/c", "eight"};

static saros_tensor *counting_tensor(saros_dtype dtype, int rank,
                                     const int *shape) {
  saros_tensor *x = NULL;
  if (saros_tensor_new(context, dtype, rank, shape, &x) != SAROS_OK)
    return NULL;
  for (size_t i = 0; i < saros_tensor_count(x); i++)
    if (dtype == SAROS_REAL)
      saros_tensor_reals(x)[i] = (saros_real)i / 3 - 7;
    else
      saros_tensor_ids(x)[i] = (int32_t)i * 1000003 - 5;
  return x;
}

/* The transpose of the inner part of a matrix: strides that are no shape's. */
static saros_tensor *inner_transpose(int size) {
  saros_tensor *x = counting_tensor(SAROS_REAL, 2, (int[]){size, size});
  saros_tensor *part = NULL, *turned = NULL;
  if (x != NULL && saros_slice(x, 1, 1, size - 1, &part) == SAROS_OK)
    saros_transpose(part, 0, 1, &turned);
  saros_tensor_release(x);
  saros_tensor_release(part);
  return turned;
}

static void make_tensors(saros_tensor **x, int size) {
  x[0] = counting_tensor(SAROS_REAL, 2, (int[]){3, 5});
  x[1] = counting_tensor(SAROS_REAL, 0, NULL);
  x[2] = counting_tensor(SAROS_IDS, 1, (int[]){7});
  x[3] = counting_tensor(SAROS_IDS, 3, (int[]){2, 0, 3});
  x[4] = inner_transpose(size);
  x[5] = counting_tensor(SAROS_REAL, 8, (int[]){1, 2, 1, 2, 1, 1, 1, 2});
}

static void release_tensors(saros_tensor **x) {
  for (int i = 0; i < TENSORS; i++)
    saros_tensor_release(x[i]);
}

/* An archive of these tensors and of some metadata; null on failure. */
static saros_archive *make_archive(saros_tensor **x, const char *mark) {
  saros_archive *archive;
  if (saros_archive_new(context, &archive) != SAROS_OK)
    return NULL;
  saros_status status = SAROS_OK;
  for (int i = 0; i < TENSORS && status == SAROS_OK; i++)
    status = x[i] ? saros_archive_add(archive, names[i], x[i]) : SAROS_EMEMORY;
  if (status == SAROS_OK)
    status = saros_archive_add_metadata(archive, "mark", mark);
  if (status == SAROS_OK)
    status =
        saros_archive_add_metadata(archive, "", "{\"json\":\"\\u0041\n\"}");
  if (status == SAROS_OK)
    return archive;
  saros_archive_release(archive);
  return NULL;
}

static void check_same(const saros_archive *got, saros_tensor **x) {
  CHECK(saros_archive_count(got) == TENSORS, "%d tensors",
        saros_archive_count(got));
  for (int i = 0; i < TENSORS && i < saros_archive_count(got); i++) {
    const saros_tensor *y = saros_archive_tensor(got, i);
    int rank = saros_tensor_rank(y), wrong = 0;
    CHECK(!strcmp(saros_archive_name(got, i), names[i]), "name %d", i);
    CHECK(rank == saros_tensor_rank(x[i]) &&
              saros_tensor_dtype(y) == saros_tensor_dtype(x[i]) &&
              !memcmp(saros_tensor_shape(y), saros_tensor_shape(x[i]),
                      (size_t)rank * sizeof(int)),
          "type and shape of tensor %d", i);
    for (size_t at = 0; at < saros_tensor_count(y); at++)
      wrong += saros_tensor_get(y, at) != saros_tensor_get(x[i], at);
    CHECK(!wrong, "tensor %d: %d elements are wrong", i, wrong);
  }
  CHECK(saros_archive_metadata_count(got) == 2 &&
            !strcmp(saros_archive_metadata_key(got, 0), "mark") &&
            !strcmp(saros_archive_metadata_value(got, 0), "first") &&
            !strcmp(saros_archive_metadata_key(got, 1), "") &&
            !strcmp(saros_archive_metadata_value(got, 1),
                    "{\"json\":\"\\u0041\n\"}"),
        "metadata");
}

static void round_trip(void) {
  saros_tensor *x[TENSORS];
  make_tensors(x, stutters ? 20 : LONG);
  saros_archive *archive = make_archive(x, "first"), *got;
  CHECK(saros_safetensors_write(archive, path) == SAROS_OK, "write: %s",
        saros_error(context));
  CHECK(read_file(&got) == SAROS_OK, "read: %s", saros_error(context));
  if (got != NULL)
    check_same(got, x);
  CHECK(!renamed_unsynced && !unsynced, "file and folder are synced");
  saros_archive_release(got);
  saros_archive_release(archive);
  release_tensors(x);
}

static void reads_what_it_wrote(void) {
  round_trip();
  stutters = 1;
  round_trip();
  stutters = 0;
}

static void writes_the_format(void) {
  size_t size;
  int shape[] = {2};
  saros_archive *archive;
  saros_tensor *x = counting_tensor(SAROS_IDS, 1, shape);
  CHECK(saros_archive_new(context, &archive) == SAROS_OK &&
            saros_archive_add(archive, "x", x) == SAROS_OK &&
            saros_archive_add_metadata(archive, "k", "v") == SAROS_OK &&
            saros_safetensors_write(archive, path) == SAROS_OK,
        "%s", saros_error(context));
  char *bytes = get_bytes(&size);
  static const char expected[] =
      "\x50\0\0\0\0\0\0\0"
      "{\"__metadata__\":{\"k\":\"v\"},"
      "\"x\":{\"dtype\":\"I32\",\"shape\":[2],\"data_offsets\":[0,8]}}"
      " "
      "\xFB\xFF\xFF\xFF\x3E\x42\x0F\0";
  CHECK(size == sizeof expected - 1 && !memcmp(bytes, expected, size),
        "%zu bytes: length %d, %.*s", size, bytes[0], (int)size - 16,
        bytes + 8);
  free(bytes);
  saros_archive_release(archive);
  saros_tensor_release(x);
}

static void accepts_an_empty_archive(void) {
  saros_archive *archive, *got;
  CHECK(saros_archive_new(context, &archive) == SAROS_OK &&
            saros_safetensors_write(archive, path) == SAROS_OK &&
            read_file(&got) == SAROS_OK && saros_archive_count(got) == 0,
        "%s", saros_error(context));
  saros_archive_release(got);
  saros_archive_release(archive);
}

static void checks_names(void) {
  static const char *const bad[] = {"\xFF", "a\xC0\x80", "\xED\xA0\x80",
                                    "\xF4\x90\x80\x80", "\xE2\x82"};
  saros_archive *archive;
  saros_tensor *x = counting_tensor(SAROS_REAL, 0, NULL);
  CHECK(saros_archive_new(context, &archive) == SAROS_OK, "new");
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    CHECK(saros_archive_add(archive, bad[i], x) == SAROS_EARGUMENT &&
              saros_archive_add_metadata(archive, bad[i], "") ==
                  SAROS_EARGUMENT &&
              saros_archive_add_metadata(archive, "", bad[i]) ==
                  SAROS_EARGUMENT,
          "bad UTF-8 %zu: %s", i, saros_error(context));
  CHECK(saros_archive_add(archive, "__metadata__", x) == SAROS_EARGUMENT,
        "the reserved name is refused");
  CHECK(saros_archive_add(archive, "x", x) == SAROS_OK &&
            saros_archive_add(archive, "x", x) == SAROS_EARGUMENT,
        "a second tensor of a name is refused");
  CHECK(saros_archive_add_metadata(archive, "k", "1") == SAROS_OK &&
            saros_archive_add_metadata(archive, "k", "1") == SAROS_EARGUMENT,
        "a second text of a key is refused");
  CHECK(saros_archive_count(archive) == 1 &&
            saros_archive_metadata_count(archive) == 1,
        "what was refused is not there");
  saros_archive_release(archive);
  saros_tensor_release(x);
}

/* --- Failures on the way -------------------------------------------------------------- */

/* Builds an archive, writes and reads it, in a context of its own. */
static saros_status whole_life(void) {
  saros_tensor *x[TENSORS] = {NULL};
  saros_archive *got = NULL;
  saros_status status = SAROS_EMEMORY;
  context = saros_context_new(allocate, NULL);
  if (context == NULL)
    return status;
  char mark[5000] = "";  // longer than memory that is in the pool
  memset(mark, 0x2E, sizeof mark - 1);
  make_tensors(x, 20);
  saros_archive *archive = make_archive(x, mark);
  if (archive != NULL)
    status = saros_safetensors_write(archive, path);
  if (status == SAROS_OK)
    status = saros_safetensors_read(context, path, &got);
  saros_archive_release(got);
  saros_archive_release(archive);
  release_tensors(x);
  saros_context_release(context);
  return status;
}

/* What is at 'path' after a failure: the old file, or a new one that is whole. */
static void check_old_or_new(const char *old, size_t old_size, long at) {
  size_t size;
  char *bytes = get_bytes(&size);
  int is_old = size == old_size && !memcmp(bytes, old, size);
  free(bytes);
  saros_archive *archive;
  context = saros_context_new(allocate, NULL);
  int is_new = read_file(&archive) == SAROS_OK &&
               saros_archive_count(archive) == TENSORS;
  saros_archive_release(archive);
  saros_context_release(context);
  CHECK(is_old || is_new, "failure %ld destroys the file", at);
  CHECK(files_in_folder() == 1, "failure %ld leaves %d files", at,
        files_in_folder());
  CHECK(live_bytes == 0, "failure %ld leaves %zu bytes", at, live_bytes);
}

/* Fails request or call 1, 2, ... of a whole life until none is left. */
static void check_failures(long *failing, long *counter,
                           saros_status expected) {
  size_t size;
  char *old = small_file(&size);
  saros_context_release(context);
  saros_status status = expected;
  for (long at = 1; status != SAROS_OK && at < 1000; at++) {
    put_bytes(old, size);
    *counter = 0;
    *failing = at;
    status = whole_life();
    *failing = 0;
    CHECK(status == SAROS_OK || status == expected, "failure %ld: status %d",
          at, (int)status);
    check_old_or_new(old, size, at);
  }
  CHECK(status == SAROS_OK, "it never succeeds");
  free(old);
  context = saros_context_new(allocate, NULL);
}

static void survives_a_failing_allocator(void) {
  check_failures(&failing_request, &requests, SAROS_EMEMORY);
}

static void survives_failing_system_calls(void) {
  check_failures(&failing_call, &calls, SAROS_EFILE);
}

/* Removes what is in the folder beside 'path'. */
static void remove_others(void) {
  DIR *open_folder = opendir(folder);
  for (struct dirent *file; (file = readdir(open_folder)) != NULL;) {
    char other[600];
    snprintf(other, sizeof other, "%s/%s", folder, file->d_name);
    if (file->d_name[0] != '.' && strcmp(other, path) != 0)
      unlink(other);
  }
  closedir(open_folder);
}

/* A process that dies in call 1, 2, ..., as in a crash; it leaves the old file
** or the new one, and at worst a temporary file. */
static void survives_a_crash(void) {
  size_t size;
  char *old = small_file(&size);
  saros_context_release(context);
  int status = 0;
  fflush(stdout);
  for (long at = 1; status == 0 && at < 1000; at++) {
    put_bytes(old, size);
    pid_t child = fork();
    if (child == 0) {
      calls = 0, failing_call = at, dies = 1;
      _exit(whole_life() == SAROS_OK ? 1 : 2);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child, "no process");
    remove_others();
    check_old_or_new(old, size, at);
  }
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 1, "it never succeeds");
  free(old);
  context = saros_context_new(allocate, NULL);
}

static void refuses_to_write_elsewhere(void) {
  saros_archive *archive;
  char other[400];
  CHECK(saros_archive_new(context, &archive) == SAROS_OK, "new");
  put_bytes("old", 3);
  int before = files_in_folder();
  snprintf(other, sizeof other, "%s/none/x", folder);
  CHECK(saros_safetensors_write(archive, other) == SAROS_EFILE &&
            strstr(saros_error(context), strerror(ENOENT)) &&
            strstr(saros_error(context), other),
        "a missing folder: %s", saros_error(context));
  snprintf(other, sizeof other, "%s/x", path);
  CHECK(saros_safetensors_write(archive, other) == SAROS_EFILE,
        "a file as folder: %s", saros_error(context));
  CHECK(saros_safetensors_write(archive, folder) == SAROS_EFILE,
        "a folder as file: %s", saros_error(context));
  CHECK(saros_safetensors_write(archive, "") == SAROS_EFILE, "no name");
  CHECK(saros_safetensors_write(archive, "/dev/null") == SAROS_EFILE,
        "a device: %s", saros_error(context));
  CHECK(files_in_folder() == before, "no file is left");
  if (geteuid() != 0) {  // root writes anywhere
    chmod(folder, 0500);
    CHECK(saros_safetensors_write(archive, path) == SAROS_EFILE &&
              strstr(saros_error(context), strerror(EACCES)),
          "a read-only folder: %s", saros_error(context));
    chmod(folder, 0700);
  }
  saros_archive_release(archive);
}

static void keeps_the_mode_of_the_file(void) {
  saros_archive *archive;
  struct stat found;
  put_bytes("old", 3);
  chmod(path, 0600);
  CHECK(saros_archive_new(context, &archive) == SAROS_OK &&
            saros_safetensors_write(archive, path) == SAROS_OK &&
            stat(path, &found) == 0 && (found.st_mode & 0777) == 0600,
        "a private file stays private");
  saros_archive_release(archive);
}

/* --- Folders ------------------------------------------------------------------------- */

static void makes_folders(void) {
  char other[400];
  struct stat found;
  static const char *const parts[] = {"p/q/r", "p/q//s/", "p/q/r", "p"};
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
    snprintf(other, sizeof other, "%s/%s", folder, parts[i]);
    CHECK(saros_make_folder(context, other) == SAROS_OK &&
              stat(other, &found) == 0 && S_ISDIR(found.st_mode),
          "%s: %s", other, saros_error(context));
  }
  CHECK(saros_make_folder(context, "/") == SAROS_OK, "the root");
  CHECK(saros_make_folder(context, "") == SAROS_EFILE, "no name");
  put_bytes("file", 4);
  snprintf(other, sizeof other, "%s/x", path);
  CHECK(saros_make_folder(context, path) == SAROS_EFILE &&
            saros_make_folder(context, other) == SAROS_EFILE,
        "no folder takes the place of a file");
  static const char *const made[] = {"p/q/r", "p/q/s", "p/q", "p"};
  for (size_t i = 0; i < sizeof made / sizeof *made; i++) {
    snprintf(other, sizeof other, "%s/%s", folder, made[i]);
    rmdir(other);
  }
}

static void specs(void) {
  reads_every_type();
  reads_what_it_wrote();
  writes_the_format();
  accepts_an_empty_archive();
  checks_names();
  survives_a_failing_allocator();
  survives_failing_system_calls();
  survives_a_crash();
  refuses_to_write_elsewhere();
  keeps_the_mode_of_the_file();
  makes_folders();
}

int main(void) {
  return run_specs(specs);
}
