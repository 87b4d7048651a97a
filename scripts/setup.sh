#!/usr/bin/env bash
# Set-up shared by scripts/demo, scripts/test and .ci/run: everything a fresh machine lacks.
#   scripts/setup.sh base     Deno into .tools/, npm packages by lockfile, the C shim
#   scripts/setup.sh guest    base, and what boots a guest: QEMU, the kernel's unpacker
#   scripts/setup.sh compile  base, and Deno of the oldest supported version with its runtime base
# Debian packages come by apt when root; otherwise it says plainly what to install, and exits 3.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=pins.sh
. "$top/scripts/pins.sh"
tools=$top/.tools

say() { printf 'set-up: %s\n' "$*" >&2; }
lack() { printf 'vmsig: missing: %s\n' "$*" >&2; exit 3; }

# need_apt PROGRAM PACKAGE …: the packages are installed when the program is not there.
need_apt() {
  local program=$1; shift
  command -v "$program" >/dev/null 2>&1 && return 0
  [ "$(id -u)" = 0 ] || lack "$program; install it: apt-get install $*"
  command -v apt-get >/dev/null 2>&1 || lack "$program, and no apt-get here; install: $*"
  say "installing $*"
  export DEBIAN_FRONTEND=noninteractive
  # Another checkout may be at it: wait for dpkg's lock instead of failing on it.
  apt-get -qq -o DPkg::Lock::Timeout=300 update >/dev/null || lack "package lists; apt-get update failed"
  apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$@" >/dev/null </dev/null \
    || lack "$program; apt-get install $* failed"
}

# npm_deno VERSION FOLDER: Deno's executable from its npm package, in FOLDER/bin/deno.
npm_deno() {
  local version=$1 folder=$2 staging
  [ -x "$folder/bin/deno" ] && [ "$(cat "$folder/version" 2>/dev/null)" = "$version" ] && return 0
  need_apt npm npm
  say "Deno $version"
  staging=$(mktemp -d "$tools/deno.XXXXXX")
  # The platform package holds the executable itself; the wrapper package only links to it.
  npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$staging" \
    "@deno/linux-x64-glibc@$version" >/dev/null 2>&1 \
    || { rm -rf "$staging"; lack "Deno $version; npm install @deno/linux-x64-glibc@$version failed"; }
  mkdir -p "$staging/bin"
  mv "$staging/node_modules/@deno/linux-x64-glibc/deno" "$staging/bin/deno"
  chmod 755 "$staging/bin/deno"
  rm -rf "$staging/node_modules"
  printf '%s' "$version" >"$staging/version"
  rm -rf "$folder"; mv "$staging" "$folder"
}

base() {
  [ "$(uname -sm)" = "Linux x86_64" ] || lack "a Linux x86-64 host (this is $(uname -sm))"
  mkdir -p "$tools"
  need_apt cc gcc libc6-dev
  npm_deno "$DENO_VERSION" "$tools/deno"
  "$top/scripts/build-shim"
  ( cd "$top" && DENO_DIR=$tools/deno_dir DENO_NO_UPDATE_CHECK=1 "$tools/deno/bin/deno" install --quiet --frozen ) \
    || lack "npm packages; deno install --frozen failed"
}

case "${1:-base}" in
  base) base ;;
  guest) base; need_apt qemu-system-x86_64 qemu-system-x86 ;;
  compile) base; npm_deno "$DENO_OLDEST" "$tools/deno-oldest" ;;
  *) printf 'usage: scripts/setup.sh base|guest|compile\n' >&2; exit 2 ;;
esac
