--- saros.data: from files to windows of ids and numbers.

return {
  text = require "saros.data.text",
  prepare = require "saros.data.prepare",
  labelled = require "saros.data.labelled",
  pairs = require "saros.data.pairs",
  pieces = require "saros.data.pieces",
  pipeline = require "saros.data.pipeline",
  series = require "saros.data.series",
  tasks = require "saros.data.tasks",
  pad = require("saros.data.padding").pad,
  vocabulary = require "saros.data.vocabulary",
}
