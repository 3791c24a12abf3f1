rockspec_format = "3.0"
package = "saros"
version = "dev-1"
source = { url = "." } -- `luarocks make` in this folder
description = {
  summary = "Recurrent networks in C, scripted in Lua",
  license = "MIT",
}
dependencies = { "lua ~> 5.4" }
external_dependencies = {
  OPENBLAS = { header = "cblas.h" },
  JANSSON = { header = "jansson.h" },
}
build = {
  type = "make",
  build_target = "all",
  install_pass = false,
  install = {
    lib = { saros = "build/saros.so" },
    bin = { saros = "build/saros" },
  },
}
