#!/usr/bin/env bash
# One system_reset of a PC is told two or three times, and the later ones say that the guest asked for it.
#
# Expected: one reset, one RESET event, with guest false and reason host-qmp-system-reset.
# Found: that one comes, and then one or two more with guest true and reason guest-reset, though no guest
#   system is there at all: SeaBIOS, started a second time, finds that its memory was used before and resets
#   the machine itself. At the first start of the VM it does not. How many come depends on QEMU and its
#   SeaBIOS.
# Versions: QEMU 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3) with SeaBIOS 1.16.2, machines pc and q35, no disk:
#   two more; QEMU 11.1.3 (Debian 1:11.1.3+ds-1): one more. Seen 2026-11-29.
# Seen: pc: at the start: none; after one system_reset: host-qmp-system-reset, guest-reset, guest-reset
#   q35: at the start: none; after one system_reset: host-qmp-system-reset, guest-reset, guest-reset
# Matters to: who counts a guest's reboots, detects reboot loops, or tells "the user reset it" from "the
#   guest rebooted itself" by these fields: each button press is a guest's reboot as well.
# Instead: take all RESETs within about a second of running time as one, with the first one's reason; with
#   -action reboot=shutdown (-no-reboot) be prepared that the firmware's counts, too.
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

for machine in pc q35; do
  # The firmware has nothing to boot from, says so on the debug port and waits.
  qemu-system-x86_64 -nodefaults -machine "$machine" -accel tcg -m 64 -display none -debugcon "file:$T/$machine.log" \
    -global isa-debugcon.iobase=0x402 -qmp "unix:$T/$machine,server=on,wait=off" &
  PIDS+=($!)
done
timeout 100 python3 - "$T" <<'PY' || changed "a reset is told in another way now"
import sys; sys.path.insert(0, sys.argv[1])
from client import *
T = sys.argv[1]; ok = True
for machine in ("pc", "q35"):
    q = Qmp(f"{T}/{machine}")
    def booted(times):                                      # the firmware has come to the end of its work
        while open(f"{T}/{machine}.log", errors="replace").read().count("No bootable device") < times: time.sleep(0.1)
        q("query-status"); got = [e["data"] for e in q.events if e["event"] == "RESET"]; q.events.clear(); return got
    start = booted(1); q("system_reset"); after = booted(2); reasons = [e["reason"] for e in after]
    print(f"{machine}: at the start: {len(start) or 'none'}; after one system_reset: {', '.join(reasons)}")
    ok = ok and not start and reasons[0] == "host-qmp-system-reset" and len(reasons) > 1 and set(reasons[1:]) == {"guest-reset"} and all(e["guest"] for e in after[1:])
sys.exit(0 if ok else 1)
PY
echo "as found"
