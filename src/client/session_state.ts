/**
 * What a session is made of, and where it stands: before its first daemon, with one, waiting for the next, or
 * at its end.
 * @module
 */
import type { Fault } from "../base/fault.ts";
import type { ClientLink, Introduction, LinkHost } from "./link.ts";
import type { MemoryView } from "./memory_view.ts";
import type { ReconnectOptions, Reconnector } from "./reconnector.ts";
import type { RosterView } from "./roster_view.ts";
import type { ScreenBook } from "./screen_book.ts";

/** What a link tells beside its frames: a session. */
export interface RemoteHost extends LinkHost {
  /** Who is there. */
  readonly roster: RosterView;
  /** The pictures. */
  readonly screens: ScreenBook;
  /** How memory stands. */
  readonly memory: MemoryView;
}

/** What a session is made of. */
export interface SessionOptions extends Introduction {
  /** The daemon's socket: for messages, and to come back to. */
  readonly socketPath: string;
  /** The way to the bus, not yet greeted; a connection to that socket unless told. */
  readonly makeLink?: (session: RemoteHost) => ClientLink;
  /** How to come back to a daemon that went away; undefined = not at all. */
  readonly reconnect?: ReconnectOptions | undefined;
  /** Gives up the first joining. */
  readonly signal?: AbortSignal | undefined;
}

/** Where a session stands. */
export type SessionState =
  | { readonly is: "new" }
  | { readonly is: "up"; readonly link: ClientLink }
  | {
    readonly is: "away";
    readonly sinceNs: number;
    readonly lastSeq: number;
    readonly reconnector: Reconnector;
    readonly returning: Promise<void>;
  }
  | { readonly is: "ended"; readonly fault: Fault | undefined };
