#!/usr/bin/env bash
# After -runas the monitor tells that its peer is root, though QEMU no longer is; and the user whom QEMU runs
# as may not look at it.
#
# Expected: SO_PEERCRED on a QMP connection gives the user of the process that serves it, and that user may
#   open its own QEMU's /proc/PID/fd.
# Found: the kernel keeps the credentials of listen(), which QEMU called before it gave up root: the uid is 0,
#   for VNC's socket too, while /proc/PID/status says 65534; the pid is right, even with -daemonize. The
#   sockets belong to root with mode 0750, whatever the umask was (-daemonize sets its own), so the new user
#   cannot connect to its own VM. /proc/PID belongs to 65534, but its fd and maps to root: a process that
#   changed its uid is not dumpable.
# Versions: QEMU 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3), Linux 6.18. Seen 2026-11-28.
# Seen: peer of the monitor: pid right True, uid 0; of VNC: uid 0; the process: uid 65534; socket owned by 0,
#   mode 0750
#   /proc/PID owned by 65534, its fd by 0, its maps by 0
# Matters to: whoever admits a VM by its peer's uid ("only root's", "only my own"), or lets a helper of QEMU's
#   user re-open guest memory by /proc/PID/fd.
# Instead: take the pid from SO_PEERCRED and the uid from that process's status; let the socket and the
#   memory's descriptor be handed over by who starts QEMU (run it under its final user from the beginning, as
#   libvirt does).
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

[ "$(id -u)" = 0 ] || skip "only root can use -runas"
mkdir -m 755 "$T/d"; chmod 755 "$T"; umask 022
timeout 30 qemu-system-x86_64 -nodefaults -machine none -accel tcg -display none -runas nobody -daemonize -pidfile "$T/d/pid" \
  -qmp "unix:$T/d/qmp,server=on,wait=off" -vnc "unix:$T/d/vnc"
Q=$(cat "$T/d/pid"); PIDS+=("$Q")
timeout 60 python3 - "$T/d" "$Q" <<'PY' || changed "the peer of a QEMU with -runas is told otherwise"
import os, socket, stat, struct, sys
d, pid = sys.argv[1], int(sys.argv[2])
def peer(name):
    s = socket.socket(socket.AF_UNIX); s.connect(f"{d}/{name}")
    return struct.unpack("3i", s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
def owner(path): return os.stat(path).st_uid
m, v = peer("qmp"), peer("vnc")
uid = int(next(l for l in open(f"/proc/{pid}/status") if l.startswith("Uid:")).split()[1])
st = os.stat(d + "/qmp"); p, fd, maps = owner(f"/proc/{pid}"), owner(f"/proc/{pid}/fd"), owner(f"/proc/{pid}/maps")
print(f"peer of the monitor: pid right {m[0] == pid}, uid {m[1]}; of VNC: uid {v[1]}; the process: uid {uid}; "
      f"socket owned by {st.st_uid}, mode {stat.S_IMODE(st.st_mode):04o}")
print(f"/proc/PID owned by {p}, its fd by {fd}, its maps by {maps}")
sys.exit(0 if m[0] == pid and m[1] == v[1] == 0 and uid != 0 and st.st_uid == 0 and (p, fd, maps) == (uid, 0, 0) else 1)
PY
echo "as found, on Linux $(uname -r | cut -d. -f1-2)"
