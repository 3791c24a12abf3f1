/*
** What the files of the binding share: arguments in, results out. They see
** saros.h and Lua, nothing below.
**
** Objects live in boxes: userdata that hold one pointer, empty (null) before
** the object exists and after it was released. Any call of Lua that allocates
** may run a finalizer of the script's, and that finalizer may close any object
** that a script can reach. Hence the one pattern of this layer:
**
**   1. bring the arguments to fixed places of the stack,
**   2. push the boxes of the results,
**   3. fetch the pointers (bind_check_tensor) inside the call of the core.
**
** Every function of the module has two upvalues: the binding and its name.
*/
#ifndef BINDING_H
#define BINDING_H

#include <lauxlib.h>
#include <lua.h>

#include "saros.h"

typedef enum bind_box_type {
  BIND_TENSOR,
  BIND_TAPE,
  BIND_PAUSE,
  BIND_GENERATOR,
  BIND_SESSION,
  BIND_CODEC,
  BIND_TOKENS,
  BIND_WIRE,
  BIND_RECORDING,
  BIND_PROGRAM,
  BIND_CONTAINER,
  BIND_OWNER,  // of something that never leaves one call
  BIND_BOX_TYPES
} bind_box_type;

/* The functions of the module, at most. */
enum { BIND_FUNCTIONS = 320 };

/* A function of the module: what bind_call_or_record needs to call it. */
typedef struct bind_function {
  const struct binding *state;
  lua_CFunction call;
} bind_function;

/* What the module keeps for each Lua state. */
typedef struct binding {
  saros_context *context;                  // null once the state is closing
  lua_State *caller;                       // of the core, if it is running
  double waiting_since;                    // its hook; 0: not yet in this call
  int interrupted;                         // did the hook raise an error?
  const void *metatables[BIND_BOX_TYPES];  // checks compare addresses
  double collect_above;  // collectable bytes that call for a cycle
  int cycle_due;         // as soon as there is a new tensor
  int watches_finite;    // do results have to be finite?
  int recording;         // is a recorder told of calls?
  int calls;             // recorded ones that are under way
  lua_Integer tokens;    // given to operations of scripts
  int function_count;
  bind_function functions[BIND_FUNCTIONS];  // upvalues point at them
} binding;

/* The first three are for the functions; the last one, a pointer to a
** bind_function, is for bind_call_or_record. */
enum {
  BIND_BINDING_UPVALUE = 1,
  BIND_NAME_UPVALUE,
  BIND_EXTRA_UPVALUE,
  BIND_FUNCTION_UPVALUE
};

/* The user values of the binding: the module, what interrupted the core, the
** recorder, the arguments of the calls that it will be told of, the boxes of
** tapes. */
enum {
  BIND_MODULE_VALUE = 1,
  BIND_INTERRUPT_VALUE,
  BIND_RECORDER_VALUE,
  BIND_CALLS_VALUE,
  BIND_TAPES_VALUE,
  BIND_VALUES = BIND_TAPES_VALUE
};

static inline binding *bind_binding_of(lua_State *L) {
  return lua_touserdata(L, lua_upvalueindex(BIND_BINDING_UPVALUE));
}

/* --- The binding of a state (lua_binding.c) ------------------------------------ */

/* Makes the binding of a state, which has none. */
binding *bind_make_binding(lua_State *L);
/* Pushes the binding; null, and nil, in a state in which it was never made. */
binding *bind_push_binding(lua_State *L);
/* The same without the push, for functions that are not of the module. */
binding *bind_find_binding(lua_State *L);

/* --- Calls of the core (lua_error.c) --------------------------------------------- */

/* Raises an error once the state is closing. */
saros_context *bind_context_of(lua_State *L);

/* Raises the message that waits in the context, as failure does. */
int bind_raise(lua_State *L);
/* After a call that failed: nil and the message where a file is the reason, which
** is no misuse; raises any other error. */
int bind_return_file_error(lua_State *L, saros_status status);
/* True if the running function is to be measured. (lua_binding.c) */
int bind_is_profiled(lua_State *L);
/* Around a call of the core: the same question, and its answer. */
int bind_enter_core(lua_State *L);
void bind_leave_core(lua_State *L, int profiled);

/* Calls the core as an operation of that name, for profiles. */
#define BIND_MEASURE(L, name, status, call)                                    \
  do {                                                                         \
    int profiled_ = bind_enter_core(L);                                        \
    if (profiled_)                                                             \
      saros_profile_enter(bind_context_of(L), name);                           \
    status = (call);                                                           \
    bind_leave_core(L, profiled_);                                             \
  } while (0)

/* Calls the core; raises its error. */
#define BIND_RUN(L, call)                                                      \
  do {                                                                         \
    if ((call) != SAROS_OK)                                                    \
      bind_raise(L);                                                           \
  } while (0)

/* Likewise, but it is measured, and where memory ran out it is called once more
** after a collection. The call must fetch its tensors again each time, since
** finalizers run in between. */
#define BIND_ATTEMPT_AS(L, name, call)                                         \
  do {                                                                         \
    saros_status status_;                                                      \
    BIND_MEASURE(L, name, status_, call);                                      \
    if (status_ == SAROS_EMEMORY && bind_collect(L))                           \
      BIND_MEASURE(L, name, status_, call);                                    \
    if (status_ != SAROS_OK)                                                   \
      bind_raise(L);                                                           \
  } while (0)

/* Under the name that the running function has for scripts. */
#define BIND_ATTEMPT(L, call) BIND_ATTEMPT_AS(L, bind_function_name(L), call)

/* --- The collector (lua_collector.c) --------------------------------------------- */

/* Collects all garbage and gives the pooled memory back; returns 1. */
int bind_collect(lua_State *L);

/* Tells Lua's collector of so many new bytes of tensors, so that it works as for
** memory of its own; returns 1, the number of results of the caller. */
int bind_tell_collector(lua_State *L, size_t bytes);

/* To be called when a tape has released so many bytes: garbage tensors of its window
** should be collected before those of the next window are made. After a large window
** a full cycle follows, which costs little beside it. */
void bind_tell_collector_of_tape(lua_State *L, size_t taped);
/* To be called when tensors may have been freed: computes anew how many bytes call
** for the next cycle. */
void bind_tell_collector_of_release(lua_State *L);
/* To be called after long work that has left many tensors: a full cycle follows. */
void bind_tell_collector_of_rest(lua_State *L);

/* --- Interrupts (lua_interrupt.c) ---------------------------------------------- */

/* Calls the hook that the host has set, if it is due; true if it raised an error.
** For saros_set_interrupt; 'user' is the binding. */
int bind_ask_hook(void *user);
/* Raises what the hook raised. */
int bind_raise_interrupt(lua_State *L);

/* Seconds on a clock that only goes forward. */
double bind_clock_seconds(void);

/* --- Boxes (lua_binding.c) ---------------------------------------------------- */

/* What a session has as its user values: tensors, tables of them, and what its
** maker gave to turn states into those of a model. */
enum {
  BIND_SESSION_OUTPUT = 1,
  BIND_SESSION_PROBABILITIES,
  BIND_SESSION_INPUT,
  BIND_SESSION_IDS,
  BIND_SESSION_OUTPUTS,
  BIND_SESSION_FORM
};
#define BIND_SESSION_MOST_INPUTS 64

/* Pushes an empty box. */
void *bind_push_box(lua_State *L, bind_box_type type);
/* The box at an index; null if the value there is anything else, or once the
** state is closing and what was in the box is gone. */
void *bind_to_box(lua_State *L, int index, bind_box_type type);
/* The same for functions that are not of the module. */
void *bind_box_at(lua_State *L, int index, const binding *state,
                  bind_box_type type);
/* The tensor in a box; null if the value is none, or a closed one. */
saros_tensor *bind_to_tensor(lua_State *L, int index);
/* "tensor", "tape": for messages. */
const char *bind_box_name(bind_box_type type);

/* Owns a C object until the end of a call, however that ends. */
typedef struct bind_owner {
  void *object;
  void (*release)(void *object);
} bind_owner;

bind_owner *bind_push_owner(lua_State *L, void (*release)(void *object));
/* Releases the object now rather than when the collector comes by. */
void bind_owner_release(bind_owner *box);

/* --- Messages (lua_error.c) ------------------------------------------------------ */

/* The name of the running function, as scripts know it. */
const char *bind_function_name(lua_State *L);

/* Pushes "script.lua:12: " for the nearest line that is not the library's own:
** that is where the mistake was made. */
void bind_push_culprit(lua_State *L);
/* luaL_error, but it blames that line. */
int bind_failure(lua_State *L, const char *format, ...);

/* Raise "function: expected this as argument 2, got that", or with another
** place than an argument: a format of lua_pushfstring. It is filled in here,
** since a caller that pushes text moves what an index stands for. */
int bind_argument_error(lua_State *L, int arg, const char *expected);
int bind_value_error(lua_State *L, int index, const char *expected,
                     const char *place, ...);
/* The same for the value on top, which is that of a field. */
int bind_field_error(lua_State *L, const char *expected, const char *name);
/* True for the state of a net, which calls pass on by mistake: f(net(x)). */
int bind_is_state(lua_State *L, int index);
/* Pushes what a value is: "nil", "\"text\"", "a tensor (2, 3)". */
const char *bind_push_description(lua_State *L, int index);
/* Pushes "(2, 3)". */
const char *bind_push_shape(lua_State *L, const saros_tensor *x);

/* --- Arguments (lua_argument.c) -------------------------------------------------- */

/* The box of an argument; raises an error unless it is full. */
void *bind_check_box(lua_State *L, int arg, bind_box_type type);
double bind_check_number(lua_State *L, int arg);
double bind_opt_number(lua_State *L, int arg, double otherwise);
/* An integer in low..high; 'expected' describes it. */
lua_Integer bind_check_integer(lua_State *L, int arg, lua_Integer low,
                               lua_Integer high, const char *expected);
/* 1 and the integer if the value at the index is a number with an integer
** representation in low..high. */
int bind_to_integer(lua_State *L, int index, lua_Integer low, lua_Integer high,
                    lua_Integer *out);
int bind_check_size(lua_State *L, int arg);
/* true or false, or what stands for an absent argument. */
int bind_opt_flag(lua_State *L, int arg, int otherwise);
/* A string without zero bytes, as C functions want them. */
const char *bind_check_text(lua_State *L, int arg);
void bind_check_table(lua_State *L, int arg);
/* How many elements a list has. An element that is nil while a later one is not
** is an error, since Lua does not define the length of such a list; unless it is
** within the length, so that the caller sees it. */
int bind_list_length(lua_State *L, int list);

/* An axis counts from 1, or from the end if negative; for the core, from 0. */
int bind_check_axis(lua_State *L, int arg);
int bind_opt_axis(lua_State *L, int arg, int otherwise);

typedef struct bind_shape {
  int rank;
  int sizes[SAROS_MAX_RANK];
} bind_shape;

/* A shape from a table of sizes, or (_sizes) from the arguments from 'arg' on
** or one table. 'lowest' is the least size allowed: 0, or -1 for "the rest". */
void bind_check_shape(lua_State *L, int arg, bind_shape *out);
void bind_check_sizes(lua_State *L, int arg, int lowest, bind_shape *out);

/* Raises an error at a field that is not in the list, which null ends. */
void bind_check_fields(lua_State *L, int arg, const char *const *names);
/* Pushes a field without calling metamethods; returns its type. */
int bind_push_field(lua_State *L, int table, const char *name);
double bind_field_number(lua_State *L, int table, const char *name,
                         double otherwise);
/* lowest is 0 or 1. */
int bind_field_integer(lua_State *L, int table, const char *name, int lowest,
                       int otherwise);
int bind_field_flag(lua_State *L, int table, const char *name, int otherwise);

/* --- Names (lua_nearest.c, lua_names.c) ----------------------------------------------------------- */

/* The name in a table, among its keys or as an element of a list, that was most
** likely meant by 'given'; null if none is near. If 'loosely', for hints about a
** name that is known to be wrong, names that begin alike are near, too. It lives
** as long as the table. */
const char *bind_nearest_name(lua_State *L, const char *given, int table,
                              int loosely);
/* Pushes "; did you mean 'hidden'?" for the value at 'given', or "". */
const char *bind_push_hint(lua_State *L, int given, int table);
/* Raises "tensor: expected the name of a method, got "shap"; did you ...?". */
int bind_missing_method(lua_State *L, const char *type, int name, int methods);
/* Makes reading a field that the table of methods on top lacks that error. */
void bind_check_methods(lua_State *L, const char *type);

/* --- Tensors (lua_tensor_box.c) ------------------------------------------------------ */

/* Pushes an empty box for a tensor. */
saros_tensor **bind_push_tensor(lua_State *L);
/* Pushes a new tensor of zeros. */
saros_tensor **bind_push_zeros(lua_State *L, saros_dtype dtype,
                               const bind_shape *sizes);
/* Pushes a box with one more reference to the tensor of an argument, which no
** script can close: for functions that call Lua while they read it. */
saros_tensor *bind_hold_tensor(lua_State *L, int arg);
saros_tensor *bind_check_tensor(lua_State *L, int arg);
/* The same, of ids; the name is what the operation calls it, for the error. */
saros_tensor *bind_check_ids(lua_State *L, int arg, const char *name);
/* Null if the argument is nil or absent. */
saros_tensor *bind_opt_tensor(lua_State *L, int arg);
/* Pushes the tensor in a field, or nil; a table that is nil has no fields. The
** call of the core fetches it from there. */
void bind_push_field_tensor(lua_State *L, int table, const char *name);
/* Replaces a number by a tensor of rank 0. */
void bind_check_operand(lua_State *L, int arg);
/* An element as scripts see it: ids count from 1. */
void bind_push_element(lua_State *L, const saros_tensor *x, size_t position);

/* The tensors of a table: how many, and their pointers in the given array of
** that many, which is returned. Call the second where the core is called. */
int bind_check_list(lua_State *L, int arg);
saros_tensor **bind_list_tensors(lua_State *L, int arg, int count,
                                 saros_tensor **array);
/* Pushes a userdata that holds 'count' pointers. */
saros_tensor **bind_push_array(lua_State *L, int count);

/* Tells the collector of a tensor that is the value on top; returns 1. While
** results have to be finite, raises an error, which names the operation and the
** layer, if this one is not. */
int bind_new_tensor(lua_State *L, saros_tensor *const *box);
int bind_new_tensor_as(lua_State *L, const char *name,
                       saros_tensor *const *box);

/* Metamethods from other files: lua_tensor_print.c, lua_shape.c. */
int bind_tensor_tostring(lua_State *L);
int bind_tensor_concat(lua_State *L);

/* --- Sampling (lua_sampling.c) ------------------------------------------------------ */

/* How to choose from a session's output, from a table or nil. What it points to is
** held on the stack. */
saros_sampling bind_check_sampling(lua_State *L, int arg,
                                   const saros_session *session);
/* Pushes a table with the names of its fields: a function that keeps it alive makes
** no string when it pushes them. */
void bind_push_sampling_fields(lua_State *L);

/* --- Operations of scripts (lua_own.c) --------------------------------------------- */

/* From now on the tape in the box at an index is found by what is recorded on it. */
void bind_own_know_tape(lua_State *L, int box);
/* The box forgets what scripts' operations on its tape need. */
void bind_own_forget(lua_State *L, int box);
/* The tape in box 1 has stopped at an operation of a script: runs its function back
** and goes on. */
saros_status bind_own_backward(lua_State *L, const saros_own_stop *stop);

/* --- Numbers as text (lua_plain.c) ------------------------------------------------ */

/* snprintf with a decimal point, whatever locale the host has set. */
int bind_print_plain(char *text, size_t room, const char *format, ...);
/* Pushes what tostring says of a number, in every locale. */
const char *bind_push_number_text(lua_State *L, int index);

/* --- Files (lua_file.c) ---------------------------------------------------------- */

/* For owners of archives. */
void bind_release_archive(void *archive);
/* Pushes a table of the tensors and one of the metadata. */
void bind_push_archive(lua_State *L, const saros_archive *archive);

/* --- Generators (lua_generator.c) --------------------------------------------- */

saros_generator *bind_check_generator(lua_State *L, int arg);

/* --- The Lua modules (lua_library.c) ---------------------------------------------- */

/* True if this is the source of one of our Lua modules, as lua_Debug has it. */
int bind_is_library_chunk(const char *source);

/* --- Registration (lua_binding.c) ------------------------------------------------- */

/* Calls the function that is its last upvalue; while a script records, it tells
** the recorder of that call. (lua_dispatch.c) */
int bind_call_or_record(lua_State *L);

/* While the module opens, its table and that of the methods of tensors are at
** these places of the stack. */
enum { BIND_MODULE = 1, BIND_METHODS = 2 };

/* Turns the value on top, the extra upvalue, into a function. Its name loses
** the underscores of a metamethod. */
void bind_push_function(lua_State *L, const char *name, lua_CFunction function);
/* Each function of the list under its name in the table at the index. */
void bind_register_functions(lua_State *L, int table, const luaL_Reg *list);
/* In the module and as methods of tensors: x:tanh() is saros.tanh(x). */
void bind_register_shared(lua_State *L, const luaL_Reg *list);
/* One function with an integer as its extra upvalue, in both. */
void bind_register_coded(lua_State *L, const char *name, lua_CFunction function,
                         int code);
/* The metatable of a box type, pushed, with the metamethods of the list;
** __close is __gc. Scripts cannot reach it. */
void bind_push_metatable(lua_State *L, bind_box_type type,
                         const luaL_Reg *metamethods);
/* The type of owners, which have no methods. */
void bind_register_owner(lua_State *L);
/* A type with methods, whose table is left on top. (lua_names.c) */
void bind_register_type(lua_State *L, bind_box_type type,
                        const luaL_Reg *metamethods, const luaL_Reg *methods);

/* --- Sessions (lua_session.c, lua_session_step.c) ------------------------------ */

saros_session *bind_check_session(lua_State *L);  // argument 1
/* The tensor on top, one of a session's own. Only the debug library could put
** anything else in its place, but a script may have closed the box. */
saros_tensor *bind_check_live(lua_State *L);
/* A step of the session, from the arguments behind it. */
void bind_step_session(lua_State *L);

/* What each file adds. They leave the stack as it was. */
void bind_open_context(lua_State *L);
void bind_open_names(lua_State *L);
void bind_open_tensor(lua_State *L);
void bind_open_nested(lua_State *L);
void bind_open_shape(lua_State *L);
void bind_open_operation(lua_State *L);
void bind_open_ctc(lua_State *L);
void bind_open_window(lua_State *L);

/* The field 'activation' of a table or nil (lua_window.c). */
int bind_window_activation(lua_State *L, int table);
void bind_open_finite(lua_State *L);
void bind_open_delta(lua_State *L);
void bind_open_recurrent(lua_State *L);
void bind_open_tape(lua_State *L);
void bind_open_own(lua_State *L);
void bind_open_generator(lua_State *L);
void bind_open_session(lua_State *L);
void bind_open_update(lua_State *L);
void bind_open_file(lua_State *L);
void bind_open_container(lua_State *L);
void bind_open_number(lua_State *L);
void bind_open_json(lua_State *L);
void bind_open_text(lua_State *L);
void bind_open_wire(lua_State *L);
void bind_open_profile(lua_State *L);
void bind_open_record(lua_State *L);
void bind_open_program(lua_State *L);
void bind_open_host(lua_State *L);

#endif
