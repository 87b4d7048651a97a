#!/usr/bin/env bash
# guest-exec-status says that a program has not exited, though it has and its PID is gone, as long as a child
# of it holds its output.
#
# Expected: `exited` is about the process: true once it has ended.
# Found: with capture-output the agent waits for the end of both pipes as well. A program that starts a daemon
#   and ends is "running" for as long as the daemon lives; its exit code cannot be had before. Without
#   capture-output it is told at once. The answer can be read once: the next call does not know the PID.
# Versions: qemu-guest-agent 7.2 (Debian 1:7.2+dfsg-7+deb12u18+b3), run beside the script on a Unix socket.
#   Seen 2026-11-28.
# Seen: captured, process gone, its child alive: {'exited': False}
#   child ended: exit code 3; asked again: {'error': "Invalid parameter 'pid'"}
#   not captured, child alive: {'exitcode': 3, 'exited': True}
# Matters to: provisioning through the agent (service start scripts, ssh-agent, anything with a trailing &):
#   the caller waits for ever, though the work is done, and a second watcher of the same PID gets an error.
# Instead: start such programs without capture-output, or send their output to a file; let one caller poll,
#   and keep its answer.
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

command -v python3 >/dev/null || skip "no python3"
mkdir "$T/deb" "$T/ga"; chmod 755 "$T" "$T/deb"
(cd "$T/deb" && timeout 60 apt-get download -q qemu-guest-agent=1:7.2+dfsg-7+deb12u18+b3 >/dev/null 2>&1) ||
  skip "qemu-guest-agent 1:7.2+dfsg-7+deb12u18+b3 cannot be had from apt here"
dpkg -x "$T"/deb/*.deb "$T/deb/x"
GA="$T/deb/x/usr/sbin/qemu-ga"
"$GA" --version 2>/dev/null || skip "qemu-ga does not run here"
"$GA" -m unix-listen -p "$T/sock" -t "$T/ga" -f "$T/ga/pid" &
PIDS+=($!)
timeout 90 python3 - "$T" "${PIDS[*]:-}" <<'PY' || changed "the agent tells of an exit at another time now"
import json, os, signal, socket, sys, time
T = sys.argv[1]
for _ in range(200):
    try: s = socket.socket(socket.AF_UNIX); s.settimeout(60); s.connect(T + "/sock"); break
    except OSError: time.sleep(0.05)
f = s.makefile("rb")
def ga(command, **args):
    s.sendall(json.dumps({"execute": command, "arguments": {k.replace("_", "-"): v for k, v in args.items()}}).encode() + b"\n")
    r = json.loads(f.readline()); return r["return"] if "return" in r else {"error": r["error"]["desc"]}
def until(what):
    for _ in range(600):
        if what(): return
        time.sleep(0.1)
    sys.exit("nothing came")
def run(capture, name):
    script = f"echo done; sleep 300 & echo $! >{T}/{name}.tmp; mv {T}/{name}.tmp {T}/{name}; exit 3"
    pid = ga("guest-exec", path="/bin/sh", arg=["-c", script], capture_output=capture)["pid"]
    until(lambda: os.path.exists(f"{T}/{name}") and not os.path.exists(f"/proc/{pid}"))
    return pid, int(open(f"{T}/{name}").read())
pid, child = run(True, "captured"); states = []
try:
    time.sleep(2); a = ga("guest-exec-status", pid=pid)
    print(f"captured, process gone, its child alive: {a}")
finally: os.kill(child, signal.SIGKILL)
def ended():
    states.append(ga("guest-exec-status", pid=pid)); return states[-1].get("exited")
until(ended); again = ga("guest-exec-status", pid=pid)
print(f"child ended: exit code {states[-1]['exitcode']}; asked again: {again}")
pid, child = run(False, "plain"); states.clear()
try: until(ended); print(f"not captured, child alive: {states[-1]}")
finally: os.kill(child, signal.SIGKILL)
sys.exit(0 if a == {"exited": False} and "error" in again and states[-1] == {"exited": True, "exitcode": 3} else 1)
PY
echo "as found"
