/**
 * The options of a session, and its states: before its first daemon, connected, waiting for the next daemon,
 * or ended.
 * @module
 */
import type { Fault } from "../base/fault.ts";
import type { ClientLink, Introduction, LinkHost } from "./link.ts";
import type { MemoryView } from "./memory_view.ts";
import type { ReconnectOptions, Reconnector } from "./reconnector.ts";
import type { RosterView } from "./roster_view.ts";
import type { ScreenBook } from "./screen_book.ts";

/** The parts of a session that a link updates in addition to frames. */
export interface RemoteHost extends LinkHost {
  /** The endpoints. */
  readonly roster: RosterView;
  /** The screens. */
  readonly screens: ScreenBook;
  /** How each VM's memory stands. */
  readonly memory: MemoryView;
}

/** The options of a session. */
export interface SessionOptions extends Introduction {
  /** The daemon's socket: for messages, and for reconnecting. */
  readonly socketPath: string;
  /** The link to the bus before its HELLO; by default a connection to that socket. */
  readonly makeLink?: (session: RemoteHost) => ClientLink;
  /** How to reconnect to a daemon that was lost; undefined = not at all. */
  readonly reconnect?: ReconnectOptions | undefined;
  /** Gives up the first joining. */
  readonly signal?: AbortSignal | undefined;
}

/** The state of a session. */
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
