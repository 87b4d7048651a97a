/**
 * A query about a guest's memory other than those of `vmsig mem`: to wait for a process, for a limited time.
 * @module
 */
import type { JsonObject } from "./json_body.ts";

/** The first word of a waiting query. */
const WAIT_PROCESS = "wait-process";
/** Longest wait of one query, ms; it can be repeated. */
export const WAIT_PROCESS_MS = 20_000;

/** Whether a query only waits. */
export function isMemoryWait(body: JsonObject): boolean {
  const words = body["words"];
  return Array.isArray(words) && words[0] === WAIT_PROCESS;
}

/** A query that waits for a process. */
export function waitQuestion(process: string): JsonObject {
  return { words: [WAIT_PROCESS, process], options: {} };
}
