--- saros.nn: layers, models and losses.

local loss = require "saros.nn.loss"
local module = require "saros.nn.module"
local recurrent = require "saros.nn.recurrent"

return {
  -- layers
  linear = require "saros.nn.linear",
  embedding = require "saros.nn.embedding",
  rnn = recurrent.rnn,
  lstm = recurrent.lstm,
  gru = recurrent.gru,
  mingru = recurrent.mingru,
  minlstm = recurrent.minlstm,
  recurrent = recurrent.own,
  dropout = require "saros.nn.dropout",
  layer_norm = require "saros.nn.layer_norm",
  attention = require "saros.nn.attention",
  windowed_attention = require "saros.nn.windowed_attention",
  -- composition
  chain = require "saros.nn.chain",
  unroll = require "saros.nn.unroll",
  state = require "saros.nn.state",
  module = module.class,
  initialize = require "saros.nn.initialize",
  -- models
  language_model = require "saros.nn.language_model",
  encoder_decoder = require "saros.nn.encoder_decoder",
  forecaster = require "saros.nn.forecaster",
  classifier = require "saros.nn.classifier",
  -- losses
  cross_entropy = loss.cross_entropy,
  mse = loss.mse,
  ctc_loss = loss.ctc_loss,
  perplexity = loss.perplexity,
  bits = loss.bits,
}
