/**
 * The loop's thread: a Worker that receives its plan in one message, and then runs the loop until it is told
 * to stop. After that nothing in it is asynchronous, except that the code for VMs is loaded when the first
 * one is attached.
 * @module
 */
import { Fault, messageOf } from "../base/fault.ts";
import { loadMakers } from "../hosts/makers.ts";
import { LoopDaemon } from "./loop_daemon.ts";
import type { LoopPlan, LoopReport } from "./plan.ts";

const worker = self as unknown as {
  onmessage: ((message: MessageEvent<LoopPlan>) => Promise<void>) | null;
  postMessage(report: LoopReport): void;
  close(): void;
};

worker.onmessage = async ({ data }) => {
  try {
    // Hosts are made only before the loop runs: a change of them takes effect at the next start.
    const makers = await loadMakers(data.config.hosts);
    await new LoopDaemon(data, (report) => worker.postMessage(report), makers).run();
  } catch (error) {
    const code = error instanceof Fault ? error.code : "refused";
    const stack = error instanceof Fault ? "" : `\n${error instanceof Error ? error.stack : ""}`;
    worker.postMessage({ type: "failed", code, message: messageOf(error) + stack });
  }
  worker.close();
};
