#!/usr/bin/env bash
# QEMU that replays a recorded run takes keys, says success and throws them away.
#
# Expected: in replay the VM's input is what was recorded; a live input-send-event is refused, as it is on a
#   paused VM.
# Found: input-send-event and send-key return {} and no device sees the key; the trace of delivered events
#   shows the recorded key alone. Nothing in query-status tells a replayed VM from another.
# Versions: QEMU 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3). Seen 2026-11-28.
# Seen: record: a -> {}, delivered ['a']
#   play: b -> {}, send-key c -> {}, delivered ['a']
# Matters to: debuggers and test tools that attach to a VM by its monitor: the guest looks deaf.
# Instead: ask query-replay first: mode `play` means that input is ignored.
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


timeout 90 python3 - "$T" "${PIDS[*]:-}" <<'PY' || changed "input in replay is refused or delivered now"
import sys; sys.path.insert(0, sys.argv[1])
from client import *
import re, subprocess
T = sys.argv[1]
def run(mode, extra):
    return subprocess.Popen(["qemu-system-x86_64", "-nodefaults", "-machine", "pc", "-accel", "tcg", "-m", "64", "-display", "none", "-icount",
        f"shift=7,rr={mode},rrfile={T}/run", "-trace", "input_event_key_qcode", "-D", f"{T}/{mode}.log", "-qmp", f"unix:{T}/{mode},server=on,wait={extra}"])
def key(name): return {"execute": "input-send-event", "arguments": {"events": [{"type": "key", "data": {"down": True, "key": {"type": "qcode", "data": name}}}]}}
def keys(mode): return re.findall(r"key qcode (\w+), down 1", open(f"{T}/{mode}.log").read())
vm = run("record", "off")
try:
    q = Qmp(f"{T}/record"); time.sleep(3)
    r = json.loads(q.send(json.dumps(key("a")).encode()))
    mode = q("query-replay")["mode"]; time.sleep(1); q("quit"); vm.wait(60)
finally: vm.kill(); vm.wait()
print(f"{mode}: a -> {r['return']}, delivered {keys('record')}")
vm = run("replay", "on")                                    # waits for its client, so that the run is not over before
try:
    for _ in range(200):
        try: s = socket.socket(socket.AF_UNIX); s.settimeout(60); s.connect(f"{T}/replay"); break
        except OSError: time.sleep(0.05)
    f = s.makefile("rb")
    for i, c in enumerate(({"execute": "qmp_capabilities"}, {"execute": "query-replay"}, key("b"),
            {"execute": "send-key", "arguments": {"keys": [{"type": "qcode", "data": "c"}]}})): s.sendall(json.dumps({**c, "id": i}).encode())
    got = {}
    while len(got) < 4 and (line := f.readline()):
        line = json.loads(line)
        if "id" in line: got[line["id"]] = line.get("return", line.get("error"))
    try:
        while f.readline(): pass                            # the recorded run ends with QEMU
    except OSError: pass
    vm.wait(60)
finally: vm.kill(); vm.wait()
print(f"{got[1]['mode']}: b -> {got[2]}, send-key c -> {got[3]}, delivered {keys('replay')}")
sys.exit(0 if r == {"return": {}} and got[2] == got[3] == {} and keys("replay") == keys("record") == ["a"] else 1)
PY
echo "as found"
