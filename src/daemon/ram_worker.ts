/**
 * A thread that opens QEMUs' RAM: a Worker that handles one request after the other. It may block on a
 * process for any time; the sender of the request does not wait for it.
 * @module
 */
import { openSharedRam } from "../adapters/memctx/open_shared_ram.ts";
import type { RamCall } from "./scan_client.ts";
import type { RamWorkerSays } from "./ram_opener.ts";

const worker = self as unknown as {
  onmessage: ((message: MessageEvent<RamCall>) => void) | null;
  postMessage(says: RamWorkerSays): void;
};

// The sender measures the time from this message on, because a busy machine starts threads slowly.
worker.postMessage("ready");
worker.onmessage = ({ data }) => worker.postMessage({ id: data.id, answer: openSharedRam(data.request) });
