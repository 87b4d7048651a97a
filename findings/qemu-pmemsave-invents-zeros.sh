#!/usr/bin/env bash
# pmemsave of addresses where the VM has no memory succeeds and writes zeros.
#
# Expected: an error, as HMP's xp gives for the same address ("Cannot access memory"), or at least a short
#   file.
# Found: QMP pmemsave returns {} and the file has the full length, zeros where there is nothing; a range
#   across the end of RAM is half real and half invented, with no border to be seen. The reply is the same for
#   a page of zeros that exists.
# Versions: QEMU 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3), machine pc, 64 MiB. Seen 2026-11-28.
# Seen: pmemsave at 256 MiB of a 64 MiB VM: {}, 4096 bytes, zero bytes 4096; xp there: 0000000010000000:
#   Cannot access memory
#   across the end of RAM: {}, 4096 bytes, real 16, invented zeros 4080
# Matters to: forensics and differs: a wrong split of RAM around the PCI hole gives a plausible, empty region
#   instead of an error, and a page table walk that leaves RAM ends in "not present" instead of "cannot be
#   read".
# Instead: take the extent from `info mtree -f` (FlatView of AS "memory") or from the split of the machine
#   type, and never ask outside of it.
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

qemu-system-x86_64 -nodefaults -machine pc -accel tcg -m 64 -display none -S -qmp "unix:$T/qmp,server=on,wait=off" \
  -device loader,addr=0x3fffff0,data=0x5555555555555555,data-len=8 -device loader,addr=0x3fffff8,data=0x5555555555555555,data-len=8 &
PIDS+=($!)
timeout 60 python3 - "$T" <<'PY' || changed "pmemsave treats absent memory otherwise"
import sys; sys.path.insert(0, sys.argv[1])
from client import *
T = sys.argv[1]; q = Qmp(T + "/qmp"); MiB = 1 << 20
a = q("pmemsave", val=256 * MiB, size=4096, filename=T + "/a"); da = open(T + "/a", "rb").read()
x = q.hmp("xp /1xg 0x10000000").strip()
print(f"pmemsave at 256 MiB of a 64 MiB VM: {a}, {len(da)} bytes, zero bytes {da.count(0)}; xp there: {x}")
b = q("pmemsave", val=64 * MiB - 16, size=4096, filename=T + "/b"); db = open(T + "/b", "rb").read()
print(f"across the end of RAM: {b}, {len(db)} bytes, real {db.count(0x55)}, invented zeros {db[16:].count(0)}")
sys.exit(0 if a == b == {} and len(da) == len(db) == 4096 and not any(da) and db == bytes([0x55]) * 16 + bytes(4080) and "Cannot access" in x else 1)
PY
echo "as found"
