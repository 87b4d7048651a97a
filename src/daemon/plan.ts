/**
 * What the loop's thread is started with, and what the two threads of the daemon tell each other: plain data
 * that postMessage can carry.
 * @module
 */
import type { SharedRingHandle } from "../context/shared_ring.ts";
import type { Config } from "./config.ts";
import type { RamCall, ScanCall } from "./scan_client.ts";

/** Built-in endpoints without any VM. */
export interface StubPlan {
  /** How many. */
  readonly count: number;
  /** CURSOR_STATE events per second of each; 0 = none. */
  readonly rateHz: number;
}

/** Everything the loop's thread needs. */
export interface LoopPlan {
  /** What the config says; defaults filled in. */
  readonly config: Config;
  /** The control socket. */
  readonly socketPath: string;
  /** Where other sockets and state files go. */
  readonly runtimeDir: string;
  /** Endpoints without a VM. */
  readonly stub: StubPlan;
  /** From the main thread (and any other) to the loop. */
  readonly inbox: SharedRingHandle;
  /** Prefix log lines with syslog priorities: journald listens. */
  readonly journal: boolean;
}

/** What to serve; the inbox is made by the main thread. */
export interface ServeOptions extends Omit<LoopPlan, "inbox" | "journal"> {
  /** Where the config came from: read again on SIGHUP. */
  readonly configPath: string;
}

/** Tags of messages in the inbox. */
export const INBOX = {
  /** Stop: an orderly shutdown. No payload. */
  STOP: 1,
  /** The last piece of a validated config: reload (see `config_messages.ts`). */
  CONFIG: 2,
  /** A wire frame, submitted as if a seam of its endpoint had emitted it. */
  FRAME: 3,
  /** An answer of the scanner: JSON. */
  SCANNED: 4,
  /** Ask for a page of metrics: u32 id. */
  METRICS: 5,
  /** Which QEMUs run here: JSON of FoundVm[]. */
  PROBED: 6,
  /** Is the loop alive? No payload. */
  PING: 7,
  /** RAM that was opened: JSON of a RamReturn. */
  RAM: 8,
  /** A piece of a config. */
  CONFIG_PIECE: 9,
} as const;
/** One of {@linkcode INBOX}. */
export type InboxTag = (typeof INBOX)[keyof typeof INBOX];

/** From the loop's thread to the main thread. */
export type LoopReport =
  | { readonly type: "ready" }
  | { readonly type: "failed"; readonly code: string; readonly message: string }
  | { readonly type: "stopped" }
  | { readonly type: "scan"; readonly call: ScanCall }
  | { readonly type: "open-ram"; readonly call: RamCall }
  | { readonly type: "close-ram"; readonly fds: readonly number[] }
  /** Somebody wants pictures of a VM. */
  | { readonly type: "frames-wanted" }
  | { readonly type: "alive" }
  /** The VMs that the host probe told of are in the roster. */
  | { readonly type: "probed" }
  /** The config that was sent is in force. */
  | { readonly type: "reloaded" }
  /** The folder of the sockets was removed, and is there again. */
  | { readonly type: "listening-again" }
  | { readonly type: "metrics"; readonly id: number; readonly text: string };
