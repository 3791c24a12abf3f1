--- saros.data: from files to windows of ids.

return {
  text = require "saros.data.text",
  labelled = require "saros.data.labelled",
  vocabulary = require "saros.data.vocabulary",
}
