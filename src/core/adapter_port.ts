/**
 * The adapter port: the seam between the core and one endpoint's sensor or actuator. An adapter lives on the
 * loop's thread, never blocks it, and speaks to the bus only through its seat.
 *
 * What an adapter keeps to:
 * - every command it is given it answers exactly once by {@linkcode Seat.ack} or {@linkcode Seat.reply}, now
 *   or later; the core answers what is left when the adapter is closed;
 * - a command's event is borrowed for the call; `retain()` keeps it, `release()` lets go;
 * - it says {@linkcode Seat.up} when it is usable, {@linkcode Seat.down} (with the reason) when it is not any
 *   more, and may come up again.
 * @module
 */
import type { Kind } from "../event/kind.ts";
import type { Code } from "../base/codes.ts";
import type { ControlId, EndpointId } from "../base/ids.ts";
import type { Clock } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import type { LeaseClass, SeamReason } from "../event/body_number.ts";
import type { Source } from "../event/source.ts";
import type { TransferEvent } from "../event/transfer_event.ts";
import type { FaultHandler } from "./fault_boundary.ts";

/**
 * Told when a watched fd is ready. What it throws is contained (fault_boundary.ts); without `onFault` it is
 * not watched any more.
 */
export interface FdHandler extends FaultHandler {
  /**
   * Called on the loop's thread.
   *
   * @param events epoll's bits
   */
  onReady(events: number): void;
}

/**
 * Told when a deadline has come. One object, one pending deadline: arming again moves it. What it throws is
 * contained (fault_boundary.ts).
 */
export interface TimerHandler extends FaultHandler {
  /**
   * Called on the loop's thread, once an arming.
   *
   * @param nowNs the loop's time
   */
  onTimer(nowNs: number): void;
}

/** What runs between the callbacks of a turn and the next wait. */
export interface TurnHook {
  /** Moves what the callbacks left behind. */
  turn(nowNs: number): void;
  /**
   * When it must be called again at the latest, ns; NEVER = when something happens, 0 = in the next turn,
   * which comes at once.
   */
  deadlineNs(): number;
  /** Whether the callbacks have left it as much as one turn should move. */
  readonly isLoaded: boolean;
}

/** What the loop offers to whoever lives on its thread. */
export interface LoopPort {
  /** The loop's clock. */
  readonly clock: Clock;
  /**
   * Watches an fd with epoll's `events`; the handler is called on the loop's thread until {@linkcode
   * unwatch}.
   */
  watch(fd: number, events: number, handler: FdHandler): void;
  /** Changes the events of a watched fd. */
  rewatch(fd: number, events: number): void;
  /** Stops watching, before the fd is closed. Events of this turn that were not delivered yet are dropped. */
  unwatch(fd: number): void;
  /** Calls `handler` at `deadlineNs` (CLOCK_MONOTONIC); moves an earlier arming of the same handler. */
  arm(handler: TimerHandler, deadlineNs: number): void;
  /** Forgets a handler's deadline; harmless when there is none. */
  disarm(handler: TimerHandler): void;
  /**
   * Calls `task` at the end of this turn, when no callback of an adapter or a control is on the stack.
   *
   * @param owner whose task it is: told when it throws
   */
  defer(task: () => void, owner?: FaultHandler): void;
  /** Has `hook` run once in each turn, from now on: the core. There is one. */
  everyTurn(hook: TurnHook): void;
}

/** What the core gives an adapter: its place on the bus. Valid from `open` to `close`. */
export interface Seat {
  /** The endpoint's number. */
  readonly endpoint: EndpointId;
  /** The endpoint's name, for logs and errors. */
  readonly endpointName: string;
  /** The loop that it lives on. */
  readonly loop: LoopPort;
  /** The adapter's own log. */
  readonly log: Log;
  /** A blank UP event of this adapter's endpoint and source, stamped now; fill it and {@linkcode emit} it. */
  event(kind: Kind): TransferEvent;
  /** Sends an event up. Takes it over whatever happens. Broadcast; seams are noted for the roster. */
  emit(event: TransferEvent): void;
  /** Whether the seam is up, by what was said of it. */
  readonly isUp: boolean;
  /**
   * The seam can be used: SEAM_UP. Not said again before {@linkcode down}.
   *
   * @param pid the VM's process; 0 when there is none or it is unknown
   */
  up(pid?: number): void;
  /**
   * The seam cannot be used (any more): SEAM_DOWN, told once until it is up again, whether it ever was up or
   * not.
   *
   * @param reason one of SEAM_REASON
   * @param pid the VM's process; left out: the one that came up last
   */
  down(reason: SeamReason, pid?: number): void;
  /** A shorthand: emits an ERROR event. `text` is cut to 40 bytes of UTF-8. */
  emitError(code: Code, detail: number, text: string): void;
  /**
   * Answers a command with one ACT_ACK. A second answer to the same ticket is dropped and logged as our own
   * defect.
   *
   * @param ticket `event.ticket` of the command
   * @param code 0 done, else one of the protocol's codes
   * @param detail the actuator's own number, 0 for none
   * @param doneNs when the actuator confirmed; 0 or left out = now
   * @param words of a refusal: what the actuator said, for whoever sent the command; escaped and cut on the
   *   way
   */
  ack(ticket: number, code: Code, detail?: number, doneNs?: number, words?: string): void;
  /**
   * Answers a command with an event of its own instead of an ACT_ACK (made by {@linkcode event}); the core
   * addresses it.
   */
  reply(ticket: number, event: TransferEvent): void;
  /**
   * Whether the lease under which a command was admitted is still the live one: ask again before a late step.
   */
  leaseIsLive(cls: LeaseClass, token: number): boolean;
  /**
   * Sends an audit line of this endpoint. With the ticket of a command of that kind it is that command's: the
   * core writes none for its answer.
   */
  audit(kind: Kind, code: Code, fields: AuditFields): void;
}

/** What an adapter adds to an audit line. */
export interface AuditFields {
  /** The command that the line is about. */
  readonly ticket?: number;
  /** The class of lease that matters. */
  readonly cls?: LeaseClass;
  /**
   * A function is asked only when the line is written somewhere: a busy seam pays for no text that nobody
   * reads.
   */
  readonly detail?: string | (() => string);
}

/** Why an adapter is closed. */
export type CloseReason = "detached" | "shutting-down" | "replaced";

/** One seam of one endpoint. */
export interface Adapter {
  /** Which seam. */
  readonly source: Source;
  /** For logs: "vmhost", "input/qmp", …. */
  readonly name: string;
  /**
   * Whether what it tells is the daemon's own (a recording) and not a machine's: a machine has a budget of
   * events. Absent: a machine's.
   */
  readonly isOwn?: boolean;
  /** Starts. Nothing is emitted or answered before; failures are told by `down` or ERROR, not thrown. */
  open(seat: Seat): void;
  /**
   * A command that was admitted for this seam, borrowed for the call. `event.origin` is the control that sent
   * it. File descriptors that it brings are closed with it unless the adapter takes them (`takeFds`).
   */
  command(event: TransferEvent): void;
  /**
   * Brings what an owner left behind to rest: queued commands that are not sent yet are answered with
   * stale-lease, held keys and buttons are released. Absent: nothing to do for any class.
   *
   * @param cls the class of lease that ended
   * @param done to be called exactly once, when the guest is neutral or can no longer be reached
   */
  finalize?(cls: LeaseClass, done: () => void): void;
  /**
   * What a control (`event.origin` of its commands) had asked for is to be forgotten: it has left the bus,
   * and none of its commands is still to come; or its grant has shrunk by the endpoint, by the source, or by
   * the right to some command of the seam, and it may ask anew for what it still may. Called once for each of
   * these. Absent: nothing is kept of a control.
   */
  controlGone?(control: ControlId): void;
  /**
   * Called before anything that stops the VM reaches it: releases what is held, then `done` exactly once. The
   * lease stays.
   */
  beforeStop?(done: () => void): void;
  /**
   * Something that it was called for threw (fault_boundary.ts). It ends what may be half done, for instance
   * by losing its connection, says SEAM_DOWN, and may come up again. Absent: the core says SEAM_DOWN
   * (protocol error) in its name.
   */
  onFault?(error: unknown): void;
  /**
   * Ends: fds closed, timers disarmed, payloads released. `closed` is called once nothing of it is left on
   * the loop.
   */
  close(reason: CloseReason, closed: () => void): void;
}
