/**
 * Where a session stands: before its first daemon, with one, waiting for the next, or at its end.
 * @module
 */
import type { Fault } from "../base/fault.ts";
import type { Link } from "./link.ts";
import type { Reconnector } from "./reconnector.ts";

/** Where a session stands. */
export type SessionState =
  | { readonly is: "new" }
  | { readonly is: "up"; readonly link: Link }
  | {
    readonly is: "away";
    readonly sinceNs: number;
    readonly lastSeq: number;
    readonly reconnector: Reconnector;
    readonly returning: Promise<void>;
  }
  | { readonly is: "ended"; readonly fault: Fault | undefined };
