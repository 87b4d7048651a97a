/**
 * The plan with which the loop's thread is started, and the messages between the daemon's two threads: plain
 * data that postMessage can carry.
 * @module
 */
import type { SharedRingHandle } from "../context/shared_ring.ts";
import type { Config } from "./config.ts";
import type { RamCall, ScanCall } from "./scan_client.ts";

/** Built-in endpoints without a VM. */
export interface StubPlan {
  /** How many. */
  readonly count: number;
  /** CURSOR_STATE events per second and endpoint; 0 = none. */
  readonly rateHz: number;
}

/** Everything that the loop's thread needs. */
export interface LoopPlan {
  /** The config, with defaults filled in. */
  readonly config: Config;
  /** The control socket. */
  readonly socketPath: string;
  /** Directory of other sockets and state files. */
  readonly runtimeDir: string;
  /** Endpoints without a VM. */
  readonly stub: StubPlan;
  /** The inbox for messages from the main thread (and others) to the loop. */
  readonly inbox: SharedRingHandle;
  /** Whether log lines start with syslog priorities, for journald. */
  readonly journal: boolean;
}

/** The plan without the inbox, which the main thread makes. */
export interface ServeOptions extends Omit<LoopPlan, "inbox" | "journal"> {
  /** The config's file, read again on SIGHUP. */
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
  /** The scanner's answer: JSON. */
  SCANNED: 4,
  /** Request for a page of metrics: u32 id. */
  METRICS: 5,
  /** The QEMUs that are running: JSON of FoundVm[]. */
  PROBED: 6,
  /** Liveness check. No payload. */
  PING: 7,
  /** Opened RAM: JSON of a RamReturn. */
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
  /** A control wants pictures of a VM. */
  | { readonly type: "frames-wanted" }
  | { readonly type: "alive" }
  /** The VMs reported by the host probe are in the roster. */
  | { readonly type: "probed" }
  /** The config that was sent has been applied. */
  | { readonly type: "reloaded" }
  /** The folder of the sockets was removed and made again. */
  | { readonly type: "listening-again" }
  | { readonly type: "metrics"; readonly id: number; readonly text: string };
