#!/usr/bin/env bash
# snapshot-load with a wrong tag fails, and leaves the running VM paused.
#
# Expected: a load that cannot start (no such snapshot) changes nothing; the VM runs on, as it does after a
#   failed snapshot-save.
# Found: QEMU stops the VM before it looks for the tag, and starts it again only after success. QMP's command
#   returns {} at once, the error stands in the job, the VM stays in `restore-vm` until cont. HMP loadvm is
#   the same.
# Versions: QEMU 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3). Seen 2026-11-28.
# Seen: snapshot-save one: reply {}, job error None, events ['STOP', 'RESUME'], VM running
#   snapshot-save one: reply {}, job error "Snapshot 'one' already exists in one or more devices", events [],
#     VM running
#   snapshot-load one: reply {}, job error None, events ['STOP', 'RESUME'], VM running
#   snapshot-load two: reply {}, job error "Snapshot 'two' does not exist in one or more devices", events
#     ['STOP'], VM restore-vm
#   after cont, HMP loadvm two: "Error: Snapshot 'two' does not exist in one or more devices", VM restore-vm
# Matters to: test runners that go back to a snapshot by name: a misspelt tag looks like a hung guest, with
#   STOP as the only sign and a reply that said success.
# Instead: look the tag up before (query-named-block-nodes lists snapshots); wait for JOB_STATUS_CHANGE
#   concluded, read query-jobs, and after an error compare query-status with the state before.
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
qemu-img create -q -f qcow2 "$T/d.qcow2" 16M
qemu-system-x86_64 -nodefaults -machine pc -accel tcg -m 64 -display none -drive "file=$T/d.qcow2,if=none,id=d,node-name=n" -device virtio-blk-pci,drive=d \
  -qmp "unix:$T/qmp,server=on,wait=off" &
PIDS+=($!)
timeout 90 python3 - "$T" "${PIDS[*]:-}" <<'PY' || changed "a failed load leaves the VM as it was"
import sys; sys.path.insert(0, sys.argv[1])
from client import *
q = Qmp(sys.argv[1] + "/qmp"); states = []
def job(command, tag, **more):
    q.events.clear(); name = f"job{len(states)}"; r = q(command, job_id=name, tag=tag, devices=["n"], **more)
    for _ in range(600):
        mine = [j for j in q("query-jobs") if j["id"] == name]
        if mine and mine[0]["status"] == "concluded": break
        time.sleep(0.1)
    stops = [e["event"] for e in q.events if e["event"] in ("STOP", "RESUME")]
    status = q("query-status")["status"]; states.append(("error" in mine[0], stops, status))
    print(f"{command} {tag}: reply {r}, job error {mine[0].get('error')!r}, events {stops}, VM {status}")
job("snapshot-save", "one", vmstate="n")
job("snapshot-save", "one", vmstate="n")
job("snapshot-load", "one", vmstate="n")
job("snapshot-load", "two", vmstate="n")
q("cont"); text = q.hmp("loadvm two").strip(); hmp = q("query-status")["status"]
print(f"after cont, HMP loadvm two: {text!r}, VM {hmp}")
ok = states[1] == (True, [], "running") and states[2] == (False, ["STOP", "RESUME"], "running") and states[3] == (True, ["STOP"], "restore-vm") and hmp == "restore-vm"
sys.exit(0 if ok else 1)
PY
echo "as found"
