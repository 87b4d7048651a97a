/**
 * How a test drives a machine: its limits of time, its keyboard, and where it leaves what it saw when it
 * failed.
 * @module
 */
import { Fault } from "../base/fault.ts";
import { printable } from "../base/printable.ts";

/** How a machine is driven. */
export interface MachineOptions {
  /** The daemon's socket; unless told that of VMSIG_SOCKET, or else the default of this user. */
  readonly socket?: string;
  /** What the daemon's log and audit call the test; "test" unless told. */
  readonly as?: string;
  /** How long each wait may take, ms; 30 s unless told. A call may say another. */
  readonly timeoutMs?: number;
  /** How long everything together may take, ms, from `machine` on; for ever unless told. */
  readonly deadlineMs?: number;
  /** The guest's keyboard layout; "us" unless told. */
  readonly layout?: string;
  /** The head that is looked at; 0 unless told. */
  readonly head?: number;
  /** Which serial port or virtio console `console` is; 0 unless told. */
  readonly consolePort?: number;
  /** Whether `console` begins with what the daemon has kept of it; false unless told. */
  readonly consoleBacklog?: boolean;
  /** Where the screen's picture and text are saved when a step fails; "vmsig-artifacts" unless told. */
  readonly artifacts?: string;
  /**
   * When a trace of what is done is kept among the artifacts, for `vmsig trace FILE.vmsig -o FILE.html`:
   * "on-failure" when a step failed (unless told), "always", or "off": none is made. Without this option
   * VMSIG_TRACE decides. "always" also keeps more pictures, and the guest's processes after every step.
   */
  readonly trace?: "on-failure" | "always" | "off";
  /**
   * What happens when another control owns the lease that a call needs: "fail" (unless told), or "wait" until
   * it is free, within the call's time.
   */
  readonly whenOwned?: "fail" | "wait";
}

/** How one wait goes. */
export interface StepOptions {
  /** How long, ms. */
  readonly timeoutMs?: number;
  /** What is there at first does not count: it has to be gone once. False unless told. */
  readonly fresh?: boolean;
}

const DEFAULT_TIMEOUT_MS = 30_000;

/** The time that a test has: for each wait, and for everything together. */
export class TimeBudget {
  readonly #timeoutMs: number;
  readonly #endMs: number;
  readonly #name: string;

  /**
   * A budget that begins now.
   *
   * @throws {Fault} `bad-argument` for times that are not above 0
   */
  constructor(name: string, { timeoutMs = DEFAULT_TIMEOUT_MS, deadlineMs = Infinity }: MachineOptions) {
    for (const [what, value] of [["timeoutMs", timeoutMs], ["deadlineMs", deadlineMs]] as const) {
      if (!(value > 0)) {
        throw new Fault("bad-argument", `Cannot drive a machine: ${what} ${value} is not above 0`);
      }
    }
    this.#name = name;
    this.#timeoutMs = timeoutMs;
    this.#endMs = performance.now() + deadlineMs;
  }

  /**
   * The time that one wait has, ms.
   *
   * @param asked what the call says
   * @throws {Fault} `timed-out` when the deadline has passed
   */
  take(asked?: number): number {
    const left = this.#endMs - performance.now();
    if (left <= 0) {
      throw new Fault("timed-out", `Cannot go on with ${printable(this.#name)}: its deadline has passed`);
    }
    return Math.max(1, Math.floor(Math.min(asked ?? this.#timeoutMs, left)));
  }
}
