/**
 * What `vmsig join` and its thread for questions about memory tell each other.
 * @module
 */
import type { JsonObject } from "../../nats/wire/json_body.ts";

/** A question, or "stop". */
export interface MemoryOrder {
  /** Its number. */
  readonly id: number;
  /** The daemon's socket. */
  readonly socketPath: string;
  /** Who asks, by the server's word. */
  readonly user: string;
  /** What log and audit call it. */
  readonly name: string;
  /** The VM's name. */
  readonly endpoint: string;
  /** What is asked. */
  readonly body: JsonObject;
}

/** An answer. */
export type MemoryReport =
  | { readonly id: number; readonly is: "answered"; readonly lines: object }
  | { readonly id: number; readonly is: "refused"; readonly code: string; readonly text: string };
