#!/usr/bin/env bash
# getfd and add-fd take one descriptor of a message that carries several, close the others and say success.
#
# Expected: a command that can use one descriptor refuses three, or keeps the others for the commands that
#   follow, as the bytes of one write may hold several commands.
# Found: QEMU's monitor keeps the descriptors of one message for the next command only. That one takes the
#   first; the rest is closed with no error and no warning. Two getfd commands in one write with two
#   descriptors: the first works, the second is told that no descriptor came.
# Versions: QEMU 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3). Seen 2026-11-28.
# Seen: getfd with 3 descriptors: {}, QEMU holds ['probe0']
#   add-fd with 3 descriptors: ['fd', 'fdset-id'], QEMU holds ['probe0']
#   two getfd in one message with 2 descriptors: {}, 'No file descriptor supplied via SCM_RIGHTS', QEMU holds
#     ['probe0']
# Matters to: clients that pipeline commands or send descriptors of several displays or disks at once: sendmsg
#   with two commands and two descriptors is valid on a Unix socket, and the second descriptor is gone.
# Instead: one descriptor and one command per sendmsg.
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

qemu-system-x86_64 -nodefaults -machine pc -accel tcg -m 64 -display none -S \
  -qmp "unix:$T/qmp,server=on,wait=off" &
PIDS+=($!)
timeout 90 python3 - "$T" "${PIDS[*]:-}" <<'PY' || changed "several descriptors are taken otherwise now"
import sys; sys.path.insert(0, sys.argv[1])
from client import *
T = sys.argv[1]; q = Qmp(T + "/qmp"); fds = [os.memfd_create(f"probe{i}") for i in range(3)]
pid = sys.argv[2]
def held():
    links = []
    for n in os.listdir(f"/proc/{pid}/fd"):
        try: links.append(os.readlink(f"/proc/{pid}/fd/{n}"))
        except OSError: pass
    return sorted(l.split(":")[1].split()[0] for l in links if "memfd:probe" in l)
r1 = q("getfd", fds, fdname="a"); h1 = held()
print(f"getfd with 3 descriptors: {r1}, QEMU holds {h1}")
q("closefd", fdname="a")
r2 = q("add-fd", fds, fdset_id=1); h2 = held()
print(f"add-fd with 3 descriptors: {sorted(r2)}, QEMU holds {h2}")
q("cont"); q("remove-fd", fdset_id=1)
one = lambda name: json.dumps({"execute": "getfd", "arguments": {"fdname": name}})
first = json.loads(q.send((one("b") + one("c")).encode(), fds[:2])); second = json.loads(q.f.readline()); h3 = held()
print(f"two getfd in one message with 2 descriptors: {first.get('return')}, {second['error']['desc']!r}, QEMU holds {h3}")
sys.exit(0 if r1 == {} and "fd" in r2 and h1 == h2 == h3 == ["probe0"] and first == {"return": {}} else 1)
PY
echo "as found"
