#!/usr/bin/env bash
# A snapshot of a running VM that is loaded into a suspended one stands still; one of a suspended VM that is
# loaded into a running one runs.
#
# Expected: snapshot-load brings back the VM as it was saved: a running one runs, a sleeping one sleeps
#   until system_wakeup.
# Found: whether the vCPUs run is not taken from the snapshot but from the VM as it is at the moment of the
#   load. A VM that sleeps stays `suspended`, though the guest in its memory never went to sleep, and
#   without an event; system_wakeup starts it. The other way round the sleeping guest runs on behind the
#   instruction that put it to sleep, with no WAKEUP, and system_wakeup is refused. In QEMU 11.1 the first
#   case runs at once.
# Versions: QEMU 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3); 11.1.3 (Debian 1:11.1.3+ds-1) as said. Seen
#   2026-11-29.
# Seen: "awake" loaded into a suspended VM: suspended, its guest runs: False, events: none
#   system_wakeup: {}, running, its guest runs: True
#   "asleep" loaded into a running VM: running, its guest runs: True, events: STOP, RESUME
#   system_wakeup: Unable to wake up: guest is not in suspended state
# Matters to: test runners that go back to a snapshot between tests: after one that let the guest sleep, the
#   next finds a good load and a dead guest.
# Instead: before a load system_wakeup (or system_reset and cont) a suspended VM; after it compare
#   query-status with what was noted at the save.
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

command -v qemu-img >/dev/null || skip "no qemu-img (Debian: qemu-utils)"
qemu-img create -q -f qcow2 "$T/d.qcow2" 64M
# The guest, a boot sector: prints "A" to port 0xe9, waits a little, begins anew.
python3 - "$T" <<'PY'
import sys
code = bytes([0xb0, 0x41, 0xe6, 0xe9, 0x31, 0xc9, 0xe2, 0xfe, 0xeb, 0xf6])
open(sys.argv[1] + "/boot", "wb").write(code + bytes(510 - len(code)) + b"\x55\xaa" + bytes(1474560 - 512))
PY
qemu-system-x86_64 -nodefaults -machine pc -accel tcg -m 64 -display none -debugcon "file:$T/out" -global isa-debugcon.iobase=0xe9 \
  -drive "file=$T/boot,if=floppy,format=raw,readonly=on" -boot a -drive "file=$T/d.qcow2,if=none,id=d,node-name=n" -device virtio-blk-pci,drive=d \
  -qmp "unix:$T/qmp,server=on,wait=off" &
PIDS+=($!)
timeout 110 python3 - "$T" <<'PY' || changed "a load gives the VM another run state now"
import sys; sys.path.insert(0, sys.argv[1])
from client import *
T = sys.argv[1]; q = Qmp(T + "/qmp"); jobs = 0
def state(want=None):
    while True:
        got = q("query-status")["status"]
        if want is None or got == want: return got
        time.sleep(0.1)
def size(): return os.path.getsize(T + "/out") if os.path.exists(T + "/out") else 0
def runs():                                                 # a VM that says it runs is given all the time it needs
    before = size()
    if state() == "running":
        while size() == before: time.sleep(0.1)
        return True
    time.sleep(2); return size() > before
def job(command, tag):
    global jobs; jobs += 1; q.events.clear(); r = q(command, job_id=f"j{jobs}", tag=tag, vmstate="n", devices=["n"])
    if r: sys.exit(str(r))
    while (j := next(j for j in q("query-jobs") if j["id"] == f"j{jobs}"))["status"] != "concluded": time.sleep(0.1)
    if "error" in j: sys.exit(j["error"])
    return ", ".join(e["event"] for e in q.events if e["event"] in ("STOP", "RESUME", "SUSPEND", "WAKEUP")) or "none"
def wake(): r = q("system_wakeup"); return r.get("error", r)
while size() < 50: time.sleep(0.1)
job("snapshot-save", "awake"); q.hmp("o /h 0x604 0x2400"); state("suspended"); job("snapshot-save", "asleep")
e1 = job("snapshot-load", "awake"); s1, r1 = state(), runs()
print(f'"awake" loaded into a suspended VM: {s1}, its guest runs: {r1}, events: {e1}')
w1 = wake(); s2, r2 = state(), runs(); print(f"system_wakeup: {w1}, {s2}, its guest runs: {r2}")
e3 = job("snapshot-load", "asleep"); s3, r3 = state(), runs()
print(f'"asleep" loaded into a running VM: {s3}, its guest runs: {r3}, events: {e3}'); w3 = wake(); print(f"system_wakeup: {w3}")
sys.exit(0 if (s1, r1, e1, s2, r2, s3, r3, e3) == ("suspended", False, "none", "running", True, "running", True, "STOP, RESUME") and "not in suspended" in w3 else 1)
PY
echo "as found"
