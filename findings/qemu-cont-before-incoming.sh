#!/usr/bin/env bash
# stop and cont sent to a QEMU that waits for a migration succeed, change nothing that can be asked for, and
# decide later whether the VM runs.
#
# Expected: while a VM waits for its state (`inmigrate`), cont and stop are refused, or have no effect.
# Found: both return {}, without an event, and query-status stays as it is, but they overwrite the launcher's
#   choice: after `-S -incoming defer` and one early cont the VM runs the moment the migration ends; without
#   -S one early stop keeps it paused.
# Versions: QEMU 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3). Seen 2026-11-28.
# Seen: -S, early nothing: reply None, then inmigrate, 0 events; after the migration paused
#   -S, early cont: reply {}, then inmigrate, 0 events; after the migration running
#   no -S, early nothing: reply None, then inmigrate, 0 events; after the migration running
#   no -S, early stop: reply {}, then inmigrate, 0 events; after the migration paused
# Matters to: managers that take over at a migration's end (snapshot restore, live migration with a check
#   before the start): a helper that sends a harmless-looking cont to a VM that does not run starts it too
#   early.
# Instead: look at query-status first and send neither command in `inmigrate`; wait for MIGRATION completed
#   (events capability), then decide.
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

qemu-system-x86_64 -nodefaults -machine pc -accel tcg -m 64 -display none  \
  -qmp "unix:$T/qmp,server=on,wait=off" &
PIDS+=($!)
timeout 90 python3 - "$T" "${PIDS[*]:-}" <<'PY' || changed "an early stop or cont is taken otherwise now"
import sys; sys.path.insert(0, sys.argv[1])
from client import *
import subprocess
T = sys.argv[1]; q = Qmp(T + "/qmp"); q("migrate", uri=f"exec:cat >{T}/state")
for _ in range(600):
    if q("query-migrate").get("status") == "completed": break
    time.sleep(0.1)
seen = []
for n, (option, early) in enumerate((("-S", None), ("-S", "cont"), ("", None), ("", "stop"))):
    vm = subprocess.Popen(["qemu-system-x86_64", "-nodefaults", "-machine", "pc", "-accel", "tcg", "-m", "64", "-display", "none",
        *option.split(), "-incoming", "defer", "-qmp", f"unix:{T}/in{n},server=on,wait=off"])
    try:
        d = Qmp(f"{T}/in{n}"); reply = d(early) if early else None; before = d("query-status")["status"]; events = len(d.events)
        d("migrate-incoming", uri=f"exec:cat {T}/state")
        for _ in range(600):
            if (end := d("query-status")["status"]) not in ("inmigrate",): break
            time.sleep(0.1)
    finally: vm.kill(); vm.wait()
    seen.append((reply, before, events, end))
    print(f"{option or 'no -S'}, early {early or 'nothing'}: reply {reply}, then {before}, {events} events; after the migration {end}")
sys.exit(0 if seen == [(None, "inmigrate", 0, "paused"), ({}, "inmigrate", 0, "running"), (None, "inmigrate", 0, "running"),
    ({}, "inmigrate", 0, "paused")] else 1)
PY
echo "as found"
