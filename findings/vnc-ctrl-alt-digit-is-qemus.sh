#!/usr/bin/env bash
# Ctrl+Alt+2 typed into a VNC viewer never reaches the guest: QEMU takes it and turns the keyboard of every
# viewer to another console.
#
# Expected: a VNC server hands each key to the guest; switching QEMU's own consoles is a matter of its GTK or
#   SDL window.
# Found: QEMU's VNC server swallows the digit (1 and 2 here; its source: 1 to 9) and selects that console for
#   all viewers of the server: what another viewer types then goes to the serial console. A server bound to a
#   display (display=ID) swallows nothing.
# Versions: QEMU 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3). Seen 2026-11-28.
# Seen: one: Ctrl+Alt+2, two: x, one: Ctrl+Alt+1, two: y -> guest: ctrl alt y
#   bound: Ctrl+Alt+2, x -> guest: ctrl alt 2 x
# Matters to: noVNC front ends, remote desktops with Ctrl+Alt+digit hot keys, and tools that share a VNC
#   server with people: one viewer's key takes away the others' guest, without a message.
# Instead: give the card an id and bind the server: -vnc ...,display=ID. Keys by input-send-event are not
#   looked at.
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

qemu-system-x86_64 -nodefaults -machine pc -accel tcg -m 64 -display none -device VGA,id=card -serial vc -vnc "unix:$T/free,lock-key-sync=off" \
  -vnc "unix:$T/bound,id=bound,display=card,lock-key-sync=off" -trace input_event_key_qcode -D "$T/log" \
  -qmp "unix:$T/qmp,server=on,wait=off" &
PIDS+=($!)
timeout 90 python3 - "$T" "${PIDS[*]:-}" <<'PY' || changed "Ctrl+Alt+digit over VNC goes elsewhere now"
import sys; sys.path.insert(0, sys.argv[1])
from client import *
import re
def viewer(path, *encodings):
    s = socket.socket(socket.AF_UNIX); s.settimeout(60); s.connect(path); f = s.makefile("rb")
    f.read(12); s.sendall(b"RFB 003.008\n"); f.read(f.read(1)[0]); s.sendall(b"\1"); f.read(4); s.sendall(b"\1")
    f.read(20); f.read(int.from_bytes(f.read(4), "big"))
    s.sendall(bytes([2, 0]) + len(encodings).to_bytes(2, "big") + b"".join(e.to_bytes(4, "big", signed=True) for e in encodings))
    return s, f
T = sys.argv[1]; Qmp(T + "/qmp").close(); start = 0
def keys(s, *steps):
    for sym, down in steps: s.sendall(bytes([4, down, 0, 0]) + sym.to_bytes(4, "big")); time.sleep(0.2)
def chord(s, digit): keys(s, (0xffe3, 1), (0xffe9, 1), (digit, 1), (digit, 0), (0xffe9, 0), (0xffe3, 0))
def pressed(until):                                         # the keys that the guest was given, up to this one
    global start
    for _ in range(600):
        got = re.findall(r"key qcode (\w+), down 1", open(T + "/log").read())[start:]
        if until in got: break
        time.sleep(0.1)
    start += len(got); return got
one, f1 = viewer(T + "/free", 0); two, f2 = viewer(T + "/free", 0); bound, f3 = viewer(T + "/bound", 0)
chord(one, ord("2")); keys(two, (ord("x"), 1), (ord("x"), 0)); chord(one, ord("1")); keys(two, (ord("y"), 1), (ord("y"), 0))
a = pressed("y"); print("one: Ctrl+Alt+2, two: x, one: Ctrl+Alt+1, two: y -> guest:", *a)
chord(bound, ord("2")); keys(bound, (ord("x"), 1), (ord("x"), 0)); b = pressed("x")
print("bound: Ctrl+Alt+2, x -> guest:", *b)
sys.exit(0 if "2" not in a and "1" not in a and "x" not in a and a[-1] == "y" and b == ["ctrl", "alt", "2", "x"] else 1)
PY
echo "as found"
