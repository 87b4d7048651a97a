/**
 * A thread that stands back from others, and tells its nice value before and after.
 * @module
 */
import { yieldToWakers } from "../../../ffi/scheduler.ts";

const worker = self as unknown as { postMessage(message: unknown): void; close(): void };

/** Field 19 of proc(5)'s stat; the name before it may hold anything. */
function nice(): number {
  const text = Deno.readTextFileSync("/proc/thread-self/stat");
  return Number(text.slice(text.lastIndexOf(")") + 2).split(" ")[16]);
}

const before = nice();
const did = yieldToWakers();
worker.postMessage({ before, did, after: nice() });
worker.close();
