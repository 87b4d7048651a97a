#!/usr/bin/env bash
# Set-up shared by scripts/demo, scripts/test and .ci/run: everything a fresh machine lacks.
#   scripts/setup.sh base     Deno into .tools/, npm packages by lockfile, the C shim
#   scripts/setup.sh demo     base, and what boots the small guest: QEMU and Debian's cloud kernel
#   scripts/setup.sh guest    demo, and the generic and the arm64 kernel (kernels are unpacked, not installed)
#   scripts/setup.sh bench    guest, and what benchmarks are measured beside: libvirt's C library, socat
#   scripts/setup.sh compile  base, and Deno of the oldest supported version with its runtime base
# Debian packages come by apt when root; otherwise it says plainly what to install, and exits 3.
# Without a network it uses what is there already: a Deno of the right version in PATH, and what a copy of
# another checkout's .tools has.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=pins.sh
. "$top/scripts/pins.sh"
tools=$top/.tools

say() { printf 'set-up: %s\n' "$*" >&2; }
lack() { printf 'vmsig: missing: %s\n' "$*" >&2; exit 3; }

# need_apt PROGRAM-OR-FILE PACKAGE …: the packages are installed when the program or file is not there.
need_apt() {
  local program=$1; shift
  case $program in
    /*) [ -e "$program" ] && return 0 ;;
    *) command -v "$program" >/dev/null 2>&1 && return 0 ;;
  esac
  [ "$(id -u)" = 0 ] || lack "$program; install it: apt-get install $*"
  command -v apt-get >/dev/null 2>&1 || lack "$program, and no apt-get here; install: $*"
  say "installing $*"
  export DEBIAN_FRONTEND=noninteractive
  # Another checkout may be at it: wait for dpkg's lock instead of failing on it.
  apt-get -qq -o DPkg::Lock::Timeout=300 update >/dev/null || lack "package lists; apt-get update failed"
  apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$@" >/dev/null </dev/null \
    || lack "$program; apt-get install $* failed"
}

# npm_install FOLDER PACKAGE WHAT REMEDY: quiet while it goes well; says npm's own words when it does not.
npm_install() {
  local words
  # Without a network npm would try for a minute and a half.
  words=$(npm install --loglevel=error --no-audit --no-fund --ignore-scripts --fetch-retry-mintimeout=1000 \
    --fetch-retry-maxtimeout=5000 --prefix "$1" "$2" 2>&1 >/dev/null) && return 0
  rm -rf "$1"
  printf '%s\n' "$words" | tail -n 20 >&2
  lack "$3; npm install $2 failed, with the words above; without a network: $4"
}

# is_deno VERSION PROGRAM: whether the program is Deno of this version.
is_deno() {
  [ -x "$2" ] && case $("$2" --version 2>/dev/null) in "deno $1 "*) ;; *) return 1 ;; esac
}

# npm_deno VERSION FOLDER: Deno's executable, in FOLDER/bin/deno: the one in PATH where it is of this version,
# else that of its npm package.
npm_deno() {
  local version=$1 folder=$2 staging found
  [ -x "$folder/bin/deno" ] && [ "$(cat "$folder/version" 2>/dev/null)" = "$version" ] && return 0
  if ! is_deno "$version" "$folder/bin/deno"; then
    staging=$(mktemp -d "$tools/deno.XXXXXX")
    mkdir -p "$staging/bin"
    found=$(command -v deno || true)
    if is_deno "$version" "$found"; then
      say "Deno $version, from $found"
      cp "$found" "$staging/bin/deno"
    else
      need_apt npm npm
      say "Deno $version"
      # The platform package holds the executable itself; the wrapper package only links to it.
      npm_install "$staging" "@deno/linux-x64-glibc@$version" "Deno $version" \
        "put its executable at ${folder#"$top/"}/bin/deno, or in PATH"
      mv "$staging/node_modules/@deno/linux-x64-glibc/deno" "$staging/bin/deno"
      chmod 755 "$staging/bin/deno"
      rm -rf "$staging/node_modules"
    fi
    rm -rf "$folder"; mv "$staging" "$folder"
  fi
  printf '%s' "$version" >"$folder/version"
}

base() {
  [ "$(uname -sm)" = "Linux x86_64" ] || lack "a Linux x86-64 host (this is $(uname -sm))"
  mkdir -p "$tools"
  need_apt cc gcc libc6-dev
  # The compiler may be there without the headers and the static library that it needs here.
  need_apt /usr/include/stdio.h libc6-dev
  npm_deno "$DENO_VERSION" "$tools/deno"
  "$top/scripts/build-shim"
  ( cd "$top" && DENO_DIR=$tools/deno_dir DENO_NO_UPDATE_CHECK=1 "$tools/deno/bin/deno" install --quiet --frozen ) \
    || lack "npm packages; deno install --frozen failed; without a network: copy .tools/deno_dir from a checkout that has it"
}

# The kernels come once, here, so that no test waits for a download. "demo" needs the small one alone.
guest() {
  need_apt qemu-system-x86_64 qemu-system-x86
  need_apt dpkg-deb dpkg
  local kernel
  for kernel in "$@"; do
    ( cd "$top" && DENO_DIR=$tools/deno_dir "$tools/deno/bin/deno" run --quiet -A tests/guest/build.ts \
      --kernel "$kernel" >/dev/null ) || exit 3
  done
}

# The runtime base that `deno compile` of the oldest version puts under the sources (see pins.sh).
denort() {
  local out=$tools/denort-$DENO_OLDEST staging program
  [ -x "$out" ] && return 0
  need_apt npm npm
  say "runtime base of Deno $DENO_OLDEST"
  staging=$(mktemp -d "$tools/denort.XXXXXX")
  npm_install "$staging" "$DENORT_PACKAGE" "Deno's runtime base" \
    "put denort of Deno's release v$DENO_OLDEST at ${out#"$top/"}"
  program=$(find "$staging/node_modules/${DENORT_PACKAGE%@*}" -name vlt -type f)
  head -c "$DENORT_BYTES" "$program" >"$staging/denort"
  printf '%s  %s\n' "$DENORT_SHA256" "$staging/denort" | sha256sum --check --status \
    || { rm -rf "$staging"; lack "Deno's runtime base; $DENORT_PACKAGE is not what it was"; }
  chmod 755 "$staging/denort"
  mv "$staging/denort" "$out"
  rm -rf "$staging"
}

# What `deno bundle` bundles with (scripts/build/bundle.ts): Deno gets it when it is first needed. Without it
# the executable is compiled all the same.
bundler() {
  local scratch
  scratch=$(mktemp -d "$tools/bundle.XXXXXX")
  ( cd "$top" && DENO_DIR=$tools/deno_dir DENO_NO_UPDATE_CHECK=1 "$tools/deno/bin/deno" bundle --quiet \
    --output "$scratch/version.js" src/base/version.ts >/dev/null 2>&1 ) || say "no bundler; the executable is not bundled"
  rm -rf "$scratch"
}

# The control in Python (tests/python), the rights of other users (setpriv) and a scrape of the metrics
# (curl) are the tests' alone.
programs() {
  need_apt /usr/bin/python3 python3; need_apt setpriv util-linux; need_apt curl curl; need_apt qemu-img qemu-utils
  # A libvirtd of the tests' own, as another user; nothing starts the machine's.
  need_apt libvirtd libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients
  # What vmsig gdb serves.
  need_apt gdb gdb
  # A viewer for the VNC server.
  need_apt /usr/include/rfb/rfbclient.h libvncserver-dev
  # The viewer that people have, on a screen of the test's own.
  need_apt xtigervncviewer tigervnc-viewer; need_apt Xvfb xvfb; need_apt xdotool xdotool
  # A person's browser for the page of `vmsig web`.
  need_apt chromium chromium
  # What --ocr uses, where a user has installed it.
  need_apt tesseract tesseract-ocr tesseract-ocr-eng
  # A server for vmsig join.
  need_apt nats-server nats-server; need_apt ip iproute2
  # Guests of arm64: QEMU's machine, and what compiles their programs.
  need_apt qemu-system-aarch64 qemu-system-arm
  need_apt aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu libc6-dev-arm64-cross
  need_apt gdb-multiarch gdb-multiarch
  # Keyboards: libxkbcommon reads what our layouts type.
  need_apt /usr/share/X11/xkb/rules/evdev xkb-data; need_apt /usr/share/X11/locale/en_US.UTF-8/Compose libx11-data
  need_apt /usr/lib/x86_64-linux-gnu/libxkbcommon.so.0 libxkbcommon0
}

case "${1:-base}" in
  base) base ;;
  demo) base; guest cloud ;;
  guest) base; programs; guest cloud generic arm64 ;;
  # libvirt's headers are the benchmarks' alone, and so is socat.
  bench)
    base; programs; guest cloud generic arm64
    need_apt /usr/include/libvirt/libvirt-qemu.h libvirt-dev; need_apt socat socat ;;
  compile) base; npm_deno "$DENO_OLDEST" "$tools/deno-oldest"; denort; bundler ;;
  *) printf 'usage: scripts/setup.sh base|demo|guest|bench|compile\n' >&2; exit 2 ;;
esac
