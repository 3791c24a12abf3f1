#!/bin/sh
# Installs what this machine lacks: setup.sh build [text] [report] [spec] [mpi] [check] [arm] [lint]
#
# Each need is asked for by using it, so it does not matter where it came from.
# Nothing is missing: no output, in an instant. Otherwise one line says what is
# installed, through apt-get (Debian, Ubuntu) or Homebrew and LuaRocks (macOS).

set -u

# need DEBIAN-PACKAGES HOMEBREW-FORMULA COMMAND...: missing if COMMAND fails.
# "rock:name" is a LuaRocks package, "-" one that does not exist there.
need() {
  debian=$1 brew=$2
  shift 2
  "$@" >/dev/null 2>&1 && return
  apt_missing="$apt_missing $debian"
  brew_missing="$brew_missing $brew"
}

has_browser() {
  command -v chromium || command -v chromium-browser || command -v google-chrome
}

# It has no file for pkg-config.
has_nanopb() {
  echo '#include <pb_decode.h>' | cc -E - || ls "$(brew --prefix)/include/nanopb/pb_decode.h"
}

# What compiling for ARM64 on x86-64 takes. Ubuntu keeps the libraries on another
# server than its own, so they are only asked of Debian.
find_missing_for_arm64() {
  [ "$(uname -s) $(uname -m)" = 'Linux x86_64' ] || return
  if ! grep -q '^ID=debian$' /etc/os-release; then
    echo 'setup: no specs for ARM64, as only Debian has its libraries beside those for x86-64'
    return
  fi
  need qemu-user - command -v qemu-aarch64
  need 'gcc-aarch64-linux-gnu libc6-dev-arm64-cross' - command -v aarch64-linux-gnu-gcc
  for package in lua5.4 openblas jansson libedit minizip; do
    name=lib${package#lib}
    need "$name-dev:arm64" - test -e "/usr/lib/aarch64-linux-gnu/pkgconfig/$package.pc"
  done
  need libnanopb-dev:arm64 - test -e /usr/lib/aarch64-linux-gnu/libprotobuf-nanopb.a
  need lua-filesystem:arm64 - test -e /usr/lib/aarch64-linux-gnu/lua/5.4/lfs.so
  need lua-system:arm64 - test -e /usr/lib/aarch64-linux-gnu/lua/5.4/system/core.so
}

find_missing() {
  apt_missing='' brew_missing=''
  for purpose in "$@"; do
    case $purpose in
    build)
      need 'gcc libc6-dev' gcc command -v cc
      need pkg-config pkgconf command -v pkg-config
      need liblua5.4-dev lua@5.4 pkg-config --exists lua5.4
      need libopenblas-dev openblas pkg-config --exists openblas
      need libjansson-dev jansson pkg-config --exists jansson
      need libminizip-dev minizip pkg-config --exists minizip
      need libnanopb-dev nanopb has_nanopb
      need libedit-dev libedit pkg-config --exists libedit
      need lua5.4 lua@5.4 command -v lua5.4
      need lua-argparse rock:argparse lua5.4 -e 'require "argparse"'
      need lua-filesystem rock:luafilesystem lua5.4 -e 'require "lfs"' ;;
    text) need miscfiles - test -r /usr/share/state/us-constitution.gz ;;
    report) need libjs-dygraphs - test -r /usr/share/javascript/dygraphs/dygraph.min.js ;;
    spec)
      need lua-busted rock:busted lua5.4 -e 'require "busted.runner"'
      need locales - test -r /usr/share/i18n/locales/de_DE -o "$(uname)" = Darwin ;;
    check)
      need valgrind - command -v valgrind
      need clang - command -v clang
      need chromium - has_browser
      need qemu-user - command -v qemu-arm
      need 'gcc-arm-linux-gnueabihf libc6-dev-armhf-cross' - command -v arm-linux-gnueabihf-gcc
      need 'gcc-aarch64-linux-gnu libc6-dev-arm64-cross' - command -v aarch64-linux-gnu-gcc ;;
    mpi) need 'mpich libmpich-dev' mpich command -v mpicc ;;
    mpi-all)
      need iproute2 - command -v ip
      need 'mpich libmpich-dev' - command -v mpicc.mpich
      need 'openmpi-bin libopenmpi-dev' - command -v mpicc.openmpi ;;
    arm) find_missing_for_arm64 ;;
    lint)
      need lua-check rock:luacheck command -v luacheck
      need clang-format clang-format command -v clang-format ;;
    esac
  done
}

give_up() {
  echo "setup: $1; please install, as Debian calls them:$apt_missing" >&2
  exit 1
}

install_with_apt() {
  root=''
  if [ "$(id -u)" -ne 0 ]; then
    root=sudo
    command -v sudo >/dev/null || give_up 'sudo is missing'
  fi
  echo "setup: installing$apt_missing with ${root:+sudo }apt-get"
  case "$apt_missing" in
  *:arm64*) $root dpkg --add-architecture arm64 || give_up 'dpkg does not take libraries for ARM64' ;;
  esac
  apt="$root env DEBIAN_FRONTEND=noninteractive apt-get -qq"
  $apt update
  $apt install -y --no-install-recommends $apt_missing >/dev/null
}

install_with_brew() {
  formulae='' rocks=''
  for item in $brew_missing; do
    case $item in
    -) give_up 'Homebrew does not have all of it' ;;
    rock:*) rocks="$rocks ${item#rock:}" formulae="$formulae luarocks" ;;
    *) formulae="$formulae $item" ;;
    esac
  done
  echo "setup: installing$formulae with brew${rocks:+,$rocks with luarocks}"
  brew install -q $formulae || return
  for rock in $rocks; do
    luarocks --lua-version 5.4 install "$rock" || return
  done
}

find_missing "$@"
[ -n "$apt_missing" ] || exit 0
if command -v apt-get >/dev/null; then
  install_with_apt
elif command -v brew >/dev/null; then
  install_with_brew
else
  give_up 'neither apt-get nor brew is here'
fi
find_missing "$@"
[ -z "$apt_missing" ] || give_up 'installing did not help'
