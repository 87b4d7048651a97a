/**
 * The thread that answers questions about guests' memory: a Worker, with clients of its own at the daemon.
 * @module
 */
import { Fault, messageOf } from "../../base/fault.ts";
import { LocalBus } from "../../nats/join/local_bus.ts";
import { askMemoryHere } from "./mem_answer.ts";
import type { MemoryOrder, MemoryReport } from "./mem_thread_messages.ts";

const worker = self as unknown as {
  onmessage: ((message: MessageEvent<MemoryOrder | "stop">) => void) | null;
  postMessage(report: MemoryReport): void;
  close(): void;
};

async function answer({ id, socketPath, user, name, endpoint, body }: MemoryOrder): Promise<void> {
  try {
    const bus = new LocalBus(socketPath);
    const lines = await askMemoryHere({ connect: (sub) => bus.clientFor(user, name, sub), endpoint, body });
    worker.postMessage({ id, is: "answered", lines });
  } catch (error) {
    // A defect in the code that reads guests ends the answer, not the host's service.
    const code = error instanceof Fault ? error.code : "refused";
    worker.postMessage({ id, is: "refused", code, text: messageOf(error) });
  }
}

worker.onmessage = ({ data }) => {
  if (data === "stop") worker.close();
  else void answer(data);
};
