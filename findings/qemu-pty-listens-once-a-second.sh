#!/usr/bin/env bash
# Who opens a pseudo-terminal of QEMU's waits up to a second before the guest gets the first byte.
#
# Expected: a terminal is a terminal: what is written to it goes to the guest's serial port at once, as it
#   does with a socket.
# Found: QEMU cannot be told that somebody opened the other side, so it looks once a second. What is written
#   right after opening lies in the kernel until then. From there on each byte goes at once. The same again
#   after each close.
# Versions: QEMU 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3). Seen 2026-11-29.
# Seen: 8 times opened, the guest echoes: first byte on average about half a second, second byte about 0
#   by a socket: first byte about 0, second byte about 0
# Matters to: consoles of libvirt's default kind (type='pty'): scripts that open, send a line, read with a
#   short timeout and close find a guest that does not answer, or answers now and then; figures of a
#   console's delay are the phase of QEMU's clock.
# Instead: use a socket (-chardev socket, server=on, wait=off), or keep the terminal open; else allow for
#   more than a second after each open.
set -euo pipefail
skip() { echo "SKIP: $1"; exit 77; }
changed() { if [ "$?" = 124 ]; then skip "took too long here"; fi; echo "CHANGED: $1"; exit 1; }
T=$(mktemp -d)
PIDS=()
cleanup() {
  for p in "${PIDS[@]:-}"; do
    if [ -n "$p" ]; then kill "$p" 2>/dev/null || true; wait "$p" 2>/dev/null || true; fi
  done
  rm -rf "$T"
}
trap cleanup EXIT

if ! command -v qemu-system-x86_64 >/dev/null; then
  [ "$(id -u)" = 0 ] || skip "no qemu-system-x86_64, and only root can install it"
  timeout 60 apt-get install -y -q --no-install-recommends qemu-system-x86=1:7.2+dfsg-7+deb12u18+b3 seabios >/dev/null 2>&1 ||
    skip "qemu-system-x86 1:7.2+dfsg-7+deb12u18+b3 cannot be had from apt here"
fi
command -v python3 >/dev/null || skip "no python3"
qemu-system-x86_64 --version | head -n 1

cat >"$T/client.py" <<'PY'
import json, os, socket, sys, time
class Qmp:
    def __init__(self, path):
        for _ in range(200):
            try:
                self.s = socket.socket(socket.AF_UNIX); self.s.settimeout(60); self.s.connect(path); break
            except OSError: time.sleep(0.05)
        self.f = self.s.makefile("rb"); self.events = []
        self.f.readline(); self("qmp_capabilities")
    def send(self, data, fds=()):
        socket.send_fds(self.s, [data], list(fds))
        while True:
            line = self.f.readline()
            if not line: raise EOFError("monitor closed")
            if not line.startswith(b'{"timestamp"'): return line
            self.events.append(json.loads(line))
    def __call__(self, execute, fds=(), **args):
        args = {k.replace("_", "-"): v for k, v in args.items()}
        r = json.loads(self.send(json.dumps({"execute": execute, "arguments": args}).encode(), fds))
        return r["return"] if "return" in r else {"error": r["error"]["desc"]}
    def hmp(self, line): return self("human-monitor-command", command_line=line)
    def close(self): self.f.close(); self.s.close()
PY

# The guest, a boot sector: what comes on its serial port it sends back.
python3 - "$T" <<'PY'
import sys
code = bytes.fromhex("bafd03eca80174f8baf803eceeebf1")
open(sys.argv[1] + "/floppy", "wb").write(code + bytes(510 - len(code)) + b"\x55\xaa" + bytes(1474560 - 512))
PY
for kind in pty "socket,path=$T/serial,server=on,wait=off"; do
  qemu-system-x86_64 -nodefaults -machine pc -accel tcg -m 64 -display none -drive "file=$T/floppy,if=floppy,format=raw,readonly=on" -boot a \
    -chardev "$kind,id=c" -serial chardev:c -qmp "unix:$T/${kind%%,*},server=on,wait=off" >/dev/null &
  PIDS+=($!)
done
timeout 110 python3 - "$T" <<'PY' || changed "a terminal that was just opened is served at once now"
import sys; sys.path.insert(0, sys.argv[1])
from client import *
import tty
T = sys.argv[1]; tty_path = Qmp(T + "/pty")("query-chardev"); tty_path = next(c["filename"][4:] for c in tty_path if c["label"] == "c")
Qmp(T + "/socket").close()
def terminal():
    fd = os.open(tty_path, os.O_RDWR | os.O_NOCTTY); tty.setraw(fd); return fd
def stream():
    s = socket.socket(socket.AF_UNIX); s.connect(T + "/serial"); return s.detach()
def echo(fd, byte):
    start = time.monotonic(); os.write(fd, byte)
    while os.read(fd, 1) != byte: pass                      # what the firmware or an earlier byte left is not it
    return time.monotonic() - start
def roughly(s): return "about half a second" if 0.2 < s < 1 else "about 0" if s < 0.2 else f"{s:.2f} s"
mean = {}
for name, way in (("pty", terminal), ("socket", stream)):
    fd = way(); echo(fd, b"0"); os.close(fd)                # the guest has started
    took = []
    for n in range(8):
        time.sleep(1.3 + 0.13 * n); fd = way(); took.append((echo(fd, bytes([65 + n])), echo(fd, bytes([97 + n])))); os.close(fd)
    mean[name] = [sum(t) / 8 for t in zip(*took)]
print("8 times opened, the guest echoes: first byte on average %s, second byte %s" % tuple(map(roughly, mean["pty"])))
print("by a socket: first byte %s, second byte %s" % tuple(map(roughly, mean["socket"])))
first, second = mean["pty"]
sys.exit(0 if first > 0.2 and first > 3 * max(second, *mean["socket"]) else 1)
PY
echo "as found"
