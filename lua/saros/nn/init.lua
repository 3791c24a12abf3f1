--- saros.nn: layers, models and losses.

local spelling = require "saros.spelling"

local places = {
  -- layers
  linear = { "saros.nn.linear" },
  embedding = { "saros.nn.embedding" },
  recurrent = { "saros.nn.recurrent", "own" },
  dropout = { "saros.nn.dropout" },
  layer_norm = { "saros.nn.layer_norm" },
  rms_norm = { "saros.nn.rms_norm" },
  prelu = { "saros.nn.prelu" },
  batch_norm = { "saros.nn.batch_norm" },
  conv1d = { "saros.nn.conv1d" },
  attention = { "saros.nn.attention" },
  cross_attention = { "saros.nn.cross_attention" },
  windowed_attention = { "saros.nn.windowed_attention" },
  finite = { "saros.nn.finite" },
  crf = { "saros.nn.crf" },
  -- composition
  chain = { "saros.nn.chain" },
  residual = { "saros.nn.residual" },
  branch = { "saros.nn.branch", "branch" },
  concatenate = { "saros.nn.branch", "concatenate" },
  heads = { "saros.nn.heads" },
  cell = { "saros.nn.cell", "cell" },
  unroll = { "saros.nn.unroll", "over" },
  state = { "saros.nn.state" },
  module = { "saros.nn.module", "own" },
  initialize = { "saros.nn.initialize" },
  -- models
  language_model = { "saros.nn.language_model" },
  encoder_decoder = { "saros.nn.encoder_decoder" },
  forecaster = { "saros.nn.forecaster" },
  classifier = { "saros.nn.classifier" },
  -- losses
  cross_entropy = { "saros.nn.loss", "cross_entropy" },
  mse = { "saros.nn.loss", "mse" },
  l1 = { "saros.nn.loss", "l1" },
  huber = { "saros.nn.loss", "huber" },
  bce = { "saros.nn.loss", "bce" },
  kl = { "saros.nn.loss", "kl" },
  ctc_loss = { "saros.nn.loss", "ctc_loss" },
  perplexity = { "saros.nn.loss", "perplexity" },
  bits = { "saros.nn.loss", "bits" },
}

for _, cell in ipairs(require "saros.nn.cells.list") do
  places[cell] = { "saros.nn.recurrent", cell }
end

return spelling.space("nn", {}, places)
