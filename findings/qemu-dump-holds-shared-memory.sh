#!/usr/bin/env bash
# dump-guest-memory of a 64 MiB VM writes 80 MiB: memory that the VM shares with others is in it, once the
# firmware has run.
#
# Expected: the dump holds the VM's own RAM (-m); what a device shows in a BAR, as ivshmem's memory that
#   belongs to a host process or another VM, is not guest memory.
# Found: everything that is RAM in the address map at that moment is written. Before the firmware gives
#   ivshmem its address the same VM's dump is 64 MiB; afterwards the shared memory is there in full, with what
#   the other side wrote. Video memory is treated alike.
# Versions: QEMU 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3). Seen 2026-11-28.
# Seen: before the firmware: 64 MiB, the other side's words in it: False
#   after the firmware: 80 MiB, the other side's words in it: True
# Matters to: crash dumps given away for analysis: they carry another party's data; tools that take the sum of
#   the segments for the size of RAM, or compare two dumps of one VM, are wrong.
# Instead: keep only the segments inside query-memory-size-summary's sizes and the machine's RAM ranges, or
#   give begin and length for each RAM range.
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

qemu-system-x86_64 -nodefaults -machine pc -accel tcg -m 64 -display none -object memory-backend-memfd,id=other,size=16M,share=on \
  -device ivshmem-plain,memdev=other -S \
  -qmp "unix:$T/qmp,server=on,wait=off" &
PIDS+=($!)
timeout 90 python3 - "$T" "${PIDS[*]:-}" <<'PY' || changed "the dump holds other memory now"
import sys; sys.path.insert(0, sys.argv[1])
from client import *
T = sys.argv[1]; q = Qmp(T + "/qmp"); pid = sys.argv[2]; word = b"written by the other side"
fd = next(n for n in os.listdir(f"/proc/{pid}/fd") if "memfd:memory-backend" in os.readlink(f"/proc/{pid}/fd/{n}"))
with open(f"/proc/{pid}/fd/{fd}", "r+b") as other: other.seek(4096); other.write(word)
def dump():
    r = q("dump-guest-memory", paging=False, protocol=f"file:{T}/dump"); assert r == {}, r
    data = open(T + "/dump", "rb").read(); return len(data) >> 20, word in data
first = dump(); q("cont")
for _ in range(600):                                        # until the firmware has given BAR2 its address
    if any("BAR2: 64 bit" in l and "0xffffffff" not in l for l in q.hmp("info pci").split("\n")): break
    time.sleep(0.1)
time.sleep(3); q("stop"); last = dump()
print(f"before the firmware: {first[0]} MiB, the other side's words in it: {first[1]}")
print(f"after the firmware: {last[0]} MiB, the other side's words in it: {last[1]}")
sys.exit(0 if first == (64, False) and last == (80, True) else 1)
PY
echo "as found"
