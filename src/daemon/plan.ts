/**
 * What the loop's thread is started with, and what the two threads of the daemon tell each other: plain data, fit for postMessage.
 * @module
 */
import type { SharedRingHandle } from "../context/shared_ring.ts";
import type { LanePolicy } from "../context/policy.ts";
import type { LogLevel } from "../base/log.ts";

/** Built-in endpoints without any VM. */
export interface StubPlan {
  /** How many. */
  readonly count: number;
  /** CURSOR_STATE events a second of each; 0 = none. */
  readonly rateHz: number;
}

/** One endpoint to attach, as the config or a trigger file names it. */
export interface EndpointPlan {
  readonly name: string;
  /** 0 = none. */
  readonly vmid: number;
  /** Path of a QMP socket of our own; undefined = no host seam. */
  readonly qmp: string | undefined;
  readonly memory: "auto" | "memfd" | "file" | "none";
  readonly input: "qmp" | "uinput" | "none";
  readonly guest: "auto" | "linux" | "windows" | "none";
}

/** The policy of one lane. */
export interface LanePlan {
  readonly source: number;
  readonly dir: number;
  readonly policy: LanePolicy;
}

/** Everything the loop's thread needs. */
export interface LoopPlan {
  readonly socketPath: string;
  readonly runtimeDir: string;
  readonly log: LogLevel;
  readonly spinUs: number;
  readonly maxControls: number;
  readonly queueEvents: number;
  readonly endpoints: readonly EndpointPlan[];
  readonly lanes: readonly LanePlan[];
  readonly stub: StubPlan;
  /** From the main thread (and any other) to the loop. */
  readonly inbox: SharedRingHandle;
  /** Prefix log lines with syslog priorities: journald listens. */
  readonly journal: boolean;
}

/** Tags of messages in the inbox. */
export const INBOX = {
  /** Stop: an orderly shutdown. No payload. */
  STOP: 1,
  /** A validated config as JSON: reload. */
  CONFIG: 2,
  /** A wire frame, submitted as if a seam of its endpoint had emitted it. */
  FRAME: 3,
  /** An answer of the scanner: JSON. */
  SCANNED: 4,
  /** Ask for the metrics: JSON {id}. */
  METRICS: 5,
} as const;

/** From the loop's thread to the main thread. */
export type LoopReport =
  | { readonly type: "ready" }
  | { readonly type: "failed"; readonly code: string; readonly message: string }
  | { readonly type: "stopped" }
  | { readonly type: "scan"; readonly request: unknown }
  | { readonly type: "metrics"; readonly id: number; readonly text: string };
