#!/usr/bin/env bash
# A viewer over libvncclient does not follow QEMU's changes of the mode: it overlooks the new size, and ends
# the connection at the first rectangle that is larger.
#
# Expected: a screen's number in ExtendedDesktopSize is the server's to choose, 0 included; the new size is
#   the rectangle's in any case.
# Found: libvncclient takes a size only from an update all of whose screens have a number other than 0. QEMU's
#   one screen has the number 0. A viewer that asks for DesktopSize alone gets the size, and goes on.
# Versions: libvncclient 0.9.14 (Debian 0.9.14+dfsg-1+deb12u2) with QEMU 7.2.22 (Debian
#   1:7.2+dfsg-7+deb12u18+b3). Seen 2026-11-29.
# Seen: with ExtendedDesktopSize: 640x480, then the viewer ends the connection
#   without it: 640x480, then 720x400
# Matters to: who embeds libvncclient (Remmina, KRDC and others do) to show QEMU's VMs; who writes a VNC
#   server and numbers screens from 0.
# Instead: in a client, drop ExtendedDesktopSize from the encodings (canHandleNewFBSize and -223 do), or
#   handle -308 in an extension of one's own; in a server, number screens from 1.
set -euo pipefail
skip() { echo "SKIP: $1"; exit 77; }
changed() { echo "CHANGED: $1"; exit 1; }
T=$(mktemp -d)
PIDS=()
cleanup() {
  for p in "${PIDS[@]:-}"; do
    if [ -n "$p" ]; then kill "$p" 2>/dev/null || true; wait "$p" 2>/dev/null || true; fi
  done
  rm -rf "$T"
}
trap cleanup EXIT

want() { # PROGRAM-OR-FILE PACKAGE=VERSION …
  local file=$1; shift
  case $file in /*) [ -e "$file" ] && return 0 ;; *) command -v "$file" >/dev/null && return 0 ;; esac
  [ "$(id -u)" = 0 ] || skip "no $file, and only root can install it"
  timeout 100 apt-get install -y -q --no-install-recommends "$@" >/dev/null 2>&1 || skip "$* cannot be had from apt here"
}
want qemu-system-x86_64 qemu-system-x86=1:7.2+dfsg-7+deb12u18+b3 seabios
want cc gcc libc6-dev
want /usr/include/rfb/rfbclient.h libvncserver-dev=0.9.14+dfsg-1+deb12u2
command -v python3 >/dev/null || skip "no python3"
qemu-system-x86_64 --version | head -n 1

cat >"$T/viewer.c" <<'C'
static int sizes;
static rfbBool resized(rfbClient *c) {
  free(c->frameBuffer);
  c->frameBuffer = calloc((size_t)c->width * c->height, 4);
  printf("%s%dx%d", sizes++ ? ", then " : "", c->width, c->height);
  fflush(stdout);
  return TRUE;
}
/* Takes ExtendedDesktopSize out of what the library asks for. */
static int plain;
rfbBool WriteToRFBServer(rfbClient *c, const char *bytes, unsigned int n) {
  char copy[1024];
  if (n > sizeof copy) return FALSE;
  memcpy(copy, bytes, n);
  if (plain && n > 4 && copy[0] == rfbSetEncodings)
    for (unsigned at = 4; at + 4 <= n; at += 4)
      if (!memcmp(copy + at, "\xff\xff\xfe\xcc", 4)) memset(copy + at, 0, 4);
  for (unsigned done = 0; done < n;) {
    ssize_t k = write(c->sock, copy + done, n - done);
    if (k <= 0) return FALSE;
    done += k;
  }
  return TRUE;
}
int main(int argc, char **argv) {
  plain = argc > 2;
  rfbEnableClientLogging = FALSE;
  rfbClient *c = rfbGetClient(8, 3, 4);
  c->MallocFrameBuffer = resized;
  c->canHandleNewFBSize = TRUE;
  c->appData.encodingsString = "raw";
  c->serverHost = strdup(argv[1]);
  if (!rfbInitClient(c, NULL, NULL)) return 2;
  while (sizes < 2) {
    int n = WaitForMessage(c, 30000000);
    if (n <= 0) return 3;
    if (!HandleRFBServerMessage(c)) { puts(", then the viewer ends the connection"); return 1; }
  }
  puts("");
  return 0;
}
C
cc -O1 -include stdio.h -include string.h -include rfb/rfbclient.h -o "$T/viewer" "$T/viewer.c" -lvncclient 2>"$T/cc.log" || skip "the viewer does not compile: $(head -n 1 "$T/cc.log")"

# One VM each: it stands still at first, and shows QEMU's own 640x480; then the firmware sets 720x400.
scene() { # NAME [ARGUMENT]
  qemu-system-x86_64 -nodefaults -machine pc -accel tcg -m 64 -display none -vga std -S -vnc "unix:$T/$1.vnc" \
    -qmp "unix:$T/$1.qmp,server=on,wait=off" 2>/dev/null &
  local qemu=$!
  PIDS+=("$qemu")
  for _ in $(seq 100); do [ -S "$T/$1.vnc" ] && [ -S "$T/$1.qmp" ] && break; sleep 0.1; done
  timeout 60 "$T/viewer" "$T/$1.vnc" ${2:+"$2"} >"$T/$1.out" &
  local viewer=$!
  for _ in $(seq 100); do [ -s "$T/$1.out" ] && break; sleep 0.1; done
  python3 - "$T/$1.qmp" <<'PY'
import socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); f = s.makefile("rb"); f.readline()
for command in (b"qmp_capabilities", b"cont"):
    s.sendall(b'{"execute": "%s"}' % command); f.readline()
PY
  wait "$viewer" || true
  kill "$qemu"; wait "$qemu" || true
  cat "$T/$1.out"
}
extended=$(scene extended)
plain=$(scene plain plain)
echo "with ExtendedDesktopSize: $extended"
echo "without it: $plain"
[ "$extended" = "640x480, then the viewer ends the connection" ] || changed "with ExtendedDesktopSize: $extended"
[ "$plain" = "640x480, then 720x400" ] || changed "without it: $plain"
echo "as found"
