#!/usr/bin/env bash
# The heap of a QEMU that was started with -daemonize is several lines [heap] in /proc/PID/maps, and the
# first one is a small part of it.
#
# Expected: one line [heap], as of the same QEMU without -daemonize.
# Found: the kernel joins what brk adds to the heap's mapping only while both have the same history of
#   forks. -daemonize forks before the machine is made: what the parent had is the first mapping, and all that
#   the child allocates, which is the whole machine, is another one right behind it, with the same name.
# Versions: QEMU 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3), Linux 6.18. Seen 2026-11-29.
# Seen: plain: 1 line; -daemonize: 2 lines that touch, the first has 4 % of the heap
# Matters to: scanners of a process's memory that take "the" heap by its name, or keep lines by it: with
#   -daemonize (or any program that forks to go into the background) they see next to nothing, without an
#   error.
# Instead: join neighbours of one name and the same rights before looking at any of them.
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

options=(-nodefaults -machine q35 -accel tcg -m 64 -vga std -display none -S)
qemu-system-x86_64 "${options[@]}" -pidfile "$T/plain" -qmp "unix:$T/qmp,server=on,wait=off" &
PIDS+=($!)
qemu-system-x86_64 "${options[@]}" -pidfile "$T/daemon" -daemonize
PIDS+=("$(cat "$T/daemon")")
timeout 90 python3 - "$T" <<'PY' || changed "a heap is told otherwise now"
import sys; sys.path.insert(0, sys.argv[1])
from client import *
T = sys.argv[1]; Qmp(T + "/qmp")
def heap(name):
    pid = int(open(f"{T}/{name}").read())
    lines = [l.split() for l in open(f"/proc/{pid}/maps") if l.endswith("[heap]\n")]
    return [tuple(int(x, 16) for x in l[0].split("-")) + (l[1],) for l in lines]
plain, daemon = heap("plain"), heap("daemon")
touch = all(a[1] == b[0] and a[2] == b[2] for a, b in zip(daemon, daemon[1:]))
part = 100 * (daemon[0][1] - daemon[0][0]) / sum(b - a for a, b, _ in daemon)
print(f"plain: {len(plain)} line; -daemonize: {len(daemon)} lines{' that touch' if touch else ''}, the first has {part:.0f} % of the heap")
sys.exit(0 if len(plain) == 1 and len(daemon) > 1 and touch and part < 30 else 1)
PY
echo "as found"
