#!/usr/bin/env bash
# Two surprises in go-qemu's socket monitor: one long reply ends it for good, and what Run() returned changes
# later.
#
# Expected: any QMP reply can be read; the bytes that Run() returns belong to the caller.
# Found: (1) replies are read line by line with a limit of 64 KiB. query-qmp-schema (207,000 bytes in QEMU
#   7.2) gives "token too long", after which each call fails with "unexpected end of JSON input", a fault of
#   the reply by its words, while the connection is what is dead. Any other long answer does the same. (2) the
#   slice returned is a window on the reader's buffer: after some tens of further replies it holds pieces of
#   theirs. Valid JSON turns into other JSON or into none.
# Versions: go-qemu v0.0.0-20250212194115-ee9b0668d242, QEMU 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3). Seen
#   2026-11-28.
# Seen: query-uuid at once: {"return": {"UUID": "00000000-0000-0000-0000-000000000000"}}; overwritten after 20
#   more replies:
#   "{\"return\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}, \""
#   query-qmp-schema: bufio.Scanner: token too long; then query-name: unexpected end of JSON input
# Matters to: Go programs that cache a reply (capabilities, memory layout) or ask for the schema first.
# Instead: decode or copy before the next Run(); never ask such a monitor for long answers; on "token too
#   long" connect anew.
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

command -v go >/dev/null || skip "no go"
V=v0.0.0-20250212194115-ee9b0668d242
mkdir "$T/p"; cd "$T/p"
export GOPATH="$T/go" GOCACHE="$T/gocache" GOFLAGS="-mod=mod -modcacherw" CGO_ENABLED=0 GOTOOLCHAIN=local
printf 'module probe\n\ngo 1.21\n' >go.mod
timeout 40 go get "github.com/digitalocean/go-qemu@$V" >/dev/null 2>&1 || skip "go-qemu $V cannot be had from the Go proxy here"
echo "go-qemu $V"

cat >main.go <<'GO'
package main

import (
	"fmt"
	"os"
	"time"

	"github.com/digitalocean/go-qemu/qmp"
)

func main() {
	m, err := qmp.NewSocketMonitor("unix", os.Args[1], 5*time.Second)
	if err == nil {
		err = m.Connect()
	}
	if err != nil {
		panic(err)
	}
	first, err := m.Run([]byte(`{"execute": "query-uuid"}`))
	if err != nil {
		panic(err)
	}
	want, n := string(first), 0
	for n = 1; n <= 500 && string(first) == want; n++ {
		if _, err := m.Run([]byte(`{"execute": "query-version"}`)); err != nil {
			panic(err)
		}
	}
	fmt.Printf("query-uuid at once: %s; overwritten after %d more replies: %q\n", want, n-1, first)
	_, long := m.Run([]byte(`{"execute": "query-qmp-schema"}`))
	_, short := m.Run([]byte(`{"execute": "query-name"}`))
	fmt.Printf("query-qmp-schema: %v; then query-name: %v\n", long, short)
	if string(first) == want || long == nil || short == nil {
		os.Exit(1)
	}
}
GO
timeout 80 go build -gcflags="all=-N -l" -ldflags="-s -w" -o probe . || skip "go-qemu does not build here"
qemu-system-x86_64 -nodefaults -machine none -accel tcg -display none -qmp "unix:$T/qmp,server=on,wait=off" &
PIDS+=($!)
for _ in $(seq 100); do [ -S "$T/qmp" ] && break; sleep 0.1; done
timeout 15 ./probe "$T/qmp" || changed "long replies are read, or replies stay as they were"
echo "as found"
