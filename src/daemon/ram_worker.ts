/**
 * A thread that opens QEMUs' RAM: a Worker that gets one request after the other and answers each. It waits for that process as long as that process likes; whoever sent the request does not.
 * @module
 */
import { openSharedRam } from "../adapters/memctx/open_shared_ram.ts";
import type { RamCall, RamReturn } from "./loop_scanner.ts";

const worker = self as unknown as {
  onmessage: ((message: MessageEvent<RamCall>) => void) | null;
  postMessage(answer: RamReturn): void;
};

worker.onmessage = ({ data }) => worker.postMessage({ id: data.id, answer: openSharedRam(data.request) });
