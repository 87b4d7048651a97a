#!/usr/bin/env bash
# A VNC viewer that disconnects with a key and a mouse button down lets go of the key; the button stays down
# in the guest.
#
# Expected: what a viewer held is released when it goes, keys and buttons alike (or neither).
# Found: QEMU's VNC server lifts the viewer's keys when it leaves. It does not lift buttons, and sends a
#   button only when it differs from what the same viewer said before: the next viewer's movements, which say
#   that no button is down, change nothing. The guest has the button down until somebody presses and releases
#   it again.
# Versions: QEMU 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3). Seen 2026-11-28.
# Seen: pressed, then disconnected: left+ b+ b-
#   another viewer moves without a button, then presses c: c+
#   it presses and releases the button: left+ left-
# Matters to: a browser tab closed during a drag, a test client that dies after a press: the guest selects or
#   drags whatever the pointer (moved by QMP or a tablet meanwhile) passes over.
# Instead: when a viewer goes, release its buttons: by input-send-event (btn, down false), or by one more
#   press and release from another viewer.
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

qemu-system-x86_64 -nodefaults -machine pc -accel tcg -m 64 -display none -vga std -vnc "unix:$T/vnc,lock-key-sync=off" \
  -trace input_event_key_qcode -trace input_event_btn -D "$T/log" \
  -qmp "unix:$T/qmp,server=on,wait=off" &
PIDS+=($!)
timeout 90 python3 - "$T" "${PIDS[*]:-}" <<'PY' || changed "the button of a viewer that left is released now"
import sys; sys.path.insert(0, sys.argv[1])
from client import *
import re
def viewer(path, *encodings):
    s = socket.socket(socket.AF_UNIX); s.settimeout(60); s.connect(path); f = s.makefile("rb")
    f.read(12); s.sendall(b"RFB 003.008\n"); f.read(f.read(1)[0]); s.sendall(b"\1"); f.read(4); s.sendall(b"\1")
    f.read(20); f.read(int.from_bytes(f.read(4), "big"))
    s.sendall(bytes([2, 0]) + len(encodings).to_bytes(2, "big") + b"".join(e.to_bytes(4, "big", signed=True) for e in encodings))
    return s, f
T = sys.argv[1]; Qmp(T + "/qmp").close()
def events(): return re.findall(r"key qcode (\w+), down (\d)|button (\w+), down (\d)", open(T + "/log").read())
def names(): return ["".join(e[0::2]) + ("+" if "1" in e[1::2] else "-") for e in events()]
def until(*wanted):
    for _ in range(600):
        if all(w in names() for w in wanted): return
        time.sleep(0.1)
    sys.exit(f"only {names()} came")
s, f = viewer(T + "/vnc", 0); s.sendall(bytes([5, 1, 0, 9, 0, 9]) + bytes([4, 1, 0, 0]) + ord("b").to_bytes(4, "big"))
until("b+", "left+"); f.close(); s.close(); until("b-"); time.sleep(3)
left = names(); print("pressed, then disconnected:", *left)
s, f = viewer(T + "/vnc", 0); n = len(left)
for x in range(5): s.sendall(bytes([5, 0, 0, 9 + x, 0, 9]))
s.sendall(bytes([4, 1, 0, 0]) + ord("c").to_bytes(4, "big")); until("c+"); moved = names()[n:]
print("another viewer moves without a button, then presses c:", *moved)
for mask in (1, 0): s.sendall(bytes([5, mask, 0, 9, 0, 9]))
until("left-"); print("it presses and releases the button:", *names()[n + len(moved):])
sys.exit(0 if sorted(left) == ["b+", "b-", "left+"] and moved == ["c+"] else 1)
PY
echo "as found"
