/**
 * What is asked about a guest's memory, beside the words of `vmsig mem`: to wait for a process, for a while.
 * @module
 */
import type { JsonObject } from "./json_body.ts";

/** The first word of a question that waits. */
const WAIT_PROCESS = "wait-process";
/** How long one question waits at most, ms; who wants to wait longer asks again. */
export const WAIT_PROCESS_MS = 20_000;

/** Whether a question only waits. */
export function isMemoryWait(body: JsonObject): boolean {
  const words = body["words"];
  return Array.isArray(words) && words[0] === WAIT_PROCESS;
}

/** A question that waits for a process. */
export function waitQuestion(process: string): JsonObject {
  return { words: [WAIT_PROCESS, process], options: {} };
}
