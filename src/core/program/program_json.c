/*
** JSON of programs. The sections of the text are found by looking for the comma
** or bracket behind each value, which needs no tree; then jansson reads them
** item by item, and has to end where the section does.
*/
#include <string.h>

#include "program_json.h"

/* --- Signs ---------------------------------------------------------------------------- */

static void skip_blanks(program_reader *r) {
  while (r->at < r->end && r->text[r->at] != 0 &&
         strchr(" \t\r\n", r->text[r->at]) != NULL)
    r->at++;
}

static int accept(program_reader *r, char sign) {
  skip_blanks(r);
  int there = r->at < r->end && r->text[r->at] == sign;
  r->at += (size_t)there;
  return there;
}

static saros_status expect(program_reader *r, char sign) {
  if (accept(r, sign))
    return SAROS_OK;
  r->place[0] = 0;
  char got[2] = {r->at < r->end ? r->text[r->at] : 0, 0};
  return program_refuse(
      r, PROGRAM_WORDS("'%c' at byte %zu of the text", sign, r->at),
      r->at < r->end ? BASE_QUOTE(got) : "its end");
}

/* --- Values ------------------------------------------------------------------------------ */

/* The next value; the caller releases it. */
static saros_status load(program_reader *r, json_t **out) {
  const size_t flags =
      JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_DISABLE_EOF_CHECK;
  json_error_t error;
  skip_blanks(r);
  *out = json_loadb(r->text + r->at, r->end - r->at, flags, &error);
  if (*out == NULL && json_error_code(&error) == json_error_out_of_memory)
    return base_out_of_memory(r->context, r->end - r->at);
  size_t at = r->at + (size_t)error.position;
  if (*out == NULL) {
    r->place[0] = 0;
    return program_refuse(r,
                          PROGRAM_WORDS("JSON up to byte %zu of the text", at),
                          BASE_QUOTE(error.text));
  }
  r->at = at;
  return SAROS_OK;
}

static saros_status load_item(program_reader *r,
                              const program_section *section) {
  json_t *json;
  TRY(load(r, &json));
  saros_status status = section->item(r, json);
  json_decref(json);
  return status;
}

static saros_status load_list(program_reader *r,
                              const program_section *section) {
  int count = 0;
  TRY(expect(r, '['));
  if (accept(r, ']'))
    return SAROS_OK;
  do {
    r->place[0] = 0;
    if (count++ == PROGRAM_MAX_ITEMS)
      return program_refuse(
          r, PROGRAM_WORDS("at most %d %s", PROGRAM_MAX_ITEMS, section->name),
          "more");
    TRY(load_item(r, section));
  } while (accept(r, ','));
  return expect(r, ']');
}

/* --- Sections ------------------------------------------------------------------------------ */

typedef struct extent {
  size_t begin, end;  // 0 and 0: not there
} extent;

/* The end of a string whose opening quote is at 'at'. */
static size_t end_of_string(const program_reader *r, size_t at) {
  for (at++; at < r->end && r->text[at] != '"'; at++)
    if (r->text[at] == '\\')
      at++;
  return at < r->end ? at + 1 : r->end;
}

/* Moves behind the next value: to a comma or a bracket that is not inside it. */
static void skip_value(program_reader *r) {
  size_t depth = 0;
  while (r->at < r->end) {
    char sign = r->text[r->at];
    int closes = sign == ']' || sign == '}';
    if (depth == 0 && (sign == ',' || closes))
      return;
    depth += (size_t)(sign == '[' || sign == '{');
    depth -= (size_t)closes;
    r->at = sign == '"' ? end_of_string(r, r->at) : r->at + 1;
  }
}

static saros_status find_section(program_reader *r,
                                 const program_section *sections,
                                 extent *extents) {
  json_t *json;
  int at = 0;
  if (!accept(r, '"'))
    return expect(r, '"');
  r->at--;
  TRY(load(r, &json));
  const char *name = json_string_value(json);
  while (at < PROGRAM_SECTIONS && strcmp(sections[at].name, name) != 0)
    at++;
  saros_status status = SAROS_OK;
  if (at == PROGRAM_SECTIONS)
    status = program_refuse(r, "format, parameters, states, nodes and outputs",
                            BASE_QUOTE(name));
  else if (extents[at].end > 0)
    status = program_refuse(r, PROGRAM_WORDS("%s once", sections[at].name),
                            "it twice");
  json_decref(json);
  TRY(status);
  TRY(expect(r, ':'));
  extents[at].begin = r->at;
  skip_value(r);
  extents[at].end = r->at;
  return SAROS_OK;
}

static saros_status find_sections(program_reader *r,
                                  const program_section *sections,
                                  extent *extents) {
  TRY(expect(r, '{'));
  if (!accept(r, '}')) {
    do
      TRY(find_section(r, sections, extents));
    while (accept(r, ','));
    TRY(expect(r, '}'));
  }
  skip_blanks(r);
  for (int i = 0; i < PROGRAM_SECTIONS; i++)
    if (extents[i].end == 0)
      return program_refuse(r, sections[i].name, "none");
  if (r->at == r->end)
    return SAROS_OK;
  return program_refuse(r, "the end of the text",
                        PROGRAM_WORDS("more at byte %zu", r->at));
}

saros_status program_sections(program_reader *r,
                              const program_section *sections) {
  extent extents[PROGRAM_SECTIONS] = {{0, 0}};
  TRY(find_sections(r, sections, extents));
  for (int i = 0; i < PROGRAM_SECTIONS; i++) {
    r->at = extents[i].begin, r->end = extents[i].end;
    TRY(sections[i].is_list ? load_list(r, &sections[i])
                            : load_item(r, &sections[i]));
    skip_blanks(r);
    r->place[0] = 0;
    if (r->at < r->end)
      return program_refuse(r, PROGRAM_WORDS("the end of %s", sections[i].name),
                            PROGRAM_WORDS("more at byte %zu", r->at));
  }
  return SAROS_OK;
}

/* --- Fields ----------------------------------------------------------------------------------- */

saros_status program_integer(const program_reader *r, const json_t *json,
                             const char *name, int least, int most, int *out) {
  json_int_t value = json_integer_value(json);
  if (json_is_integer(json) && value >= least && value <= most) {
    *out = (int)value;
    return SAROS_OK;
  }
  return program_refuse(r,
                        most == INT32_MAX && least > INT32_MIN
                            ? PROGRAM_WORDS("%s from %d on", name, least)
                            : PROGRAM_WORDS("%s in %d..%d", name, least, most),
                        json_is_integer(json)
                            ? PROGRAM_WORDS("%lld", (long long)value)
                        : json == NULL ? "none"
                                       : "no integer");
}

saros_status program_flag(const program_reader *r, const json_t *json,
                          const char *name, int *out) {
  *out = json_is_true(json);
  if (json_is_boolean(json))
    return SAROS_OK;
  return program_refuse(r, PROGRAM_WORDS("%s to be true or false", name),
                        "another value");
}

saros_status program_real(const program_reader *r, const json_t *json,
                          const char *name, double *out) {
  *out = json_number_value(json);
  if (json_is_number(json))
    return SAROS_OK;
  return program_refuse(r, PROGRAM_WORDS("%s to be a number", name),
                        "another value");
}

saros_status program_probability(const program_reader *r, const json_t *json,
                                 const char *name, double *out) {
  TRY(program_real(r, json, name, out));
  if (*out >= 0 && *out < 1)
    return SAROS_OK;
  return program_refuse(r, PROGRAM_WORDS("%s in [0, 1)", name),
                        PROGRAM_WORDS("%g", *out));
}

saros_status program_name(program_reader *r, const json_t *json,
                          const char **out) {
  size_t size = json_string_length(json);
  char *copy;
  if (size == 0)
    return program_refuse(r, "a name", json_is_string(json) ? "\"\"" : "none");
  TRY(program_take(r, size + 1, &copy));
  memcpy(copy, json_string_value(json), size + 1);
  *out = copy;
  return SAROS_OK;
}

saros_status program_fields(const program_reader *r, const json_t *json,
                            size_t count) {
  if (json_object_size(json) == count)
    return SAROS_OK;
  return program_refuse(r, PROGRAM_WORDS("%zu fields", count),
                        PROGRAM_WORDS("%zu", json_object_size(json)));
}
