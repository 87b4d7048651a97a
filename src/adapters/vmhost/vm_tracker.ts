/**
 * From QEMU's events to states of the VM: what is told, with which reason, and what is a repetition. Pure: it
 * is told events and the time, and answers with states.
 *
 * QEMU's STOP says nothing of its cause. A cause that came just before it (panic, watchdog, I/O error) is its
 * reason; without one the run state is asked for, because a migration stops a VM as silently as a person
 * does.
 *
 * A VM that was suspended when it was stopped or reset does not run when QEMU says RESUME or RESET: QEMU 9
 * and later resume it into `suspended`, and each QEMU leaves it in `prelaunch` after a reset, until `cont`.
 * So the run state is asked for there, too. A RESUME that nobody on the bus asked for may be the end of a
 * loaded snapshot, whose VM may be suspended: it is told as running, and verified.
 *
 * One reset gives two or three RESETs, QEMU's own and then the firmware's: those of the firmware are folded
 * into the first when they come within {@linkcode RESET_FOLD_NS} in which the VM ran. A guest that resets
 * itself in a circle is told once in that time.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { NEVER, SECOND } from "../../base/clock.ts";
import { MIGRATION_WAY, type MigrationWay, VM_DETAIL, VM_STATE_NUMBER } from "../../event/body_number.ts";
import type { QmpEvent } from "../../qemu/protocol/qmp_message.ts";
import { detailOfCause, type VmState, vmStateOf } from "./run_state.ts";

/**
 * How long after a RESET the firmware's own count as the same. They came 25 to 68 ms after it (SeaBIOS, TCG,
 * q35 and pc, 12 resets).
 */
export const RESET_FOLD_NS: number = SECOND;

/**
 * What an event amounts to: a state to tell, nothing, or "ask QEMU for the run state to know". `verify`: tell
 * this state, and then ask; the state in the answer is told if it differs.
 */
export type Told = VmState | "nothing" | "ask" | { readonly told: VmState; readonly verify: true };

const { RUNNING, PAUSED, SHUTDOWN, RESET, POWERDOWN, CRASHED, SUSPENDED } = VM_STATE_NUMBER;

/** The events that this file knows. */
export const TRACKED_EVENTS: ReadonlySet<string> = new Set([
  "STOP",
  "RESUME",
  "RESET",
  "SHUTDOWN",
  "POWERDOWN",
  "SUSPEND",
  "WAKEUP",
  "GUEST_PANICKED",
  "WATCHDOG",
  "BLOCK_IO_ERROR",
]);

/** One VM's state, as far as its events tell. */
export class VmTracker {
  #state: number = VM_STATE_NUMBER.UNKNOWN;
  #detail: number = VM_DETAIL.NONE;
  #migration: MigrationWay = MIGRATION_WAY.NONE;
  #stopCause: number = VM_DETAIL.NONE;
  #foldUntilNs = 0;
  #wakeAsked = false;
  #stopsAsked = 0;
  #resumesAsked = 0;
  /** It was suspended when it was last stopped or reset, and nothing has said since that it runs. */
  #wasSuspended = false;

  /** The state it is in now; RESET and POWERDOWN are happenings and no states. */
  get current(): VmState {
    const told = { state: this.#state, detail: this.#detail };
    return this.#migration === MIGRATION_WAY.NONE ? told : { ...told, migration: this.#migration };
  }

  /** A monitor came up, or the run state was asked for: what QEMU says holds. */
  onRunState(runState: string): VmState {
    const told = vmStateOf(runState);
    // QEMU's "shutdown" does not say why; what its event said stays.
    if (told.state === SHUTDOWN && this.#state === SHUTDOWN) return this.current;
    this.#stopCause = VM_DETAIL.NONE;
    if (told.state === RUNNING) {
      this.#wasSuspended = false;
      if (this.#foldUntilNs === NEVER) this.#foldUntilNs = 0;
    }
    return this.#become(told.state, told.detail, told.migration);
  }

  /** A wake-up was asked for by the bus: the next WAKEUP has a cause. */
  onWakeAsked(): void {
    this.#wakeAsked = true;
  }

  /** A stop by the bus is on its way to QEMU (+1), or was answered (-1): a STOP meanwhile has a cause. */
  onStopAsked(change: 1 | -1): void {
    this.#stopsAsked += change;
    assert(this.#stopsAsked >= 0, "each stop is answered once");
  }

  /** A resume by the bus is on its way to QEMU (+1), or was answered (-1): it loads no snapshot. */
  onResumeAsked(change: 1 | -1): void {
    this.#resumesAsked += change;
    assert(this.#resumesAsked >= 0, "each resume is answered once");
  }

  /**
   * Something happens before the run state was told: the event that it was asked for is taken at its word.
   *
   * @param name that event
   * @returns the state to tell, or undefined when that event said all there is
   */
  onUnexplained(name: string): VmState | undefined {
    if (name === "STOP") return this.#become(PAUSED, VM_DETAIL.HOST_REQUEST);
    if (name !== "RESUME" || this.#state === RUNNING) return undefined;
    return this.#become(RUNNING, VM_DETAIL.HOST_REQUEST);
  }

  /** What an event tells. `ask`: hand the run state to {@linkcode onRunState} and tell what that says. */
  onEvent(event: QmpEvent, nowNs: number): Told {
    switch (event.name) {
      case "STOP":
        return this.#onStop(nowNs);
      case "RESUME":
        return this.#onResume(nowNs);
      case "RESET":
        return this.#onReset(event, nowNs);
      case "SHUTDOWN":
        return this.#onShutdown(event);
      case "POWERDOWN":
        return this.#takeCause(POWERDOWN, VM_DETAIL.HOST_REQUEST);
      case "SUSPEND":
        return this.#becomeOnce(SUSPENDED, VM_DETAIL.GUEST_REQUEST);
      case "WAKEUP":
        return this.#onWakeup();
      case "GUEST_PANICKED":
        this.#stopCause = VM_DETAIL.PANIC;
        return this.#becomeOnce(CRASHED, VM_DETAIL.PANIC);
      case "WATCHDOG":
        return this.#onWatchdog(event);
      case "BLOCK_IO_ERROR":
        if (event.data["action"] === "stop") this.#stopCause = VM_DETAIL.IO_ERROR;
        return "nothing";
      default:
        return "nothing";
    }
  }

  #onStop(nowNs: number): Told {
    // A VM that is stopped does not run its firmware: the fold waits with it.
    if (nowNs <= this.#foldUntilNs) this.#foldUntilNs = NEVER;
    const cause = this.#stopCause;
    this.#stopCause = VM_DETAIL.NONE;
    if (this.#state === SUSPENDED) this.#wasSuspended = true;
    // QEMU stops a VM that has crashed or shut down; it stays what it is.
    if (this.#state === CRASHED || this.#state === SHUTDOWN) return "nothing";
    if (cause !== VM_DETAIL.NONE) return this.#becomeOnce(PAUSED, cause);
    return this.#stopsAsked > 0 ? this.#becomeOnce(PAUSED, VM_DETAIL.HOST_REQUEST) : "ask";
  }

  #onResume(nowNs: number): Told {
    if (this.#foldUntilNs === NEVER) this.#foldUntilNs = nowNs + RESET_FOLD_NS;
    this.#stopCause = VM_DETAIL.NONE;
    if (this.#wasSuspended || this.#state === SUSPENDED) return "ask";
    const told = this.#becomeOnce(RUNNING, VM_DETAIL.HOST_REQUEST);
    return typeof told === "string" || this.#resumesAsked > 0 ? told : { told: this.current, verify: true };
  }

  #onWakeup(): Told {
    const detail = this.#wakeAsked ? VM_DETAIL.HOST_REQUEST : VM_DETAIL.NONE;
    this.#wakeAsked = false;
    this.#wasSuspended = false;
    return this.#becomeOnce(RUNNING, detail);
  }

  #onReset(event: QmpEvent, nowNs: number): Told {
    // The firmware's own is a guest's; two by the host are two.
    const again = nowNs <= this.#foldUntilNs && event.data["reason"] === "guest-reset";
    if (!again) this.#foldUntilNs = nowNs + RESET_FOLD_NS;
    // Whether it runs now only QEMU knows; one that has shut down stays stopped until `cont`.
    const isAsleep = this.#state === SUSPENDED;
    if (isAsleep) this.#wasSuspended = true;
    else if (this.#state === CRASHED || this.#state === SHUTDOWN) {
      this.#become(PAUSED, VM_DETAIL.HOST_REQUEST);
    }
    if ((this.#state === PAUSED || isAsleep) && !again) this.#foldUntilNs = NEVER;
    if (again) return "nothing";
    const told = this.#takeCause(RESET, detailOfCause(event.data["reason"]));
    return isAsleep ? { told, verify: true } : told;
  }

  #onShutdown(event: QmpEvent): Told {
    // What ends is the process that a VM has left behind, and no VM.
    if (this.#migration === MIGRATION_WAY.LEFT) return "nothing";
    const cause = detailOfCause(event.data["reason"]);
    const detail = this.#stopCause === VM_DETAIL.WATCHDOG ? VM_DETAIL.WATCHDOG : cause;
    this.#stopCause = VM_DETAIL.NONE;
    return this.#becomeOnce(SHUTDOWN, detail);
  }

  #onWatchdog(event: QmpEvent): Told {
    switch (event.data["action"]) {
      case "none":
      case "debug":
      case "inject-nmi":
        return "nothing";
      case "poweroff":
        // QEMU exits on the spot, with no SHUTDOWN.
        return this.#becomeOnce(SHUTDOWN, VM_DETAIL.WATCHDOG);
      default:
        // pause, reset, shutdown: their own event follows, and this is its cause.
        this.#stopCause = VM_DETAIL.WATCHDOG;
        return "nothing";
    }
  }

  // A happening, which leaves the state as it is; a watchdog just before it is its cause.
  #takeCause(state: number, detail: number): VmState {
    const watchdog = this.#stopCause === VM_DETAIL.WATCHDOG;
    if (watchdog) this.#stopCause = VM_DETAIL.NONE;
    return { state, detail: watchdog ? VM_DETAIL.WATCHDOG : detail };
  }

  #becomeOnce(state: number, detail: number): Told {
    return state === this.#state ? "nothing" : this.#become(state, detail);
  }

  #become(state: number, detail: number, migration: MigrationWay = MIGRATION_WAY.NONE): VmState {
    this.#state = state;
    this.#detail = detail;
    this.#migration = migration;
    return this.current;
  }
}
