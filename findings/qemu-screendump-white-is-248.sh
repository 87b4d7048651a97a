#!/usr/bin/env bash
# White is 248 in a screendump of a 15-bit mode, and 255 in one of a 16-bit mode of the same card.
#
# Expected: colours of 5 and 6 bits are widened to 8 by one rule, and full intensity stays full (255).
# Found: for 16 bits (5-6-5) the upper bits are repeated below, so 31 gives 255. For 15 bits (5-5-5) zeros are
#   put there: 31 gives 248, and a middle value 16 gives 128 where the other mode has 132.
# Versions: QEMU 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3). Seen 2026-11-28.
# Seen: 15 bits: white [248, 248, 248], half [128, 128, 128]
#   16 bits: white [255, 255, 255], half [132, 130, 132]
# Matters to: picture comparison, OCR thresholds ("is this pixel white") and code that checks video memory
#   read directly against a screendump: the same guest drawing has other colours after a mode switch.
# Instead: widen per mode as QEMU does when you compare, or compare the upper 5 bits only.
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

qemu-system-x86_64 -nodefaults -machine pc -accel tcg -m 64 -display none -vga std -gdb "unix:$T/gdb,server=on,wait=off" \
  -qmp "unix:$T/qmp,server=on,wait=off" &
PIDS+=($!)
timeout 90 python3 - "$T" "${PIDS[*]:-}" <<'PY' || changed "colours are widened otherwise now"
import sys; sys.path.insert(0, sys.argv[1])
from client import *
import re
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
seen = {}
for bits, values in ((15, (0x7fff, 0x4210)), (16, (0xffff, 0x8410))):
    reg(4, 0); reg(1, 640); reg(2, 480); reg(3, bits); reg(4, 0x41)
    assert gdb(f"M{lfb:x},4:" + b"".join(v.to_bytes(2, "little") for v in values).hex()) == b"OK"
    q("screendump", filename=T + "/a.ppm"); data = open(T + "/a.ppm", "rb").read()
    assert data.startswith(b"P6\n640 480\n255\n")
    seen[bits] = list(data[15:18]), list(data[18:21])
    print(f"{bits} bits: white {seen[bits][0]}, half {seen[bits][1]}")
sys.exit(0 if seen == {15: ([248] * 3, [128] * 3), 16: ([255] * 3, [132, 130, 132])} else 1)
PY
echo "as found"
