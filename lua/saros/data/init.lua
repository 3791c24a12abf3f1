--- saros.data: from files to windows of ids.

return {
  text = require "saros.data.text",
  labelled = require "saros.data.labelled",
  pairs = require "saros.data.pairs",
  pad = require("saros.data.padding").pad,
  vocabulary = require "saros.data.vocabulary",
}
