/*
** The list of cells.
*/
#include "cells.h"

const recurrent_cell *const recurrent_cells[SAROS_CELLS] = {
    [SAROS_ELMAN_TANH] = &cell_elman_tanh,
    [SAROS_ELMAN_RELU] = &cell_elman_relu,
    [SAROS_LSTM] = &cell_lstm,
    [SAROS_GRU] = &cell_gru,
    [SAROS_GRU_BEFORE] = &cell_gru_before,
    [SAROS_MINGRU] = &cell_mingru,
    [SAROS_MINGRU_POSITIVE] = &cell_mingru_positive,
    [SAROS_MINLSTM] = &cell_minlstm,
    [SAROS_MINLSTM_POSITIVE] = &cell_minlstm_positive,
    [SAROS_LRU] = &cell_lru,
};

saros_cell_facts saros_cell_of(saros_cell cell) {
  return (int)cell >= 0 && cell < SAROS_CELLS ? recurrent_cells[cell]->facts
                                              : (saros_cell_facts){0};
}
