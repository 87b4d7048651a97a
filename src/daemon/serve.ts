/**
 * `vmsig serve`: the main thread of the daemon. It makes the loop's thread, takes signals, and waits. What the loop must not do (anything asynchronous or slow) is done here.
 * @module
 */
import { EventFd } from "../../ffi/event_fd.ts";
import { Fault, type FaultCode, messageOf } from "../base/fault.ts";
import { Log } from "../base/log.ts";
import { SharedRing } from "../context/shared_ring.ts";
import { ScanHost } from "./scan_host.ts";
import { readConfig } from "./serve_plan.ts";
import { INBOX, type LoopPlan, type LoopReport, type ServeOptions } from "./plan.ts";

const INBOX_BYTES = 1 << 20;
/** How long an orderly shutdown may take before the process ends without it. */
const STOP_LIMIT_MS = 1900;

/**
 * Serves until SIGTERM or SIGINT.
 *
 * @param options what to serve
 * @param onReady called when the control socket listens
 * @throws {Fault} when it cannot start
 */
export async function serve(options: ServeOptions, onReady: (socketPath: string) => void): Promise<void> {
  using bell = EventFd.create();
  const inbox = SharedRing.create(INBOX_BYTES, bell.fd);
  const worker = new Worker(new URL("./loop_worker.ts", import.meta.url), { type: "module" });
  const journal = Deno.env.get("JOURNAL_STREAM") !== undefined;
  const { config, configPath, socketPath, runtimeDir, stub } = options;
  const plan: LoopPlan = { config, socketPath, runtimeDir, stub, inbox: inbox.handle, journal };
  const log = new Log("vmsig", config.daemon.log, (line) => console.error(line), journal);
  using scanHost = new ScanHost(inbox, log);
  const ended = Promise.withResolvers<void>();
  const stop = (): void => {
    inbox.push(INBOX.STOP, new Uint8Array(0));
    Deno.unrefTimer(setTimeout(() => Deno.exit(1), STOP_LIMIT_MS));
  };
  const reload = (): void => {
    try {
      const fresh = readConfig(configPath, true);
      inbox.push(INBOX.CONFIG, new TextEncoder().encode(JSON.stringify(fresh)));
    } catch (error) {
      // The old one stays in force, whole.
      log.error(messageOf(error));
    }
  };
  worker.onmessage = ({ data }: MessageEvent<LoopReport>) => {
    switch (data.type) {
      case "ready":
        onReady(options.socketPath);
        return;
      case "failed":
        return ended.reject(new Fault(data.code as FaultCode, data.message));
      case "stopped":
        return ended.resolve();
      case "scan":
        return scanHost.take(data.call);
    }
  };
  worker.onerror = (event) => {
    event.preventDefault();
    ended.reject(new Fault("refused", `Cannot go on: the loop's thread failed: ${event.message}`));
  };
  Deno.addSignalListener("SIGTERM", stop);
  Deno.addSignalListener("SIGINT", stop);
  Deno.addSignalListener("SIGHUP", reload);
  try {
    worker.postMessage(plan);
    await ended.promise;
  } finally {
    Deno.removeSignalListener("SIGTERM", stop);
    Deno.removeSignalListener("SIGINT", stop);
    Deno.removeSignalListener("SIGHUP", reload);
    worker.terminate();
  }
}
