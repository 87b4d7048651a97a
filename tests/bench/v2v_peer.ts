/**
 * The other process of the v2v benches and of the long runs: connects to a prefix and does what the words
 * say.
 *
 *     deno run -A v2v_peer.ts RUNTIME_DIR PREFIX produce BYTES COUNT BATCH | echo COUNT fast|slow |
 *       stream BYTES
 * @module
 */
import { doWords } from "../../src/rendezvous/bench_load.ts";
import { connectProcess } from "../../src/rendezvous/process_connector.ts";

const [runtimeDir = "", prefix = "", ...words] = Deno.args;
doWords(connectProcess(runtimeDir, prefix, { tuning: { spinNs: 2_000_000 } }), words);
