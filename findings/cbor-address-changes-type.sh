#!/usr/bin/env bash
# An address above 4 GiB changes its type between two CBOR libraries, in each direction in another way.
#
# Expected: an integer of JavaScript that is exact (below 2^53) is a CBOR integer, and comes back as a number.
# Found: cbor-x writes every integer from 2^32 on as a 64-bit FLOAT, so Python's cbor2 gets float
#   4294967296.0: bit operations and range() raise, and a strict reader that wants an integer refuses it. What
#   cborg or cbor2 writes as an integer, cbor-x reads as a BigInt from 2^32 on, though it would be exact as a
#   number: 4294967296n + 1 throws, === is false, JSON.stringify throws. Below 2^32 nothing of this is seen.
# Versions: cbor-x 1.6.9, cborg 6.1.5 (npm), cbor2 6.3.0 (PyPI). Seen 2026-11-28.
# Seen: 4294967295: cbor-x 1affffffff, cbor2 reads int; cborg 1affffffff, cbor-x reads number
#   4294967296: cbor-x fb41f0000000000000, cbor2 reads float; cborg 1b0000000100000000, cbor-x reads bigint
# Matters to: whoever sends guest-physical addresses or file offsets: tests with small VMs pass, the first VM
#   with RAM above 4 GiB fails.
# Instead: encode with cborg, or hand cbor-x a BigInt for such fields (it then writes an integer), and read
#   64-bit fields with Number(x) or BigInt(x).
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
timeout 45 "$T/v/bin/pip" install -q cbor2==6.3.0 >/dev/null 2>&1 || skip "cbor2 6.3.0 cannot be had from PyPI here"
cd "$T"; echo '{"private":true,"type":"module"}' >package.json
timeout 45 npm install --no-audit --no-fund --ignore-scripts --cache "$T/npm" cbor-x@1.6.9 cborg@6.1.5 >/dev/null 2>&1 ||
  skip "cbor-x 1.6.9 or cborg 6.1.5 cannot be had from npm here"
echo "cbor-x 1.6.9, cborg 6.1.5, cbor2 6.3.0"
cat >t.js <<'JS'
import * as x from "cbor-x";
import * as g from "cborg";
const hex = (b) => Buffer.from(b).toString("hex");
for (const n of [2 ** 32 - 1, 2 ** 32]) console.log(n, hex(x.encode(n)), hex(g.encode(n)), typeof x.decode(g.encode(n)), hex(x.encode(BigInt(n))));
JS
timeout 10 node t.js >out
timeout 15 "$T/v/bin/python" - <<'PY' || changed "the types on the other side are others now"
import cbor2
got = []
for line in open("out"):
    n, x, g, t, b = line.split(); kind = type(cbor2.loads(bytes.fromhex(x))).__name__
    print(f"{n}: cbor-x {x}, cbor2 reads {kind}; cborg {g}, cbor-x reads {t}")
    got.append((kind, t)); assert type(cbor2.loads(bytes.fromhex(b))) is int and bytes.fromhex(g) == cbor2.dumps(int(n))
raise SystemExit(0 if got == [("int", "number"), ("float", "bigint")] else 1)
PY
echo "as found"
