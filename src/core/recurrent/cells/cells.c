/*
** The list of cells. Each family has a file here, which also holds its step in
** sessions: these files lie above session/. A new cell is such a file and a row of
** the list.
*/
#include "recurrent.h"

#define CELLS(X)                                                               \
  X(SAROS_ELMAN_TANH, elman_tanh)                                              \
  X(SAROS_ELMAN_RELU, elman_relu)                                              \
  X(SAROS_LSTM, lstm)                                                          \
  X(SAROS_GRU, gru)                                                            \
  X(SAROS_GRU_BEFORE, gru_before)                                              \
  X(SAROS_MINGRU, mingru)                                                      \
  X(SAROS_MINGRU_POSITIVE, mingru_positive)                                    \
  X(SAROS_MINLSTM, minlstm)                                                    \
  X(SAROS_MINLSTM_POSITIVE, minlstm_positive)                                  \
  X(SAROS_LRU, lru)                                                            \
  X(SAROS_UGRNN, ugrnn)

#define DECLARE(cell, name) extern const recurrent_cell cell_##name;
#define ROW(cell, name) [cell] = &cell_##name,

CELLS(DECLARE)

const recurrent_cell *const recurrent_cells[SAROS_CELLS] = {CELLS(ROW)};

saros_cell_facts saros_cell_of(saros_cell cell) {
  return (int)cell >= 0 && cell < SAROS_CELLS ? recurrent_cells[cell]->facts
                                              : (saros_cell_facts){0};
}
