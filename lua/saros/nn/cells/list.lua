--- The names of the cells. `nn.lstm` and its like are the functions of these names;
--- what each of them is, its file in this folder says.

---@alias saros.nn.CellName "rnn"|"lstm"|"gru"|"mingru"|"minlstm"|"lru"|"ugrnn"|"slstm"|"delta"|"mlstm"

return { "rnn", "lstm", "gru", "mingru", "minlstm", "lru", "ugrnn", "slstm", "delta", "mlstm" }
