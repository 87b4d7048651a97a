#!/usr/bin/env bash
# Reading a std VGA's mode registers through the monitor moves the guest's own index port: its next write goes
# to another register.
#
# Expected: the Bochs dispi registers in the card's MMIO BAR (BAR2 + 0x500) are addressed one by one, so
#   reading them leaves the index port (0x1ce) of the guest alone; and a monitor's `xp` only reads.
# Found: each MMIO access sets the one index register that the ports use, too. After `xp` over the 11
#   registers the index is the last one, 10. A guest that has chosen 6 (virtual width) and is paused there
#   writes its value to 10; read-modify-write drivers are hit alike.
# Versions: QEMU 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3). Seen 2026-11-28.
# Seen: index 3, after xp over the registers 10
#   index 6, 640 written: width 0, virtual width 640
#   index 6, xp of register 1, 640 written: width 640, virtual width 800
# Matters to: introspection and screen capture that read the mode while the guest runs; the guest's driver
#   writes index and data as two accesses, and between them the monitor can come.
# Instead: read the registers while the VM is paused, put the index back by `o /h 0x1ce N` (it reads back by
#   `i /h 0x1ce`), or take the size from a screendump.
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

qemu-system-x86_64 -nodefaults -machine pc -accel tcg -m 64 -display none -vga std -S \
  -qmp "unix:$T/qmp,server=on,wait=off" &
PIDS+=($!)
timeout 90 python3 - "$T" "${PIDS[*]:-}" <<'PY' || changed "reading the registers leaves the index alone now"
import sys; sys.path.insert(0, sys.argv[1])
from client import *
import re
q = Qmp(sys.argv[1] + "/qmp"); q("cont")
for _ in range(600):                                        # the firmware gives the card its addresses
    m = re.search(r"BAR2: 32 bit memory at 0x([0-9a-f]{8}) \[", q.hmp("info pci"))
    if m and m[1] != "f" * 8 and q.hmp(f"xp /1hx 0x{m[1]}+0x500").split()[-1].startswith("0xb0c"): break
    time.sleep(0.1)
q("stop"); regs = int(m[1], 16) + 0x500
def index(): return int(q.hmp("i /h 0x1ce").split()[-1], 16)
def read(n): q.hmp(f"o /h 0x1ce {n}"); return int(q.hmp("i /h 0x1cf").split()[-1], 16)
def write(value): q.hmp(f"o /h 0x1cf {value}")
q.hmp("o /h 0x1ce 3"); before = index(); q.hmp(f"xp /11hx {regs:#x}"); after = index()
print(f"index {before}, after xp over the registers {after}")
for look in (False, True):
    q.hmp("o /h 0x1ce 6"); write(800); q.hmp("o /h 0x1ce 6")
    if look: q.hmp(f"xp /1hx {regs + 2:#x}")                # reads register 1, the width
    write(640); got = [read(1), read(6)]
    print(f"index 6, {'xp of register 1, ' if look else ''}640 written: width {got[0]}, virtual width {got[1]}")
    if not look: plain = got
sys.exit(0 if (before, after) == (3, 10) and plain[1] == 640 and got == [640, 800] and plain[0] != 640 else 1)
PY
echo "as found"
