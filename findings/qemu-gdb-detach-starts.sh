#!/usr/bin/env bash
# A look into a paused VM with gdb starts it: detaching from QEMU's gdbstub lets the VM run.
#
# Expected: detaching leaves the VM as gdb found it: a VM under -S, or one that QMP's stop had paused, stays
#   paused.
# Found: D always continues. A debugger that closes its connection instead changes nothing, a paused VM
#   stays paused; one that reads memory of a running VM has paused it, and a close leaves it so. Also, a
#   breakpoint of a debugger that closed stays in the VM: it stops there later, in run state `debug`, with
#   nobody connected. STOP and RESUME tell no reason.
# Versions: QEMU 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3). Seen 2026-11-29.
# Seen: under -S: prelaunch, attached prelaunch, detached running
#   paused by QMP: paused, attached paused, closed paused, attached and detached running
#   running: attached paused, closed paused
#   a breakpoint, then closed: cont and a reset, later debug
# Matters to: scripts that read registers or memory of a VM by gdb (dump tools, CI on a failed boot): a VM
#   that was kept still for its evidence, or held by -S until its devices are there, runs from then on.
# Instead: ask query-status first, close the socket without D (gdb's `disconnect` does) when it was paused,
#   remove breakpoints (z) before, and cont by QMP when it was running.
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

qemu-system-x86_64 -nodefaults -machine pc -accel tcg -m 64 -display none -S -gdb "unix:$T/gdb,server=on,wait=off" \
  -qmp "unix:$T/qmp,server=on,wait=off" &
PIDS+=($!)
timeout 100 python3 - "$T" <<'PY' || changed "a detached or closed debugger leaves the VM in another state now"
import sys; sys.path.insert(0, sys.argv[1])
from client import *
import re
T = sys.argv[1]; q = Qmp(T + "/qmp")
def state(want=None):                                       # waits for one that must come
    while True:
        got = q("query-status")["status"]
        if want is None or got == want: return got
        time.sleep(0.1)
def attach():
    g = socket.socket(socket.AF_UNIX); g.settimeout(30); g.connect(T + "/gdb"); send(g, "?"); return g
def send(g, text):
    g.sendall(f"${text}#{sum(text.encode()) & 255:02x}".encode()); got = b""
    while not re.search(rb"\+\$[^#]*#..$", got): got += g.recv(4096)
    g.sendall(b"+"); return got
def detach(g): send(g, "D"); g.close(); return state()
def close(g): g.close(); time.sleep(1); return state()
seen = []
a = state(); g = attach(); b = state(); seen.append((a, b, detach(g))); print("under -S: %s, attached %s, detached %s" % seen[-1])
q("stop"); a = state(); g = attach(); b = state(); c = close(g); seen.append((a, b, c, detach(attach())))
print("paused by QMP: %s, attached %s, closed %s, attached and detached %s" % seen[-1])
g = attach(); a = state(); seen.append((a, close(g))); print("running: attached %s, closed %s" % seen[-1])
g = attach(); send(g, "Z0,fe05b,1"); g.close()              # the firmware's first instructions after a reset
q("cont"); q("system_reset"); end = state("debug"); print(f"a breakpoint, then closed: cont and a reset, later {end}")
sys.exit(0 if seen == [("prelaunch", "prelaunch", "running"), ("paused",) * 3 + ("running",), ("paused",) * 2] else 1)
PY
echo "as found"
