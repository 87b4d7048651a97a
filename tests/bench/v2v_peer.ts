/**
 * The other process of the v2v benches and of the long runs: connects to a prefix and does one thing.
 *
 *     deno run -A v2v_peer.ts RUNTIME_DIR PREFIX produce BYTES COUNT BATCH | echo COUNT [fast] | stream BYTES
 * @module
 */
import { echo, produce, streamBytes } from "../../src/rendezvous/bench_load.ts";
import { connectProcess } from "../../src/rendezvous/process_connector.ts";

const [runtimeDir = "", prefix = "", what, first = "", second = "", third = "1"] = Deno.args;
const channel = connectProcess(runtimeDir, prefix, { tuning: { spinNs: 2_000_000 } });
if (what === "produce") produce(channel, Number(first), Number(second), Number(third));
else if (what === "echo") echo(channel, Number(first), second === "fast");
else if (what === "stream") streamBytes(channel, Number(first));
else throw new Error(`what is ${what}?`);
while (!channel.sender.drained() && !channel.remoteClosing()) channel.waitControl(5);
channel.disconnect();
