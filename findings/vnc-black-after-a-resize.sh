#!/usr/bin/env bash
# After a mode change to a black screen QEMU's VNC server never answers a viewer's incremental requests,
# though the viewer has not had a pixel of that screen.
#
# Expected: after the DesktopSize rectangle the whole new screen counts as changed, so that the next request
#   of either sort brings it.
# Found: QEMU takes a fresh copy of its own, all zero, and looks for differences to that. If the new screen
#   has one lit pixel an incremental request brings all of it; if it is all zero the request stands without
#   an answer, and a full request is answered at once.
# Versions: QEMU 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3). Seen 2026-11-28.
# Seen: new screen with a lit pixel: an incremental request is answered by 800x600
#   new screen black: an incremental request is answered by None in 8 s, a full one by 800x600
# Matters to: viewers and recorders that only ask incrementally after the start: over a mode change they
#   keep the old picture, or garbage, until the guest draws; recordings show a screen that was not there.
# Instead: after a DesktopSize ask for the whole screen with a non-incremental request, or clear the picture
#   yourself. A request that stood over the change is valid, too: by timing one or two pictures come, so do
#   not take the first for the answer to the second request.
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

qemu-system-x86_64 -nodefaults -machine pc -accel tcg -m 64 -display none -vga std -vnc "unix:$T/vnc" -gdb "unix:$T/gdb,server=on,wait=off" \
  -qmp "unix:$T/qmp,server=on,wait=off" &
PIDS+=($!)
timeout 90 python3 - "$T" "${PIDS[*]:-}" <<'PY' || changed "a resize is followed by other updates now"
import sys; sys.path.insert(0, sys.argv[1])
from client import *
import re
def viewer(path, *encodings):
    s = socket.socket(socket.AF_UNIX); s.settimeout(60); s.connect(path); f = s.makefile("rb")
    f.read(12); s.sendall(b"RFB 003.008\n"); f.read(f.read(1)[0]); s.sendall(b"\1"); f.read(4); s.sendall(b"\1")
    f.read(20); f.read(int.from_bytes(f.read(4), "big"))
    s.sendall(bytes([2, 0]) + len(encodings).to_bytes(2, "big") + b"".join(e.to_bytes(4, "big", signed=True) for e in encodings))
    return s, f
T = sys.argv[1]; q = Qmp(T + "/qmp")
for _ in range(600):                                        # the firmware gives the card its addresses
    pci = q.hmp("info pci"); m = re.search(r"BAR0: 32 bit prefetchable memory at 0x([0-9a-f]{8}) \[", pci)
    b = re.search(r"BAR2: 32 bit memory at 0x([0-9a-f]{8}) \[", pci)
    if m and b and q.hmp(f"xp /1hx 0x{b[1]}+0x500").split()[-1].startswith("0xb0c"): break
    time.sleep(0.1)
q("stop"); lfb = int(m[1], 16)
g = socket.socket(socket.AF_UNIX); g.settimeout(60); g.connect(T + "/gdb"); gf = g.makefile("rb")
def gdb(packet):                                            # writes to guest memory
    g.sendall(f"${packet}#{sum(packet.encode()) % 256:02x}".encode())
    while gf.read(1) != b"$": pass
    answer = b""
    while (c := gf.read(1)) != b"#": answer += c
    gf.read(2); g.sendall(b"+"); return answer
gdb("Qqemu.PhyMemMode:1")
def reg(i, v): q.hmp(f"o /h 0x1ce {i}"); q.hmp(f"o /h 0x1cf {v}")
def mode(w, h, lit):
    reg(4, 0); reg(1, w); reg(2, h); reg(3, 32); reg(4, 0x41)
    assert gdb(f"M{lfb:x},8:" + ("ff" if lit else "00") * 8) == b"OK"
def ask(s, incremental, w, h): s.sendall(bytes([3, incremental]) + bytes(4) + w.to_bytes(2, "big") + h.to_bytes(2, "big"))
def update(s, quiet):                                       # one update, or None after so many seconds
    s.settimeout(quiet); out = []
    try: head = s.recv(1)
    except TimeoutError: return None
    s.settimeout(60)
    def take(n):
        data = b""
        while len(data) < n: data += s.recv(n - len(data))
        return data
    assert head == b"\0"; take(1)
    for _ in range(int.from_bytes(take(2), "big")):
        r = take(12); w, h = int.from_bytes(r[4:6], "big"), int.from_bytes(r[6:8], "big")
        if r[8:] == bytes(4): take(w * h * 4); out.append(f"{w}x{h}")
        else: out.append("DesktopSize")
    return "+".join(out)
def scene(lit):
    mode(640, 480, True); s, f = viewer(T + "/vnc", 0, -223); ask(s, 0, 640, 480)
    while update(s, 5): pass                                # the first picture, and what came besides
    ask(s, 1, 640, 480); mode(800, 600, lit)
    while (u := update(s, 20)) != "DesktopSize": assert u   # the standing request is of the old size
    ask(s, 1, 800, 600)
    first = update(s, 60 if lit else 8)
    if first: f.close(); s.close(); return [first]
    ask(s, 0, 800, 600); full = update(s, 60); f.close(); s.close(); return [None, full]
a = scene(True); print("new screen with a lit pixel: an incremental request is answered by", a[0])
b = scene(False); print("new screen black: an incremental request is answered by", b[0], "in 8 s, a full one by", b[-1])
sys.exit(0 if a == ["800x600"] and b == [None, "800x600"] else 1)
PY
echo "as found"
