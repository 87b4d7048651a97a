/**
 * The loop's thread: a Worker that gets its plan in one message, and then runs the loop until it is told to
 * stop. Nothing asynchronous happens here after that.
 * @module
 */
import { Fault, messageOf } from "../base/fault.ts";
import { LoopDaemon } from "./loop_daemon.ts";
import type { LoopPlan, LoopReport } from "./plan.ts";

const worker = self as unknown as {
  onmessage: ((message: MessageEvent<LoopPlan>) => Promise<void>) | null;
  postMessage(report: LoopReport): void;
  close(): void;
};

worker.onmessage = async ({ data }) => {
  try {
    // Later nothing can be loaded any more: a change of [libvirt] waits for a new start.
    const host = data.config.libvirt === undefined ? null : await import("../hosts/libvirt/libvirt_host.ts");
    new LoopDaemon(data, (report) => worker.postMessage(report), host?.LibvirtHost ?? null).run();
  } catch (error) {
    const code = error instanceof Fault ? error.code : "refused";
    const stack = error instanceof Fault ? "" : `\n${error instanceof Error ? error.stack : ""}`;
    worker.postMessage({ type: "failed", code, message: messageOf(error) + stack });
  }
  worker.close();
};
