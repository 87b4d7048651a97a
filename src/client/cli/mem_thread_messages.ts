/**
 * The messages between `vmsig join` and its thread for memory queries.
 * @module
 */
import type { JsonObject } from "../../nats/wire/json_body.ts";

/** A query, or "stop". */
export interface MemoryOrder {
  /** Its number. */
  readonly id: number;
  /** The daemon's socket. */
  readonly socketPath: string;
  /** The asking user, as authenticated by the server. */
  readonly user: string;
  /** Its name in the log and audit trail. */
  readonly name: string;
  /** The VM's name. */
  readonly endpoint: string;
  /** The query. */
  readonly body: JsonObject;
}

/** An answer. */
export type MemoryReport =
  | { readonly id: number; readonly is: "answered"; readonly lines: object }
  | { readonly id: number; readonly is: "refused"; readonly code: string; readonly text: string };
