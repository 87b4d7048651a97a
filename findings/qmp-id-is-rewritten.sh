#!/usr/bin/env bash
# QMP gives a request's id back as QEMU understood it, not as it was sent; one valid id comes back as text
# that is not JSON.
#
# Expected: "the reply's id is the id sent", so that clients may key a table of waiting calls by its bytes.
# Found: numbers are read as int64, uint64 or double and written anew: 1.0 comes back as 1, 0.1 as
#   0.10000000000000001, 1e3 as 1000, 18446744073709551616 as 1.8446744073709552e+19; an object's keys are
#   sorted; and 1e400, a valid JSON number, makes a reply with the bare word inf, which every JSON parser
#   refuses: the whole reply is lost to such a client.
# Versions: QEMU 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3). Seen 2026-11-28.
# Seen: 1.0 -> 1; 0.1 -> 0.10000000000000001; {"b": 1, "a": 2} -> {"a": 2, "b": 1}; 1e400 -> inf
# Matters to: proxies and multiplexers of monitors, which forward the id of their own client: matched by text
#   they never find the caller.
# Instead: put an id of your own on the wire, a small integer or a plain ASCII string, and keep the client's
#   aside.
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

qemu-system-x86_64 -nodefaults -machine none -accel tcg -display none -qmp "unix:$T/qmp,server=on,wait=off" &
PIDS+=($!)
timeout 60 python3 - "$T" <<'PY' || changed "QEMU gives ids back otherwise"
import sys; sys.path.insert(0, sys.argv[1])
from client import *
q = Qmp(sys.argv[1] + "/qmp"); bad = 0
want = {"7": "7", '"vm"': '"vm"', "1.0": "1", "1e3": "1000", "0.1": "0.10000000000000001",
        "18446744073709551616": "1.8446744073709552e+19", '{"b": 1, "a": 2}': '{"a": 2, "b": 1}', "1e400": "inf"}
for sent, expected in want.items():
    json.loads(sent)                                          # each is valid JSON
    line = q.send(b'{"execute": "query-name", "id": ' + sent.encode() + b"}").decode().strip()
    back = line[line.index('"id": ') + 6:-1]
    try: json.loads(line, parse_constant=lambda c: None); parses = True
    except ValueError: parses = False
    print(f"{sent} -> {back}" + ("" if parses else "   (the reply is not JSON)"))
    bad += back != expected or parses == (sent == "1e400")
sys.exit(1 if bad else 0)
PY
echo "as found"
