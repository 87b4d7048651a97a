#!/usr/bin/env bash
# system_reset of a suspended VM leaves it standing still, in run state `prelaunch`, with no event that says
# so.
#
# Expected: a reset wakes a sleeping machine, as the button of a real PC does: it boots.
# Found: system_reset returns {} and RESET is told, but the vCPUs do not run: query-status says `prelaunch`,
#   the state of a VM that was never started. There is no STOP, as the VM did not run before either;
#   system_wakeup, which woke it a moment ago, is refused. cont starts it. stop and cont before the reset
#   change nothing.
# Versions: QEMU 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3), machine pc. Seen 2026-11-29.
# Seen: suspended; system_reset {}, events RESET, then prelaunch, the firmware runs: False
#   system_wakeup: Unable to wake up: guest is not in suspended state
#   cont {}, events RESUME, then running, the firmware runs: True
# Matters to: watchdogs and test runners whose last means for a VM that does not answer is a reset: a guest
#   that had gone to sleep is dead after it, and RESET looks like success.
# Instead: after system_reset ask query-status, and cont when it says `prelaunch` and nobody wants it
#   paused.
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

qemu-system-x86_64 -nodefaults -machine pc -accel tcg -m 64 -display none -debugcon "file:$T/log" -global isa-debugcon.iobase=0x402 \
  -qmp "unix:$T/qmp,server=on,wait=off" &
PIDS+=($!)
timeout 100 python3 - "$T" <<'PY' || changed "a suspended VM does something else at a reset now"
import sys; sys.path.insert(0, sys.argv[1])
from client import *
T = sys.argv[1]; q = Qmp(T + "/qmp")
def state(want=None):
    while True:
        got = q("query-status")["status"]
        if want is None or got == want: return got
        time.sleep(0.1)
def boots(): return open(T + "/log", errors="replace").read().count("SeaBIOS (version")
def told():
    names = [e["event"] for e in q.events]; q.events.clear(); return ", ".join(names)
while "No bootable device" not in open(T + "/log", errors="replace").read(): time.sleep(0.1)
q.hmp("o /h 0x604 0x2400"); state("suspended"); q("stop"); q("cont"); asleep = state(); q.events.clear()
once = boots(); r = q("system_reset"); time.sleep(3); s = state(); runs = boots() > once; names = told()
print(f"{asleep}; system_reset {r}, events {names}, then {s}, the firmware runs: {runs}")
wake = q("system_wakeup")["error"]; print(f"system_wakeup: {wake}"); told()
c = q("cont"); first = told(); now = state()
while boots() == once: time.sleep(0.1)
print(f"cont {c}, events {first or told()}, then {now}, the firmware runs: {boots() > once}")
sys.exit(0 if (asleep, r, names, s, runs, now) == ("suspended", {}, "RESET", "prelaunch", False, "running") and "not in suspended" in wake else 1)
PY
echo "as found"
