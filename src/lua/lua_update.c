/*
** Between two windows: clipping gradients and updating parameters.
*/
#include <string.h>

#include "binding.h"

/* --- Clipping ------------------------------------------------------------------------ */

static int update_clip_norm(lua_State *L) {
  double norm = 0;
  lua_settop(L, 2);
  int count = bind_check_list(L, 1);
  double limit = bind_check_number(L, 2);
  saros_tensor **array = bind_push_array(L, count);
  BIND_ATTEMPT(L, saros_clip_norm(bind_context_of(L), count,
                                  bind_list_tensors(L, 1, count, array), limit,
                                  &norm));
  lua_pushnumber(L, norm);
  return 1;
}

static int update_clip_value(lua_State *L) {
  lua_settop(L, 2);
  int count = bind_check_list(L, 1);
  double limit = bind_check_number(L, 2);
  saros_tensor **array = bind_push_array(L, count);
  BIND_ATTEMPT(L,
               saros_clip_value(bind_context_of(L), count,
                                bind_list_tensors(L, 1, count, array), limit));
  return 0;
}

/* --- Updates --------------------------------------------------------------------------- */

/* In the order of saros_rule. */
static const char *const rules[SAROS_RULES] = {"sgd", "rmsprop", "adam",
                                               "adamw"};

/* What profiles call them. */
static const char *const names[SAROS_RULES] = {"sgd update", "rmsprop update",
                                               "adam update", "adamw update"};

static const char *const fields[] = {
    "rule",  "lr",    "weight_decay", "momentum", "nesterov", "alpha",
    "beta1", "beta2", "epsilon",      "step",     NULL,
};

static saros_rule field_rule(lua_State *L, int table) {
  if (bind_push_field(L, table, "rule") == LUA_TSTRING)
    for (int rule = 0; rule < SAROS_RULES; rule++)
      if (strcmp(lua_tostring(L, -1), rules[rule]) == 0) {
        lua_pop(L, 1);
        return (saros_rule)rule;
      }
  bind_field_error(L, "sgd, rmsprop, adam or adamw", "rule");
  return SAROS_SGD;
}

static double field_rate(lua_State *L, int table) {
  if (bind_push_field(L, table, "lr") != LUA_TNUMBER)
    bind_field_error(L, "a learning rate", "lr");
  double rate = lua_tonumber(L, -1);
  lua_pop(L, 1);
  return rate;
}

/* update(options, parameter, first, second) */
static int update_parameter(lua_State *L) {
  lua_settop(L, 4);
  bind_check_fields(L, 1, fields);
  saros_update update = {
      .rule = field_rule(L, 1),
      .rate = field_rate(L, 1),
      .decay = bind_field_number(L, 1, "weight_decay", 0),
      .momentum = bind_field_number(L, 1, "momentum", 0),
      .nesterov = bind_field_flag(L, 1, "nesterov", 0),
      .alpha = bind_field_number(L, 1, "alpha", 0.99),
      .beta1 = bind_field_number(L, 1, "beta1", 0.9),
      .beta2 = bind_field_number(L, 1, "beta2", 0.999),
      .epsilon = bind_field_number(L, 1, "epsilon", 1e-8),
      .step = bind_field_number(L, 1, "step", 1),
  };
  BIND_ATTEMPT_AS(L, names[update.rule],
                  saros_update_parameter(&update, bind_check_tensor(L, 2),
                                         bind_opt_tensor(L, 3),
                                         bind_opt_tensor(L, 4)));
  return 0;
}

static const luaL_Reg functions[] = {
    {"clip_norm", update_clip_norm},
    {"clip_value", update_clip_value},
    {"update", update_parameter},
    {NULL, NULL},
};

void bind_open_update(lua_State *L) {
  bind_register_functions(L, BIND_MODULE, functions);
}
