/**
 * A thread that opens QEMUs' RAM: a Worker that gets one request after the other and answers each. It waits
 * for that process as long as that process likes; the sender of the request does not wait.
 * @module
 */
import { openSharedRam } from "../adapters/memctx/open_shared_ram.ts";
import type { RamCall } from "./scan_client.ts";
import type { RamWorkerSays } from "./ram_opener.ts";

const worker = self as unknown as {
  onmessage: ((message: MessageEvent<RamCall>) => void) | null;
  postMessage(says: RamWorkerSays): void;
};

// Whoever counts the time does so from here: a busy machine starts a thread slowly.
worker.postMessage("ready");
worker.onmessage = ({ data }) => worker.postMessage({ id: data.id, answer: openSharedRam(data.request) });
