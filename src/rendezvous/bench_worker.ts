/**
 * The other end of `vmsig v2v bench`: a thread with a mapping of its own, so that no second process is
 * needed.
 * @module
 */
import { messageOf } from "../base/fault.ts";
import { doWords } from "./bench_load.ts";
import { connectProcess } from "./process_connector.ts";

/** The thread's task. */
export interface BenchOrder {
  /** The runtime directory. */
  readonly runtimeDir: string;
  /** The prefix to connect to. */
  readonly prefix: string;
  /** The load. */
  readonly words: readonly string[];
}

/** The answer: "" when done, or what went wrong. */
export type BenchAnswer = string;

const SPIN_NS = 2_000_000;

if (typeof WorkerGlobalScope !== "undefined" && self instanceof WorkerGlobalScope) {
  self.onmessage = (message: MessageEvent<BenchOrder>): void => {
    const { runtimeDir, prefix, words } = message.data;
    let answer: BenchAnswer = "";
    try {
      doWords(connectProcess(runtimeDir, prefix, { tuning: { spinNs: SPIN_NS } }), words);
    } catch (error) {
      answer = messageOf(error);
    }
    self.postMessage(answer);
  };
}
