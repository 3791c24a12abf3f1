--- saros.data: from files to windows of ids.

return {
  text = require "saros.data.text",
  vocabulary = require "saros.data.vocabulary",
}
