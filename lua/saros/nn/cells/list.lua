--- The names of the fused cells. `nn.lstm` and its like are the functions of these names;
--- what each of them is, its file in this folder says.

return { "rnn", "lstm", "gru", "mingru", "minlstm", "lru" }
