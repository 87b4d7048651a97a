#!/usr/bin/env bash
# Behind one listening socket that QEMU inherited, SO_PEERCRED names two processes, by when the client
# connected.
#
# Expected: a monitor's peer is the process that answers; or, for an inherited listener, always the one who
#   made it.
# Found: the kernel notes the credentials at each listen(). The launcher binds, listens and passes the
#   descriptor; QEMU calls listen() AGAIN on it. A client that connects before QEMU has come so far names the
#   launcher for as long as the connection lives, though QEMU speaks on it; a client a moment later names
#   QEMU.
# Versions: QEMU 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3), Linux 6.18. Seen 2026-11-28.
# Seen: connected before QEMU's start: peer is the launcher, greeted by QEMU True
#   connected after: peer is QEMU, greeted by QEMU True
# Matters to: whoever finds a VM's process by its monitor (to read /proc/PID/fd for its memory, to watch it by
#   pidfd): connecting early, as managers do to lose no event, finds the launcher's PID, and a pidfd that ends
#   with the launcher, not with the VM.
# Instead: connect once more after the greeting and compare, or ask QEMU for something that only its own PID
#   can show (a memory backend's path under /proc/PID/fd); other programs with inherited listeners do not
#   listen again, so do not rely on it.
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

timeout 60 python3 - "$T" <<'PY' || changed "the peer of an inherited listener is told otherwise"
import os, socket, struct, subprocess, sys
path = sys.argv[1] + "/qmp"
l = socket.socket(socket.AF_UNIX); l.bind(path); l.listen(4)
def connect():
    s = socket.socket(socket.AF_UNIX); s.settimeout(20); s.connect(path)
    return s, struct.unpack("3i", s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
early, early_pid = connect()
q = subprocess.Popen(["qemu-system-x86_64", "-nodefaults", "-machine", "none", "-accel", "tcg", "-display", "none", "-chardev",
    f"socket,id=m,fd={l.fileno()},server=on,wait=off", "-mon", "chardev=m,mode=control"], pass_fds=[l.fileno()])
try:
    who = lambda pid: "the launcher" if pid == os.getpid() else "QEMU" if pid == q.pid else "another"
    greeted = early.recv(64).startswith(b'{"QMP"')
    still = struct.unpack("3i", early.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
    print(f"connected before QEMU's start: peer is {who(still)}, greeted by QEMU {greeted}")
    early.close()
    late, late_pid = connect(); g2 = late.recv(64).startswith(b'{"QMP"')
    print(f"connected after: peer is {who(late_pid)}, greeted by QEMU {g2}")
finally:
    q.kill(); q.wait()
sys.exit(0 if early_pid == still == os.getpid() and late_pid == q.pid and greeted and g2 else 1)
PY
echo "as found, on Linux $(uname -r | cut -d. -f1-2)"
