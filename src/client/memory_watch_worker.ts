/**
 * The thread of a memory watch: a Worker that receives contexts, and posts the changes in them.
 * @module
 */
import { MemoryPoller } from "./memory_poller.ts";
import type { WatchOrder, WatchReport } from "./memory_watch_messages.ts";

const worker = self as unknown as {
  onmessage: ((message: MessageEvent<WatchOrder>) => void) | null;
  postMessage(report: WatchReport): void;
  close(): void;
};

let poller: MemoryPoller | undefined;

worker.onmessage = ({ data }) => {
  if (data.what === "start") {
    poller = new MemoryPoller(data.shared, data.rateHz, (report) => worker.postMessage(report));
  }
  // The first message is counted like all others.
  poller?.take(data);
  if (data.what === "stop") worker.close();
};
