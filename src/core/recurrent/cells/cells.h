/*
** The cells, each in the file of its family, beside what these need. A new cell
** is a file here and a row in cells.c. A file holds the cell's step in sessions, too: the
** files here lie above session/.
*/
#ifndef CELLS_H
#define CELLS_H

#include "recurrent.h"

extern const recurrent_cell cell_elman_tanh, cell_elman_relu, cell_lstm,
    cell_gru, cell_gru_before, cell_mingru, cell_mingru_positive, cell_minlstm,
    cell_minlstm_positive, cell_lru;

#endif
