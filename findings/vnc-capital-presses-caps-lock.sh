#!/usr/bin/env bash
# Typing "Ab!" into QEMU with a VNC library presses Caps Lock in the guest, and the "!" arrives as "1".
#
# Expected: a VNC key event carries a keysym, so "A" types A and "!" types !; a server that wants Shift would
#   add Shift.
# Found: asyncvnc's keyboard.write (and vncdotool's type, without its option for capitals) sends the bare
#   keysym. QEMU looks up the key and ignores the level: "!" is the key 1. Letters alone are treated apart: if
#   the case does not fit what QEMU believes of Caps Lock, it presses and releases Caps Lock in the guest
#   before the letter, and again before the next letter of the other case.
# Versions: QEMU 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3), asyncvnc 1.3.0. Seen 2026-11-28.
# Seen: keyboard.write("Ab!") -> caps_lock a caps_lock b 1
# Matters to: passwords and commands typed into a VM: symbols are wrong with no error, and after "A" the
#   guest's Caps Lock is ON (the light, too) until somebody sends a lower-case letter; keys that a second path
#   injects (QMP) come out in capitals meanwhile.
# Instead: hold Shift yourself and send the unshifted key, or use the extended key event (-258) or QMP with
#   key names; -vnc ...,lock-key-sync=off ends the Caps Lock part only.
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

python3 -m venv "$T/v" >/dev/null 2>&1 || skip "python3 has no venv"
timeout 45 "$T/v/bin/pip" install -q asyncvnc==1.3.0 >/dev/null 2>&1 || skip "asyncvnc 1.3.0 cannot be had from PyPI here"
echo "asyncvnc 1.3.0"
qemu-system-x86_64 -nodefaults -machine pc -accel tcg -m 64 -display none -vga std -vnc "unix:$T/vnc" \
  -qmp "unix:$T/qmp,server=on,wait=off" -trace input_event_key_qcode -D "$T/log" &
PIDS+=($!)
timeout 60 "$T/v/bin/python" - "$T" <<'PY' || changed "the keys that reach the guest are others now"
import sys; sys.path.insert(0, sys.argv[1])
from client import *
import asyncio, asyncvnc, re
T = sys.argv[1]; Qmp(T + "/qmp").close()
async def main():
    async def opener(host, port): return await asyncio.open_unix_connection(T + "/vnc")
    async with asyncvnc.connect("", 0, opener=opener) as c:
        c.keyboard.write("Ab!"); await c.drain(); await asyncio.sleep(2)
asyncio.run(main())
keys = re.findall(r"key qcode (\w+), down 1", open(T + "/log").read())
print('keyboard.write("Ab!") ->', *keys)
sys.exit(0 if keys == ["caps_lock", "a", "caps_lock", "b", "1"] else 1)
PY
echo "as found"
