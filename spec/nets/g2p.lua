-- Letters to phonemes by an encoder and a decoder of GRUs with attention, as in Toshniwal
-- and Livescu 2016.
local nn = require("saros").nn

return nn.encoder_decoder {
  source = 29, -- letters, apostrophe, hyphen, full stop
  target = 39, -- phonemes of ARPAbet
  cell = "gru", bidirectional = true, layers = 1, embedding = 8, hidden = 16, attention = "dot", seed = 1,
}
