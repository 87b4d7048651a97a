/**
 * The adapter port: the interface between the core and the adapter of one seam of an endpoint. An adapter
 * runs on the loop's thread, never blocks it, and reaches the bus only through its seat.
 *
 * The obligations of an adapter:
 * - it answers every command exactly once, now or later, with {@linkcode Seat.ack} or {@linkcode Seat.reply};
 *   the core answers those that are still open when the adapter is closed;
 * - it borrows a command's event for the call; `retain()` keeps the event, `release()` gives it back;
 * - it calls {@linkcode Seat.up} when it is usable and {@linkcode Seat.down} (with the reason) when it no
 *   longer is; it may come up again.
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
 * Called when a watched fd is ready. An exception is contained (fault_boundary.ts); without `onFault` the fd
 * is then no longer watched.
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
 * Called when a deadline has passed. Each object has at most one pending deadline: arming it again moves the
 * deadline. An exception is contained (fault_boundary.ts).
 */
export interface TimerHandler extends FaultHandler {
  /**
   * Called on the loop's thread, once per arming.
   *
   * @param nowNs the loop's time
   */
  onTimer(nowNs: number): void;
}

/** Runs once per turn, between the callbacks and the next wait. */
export interface TurnHook {
  /** Processes what the callbacks of this turn have queued. */
  turn(nowNs: number): void;
  /**
   * Deadline of the next call, ns; NEVER = only after another callback, 0 = in the next turn, which starts at
   * once.
   */
  deadlineNs(): number;
  /** Whether the callbacks have queued as much as one turn should process. */
  readonly isLoaded: boolean;
}

/** What the loop offers to the code that runs on its thread. */
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
  /** Disarms a handler's deadline; does nothing if there is none. */
  disarm(handler: TimerHandler): void;
  /**
   * Calls `task` at the end of this turn, when no callback of an adapter or a control is on the stack.
   *
   * @param owner the owner of the task; its `onFault` is called if the task throws
   */
  defer(task: () => void, owner?: FaultHandler): void;
  /** Registers the hook that runs once per turn (the core's). There is exactly one. */
  everyTurn(hook: TurnHook): void;
}

/** An adapter's access to the bus. Valid from `open` to `close`. */
export interface Seat {
  /** The endpoint's number. */
  readonly endpoint: EndpointId;
  /** The endpoint's name, for logs and errors. */
  readonly endpointName: string;
  /** The loop that the adapter runs on. */
  readonly loop: LoopPort;
  /** The adapter's own log. */
  readonly log: Log;
  /**
   * A blank UP event of this adapter's endpoint and source, stamped with the current time; to be filled and
   * {@linkcode emit}ted.
   */
  event(kind: Kind): TransferEvent;
  /**
   * Broadcasts an event upwards. Takes ownership of it in every case. SEAM_UP and SEAM_DOWN also update the
   * roster.
   */
  emit(event: TransferEvent): void;
  /** Whether the seam is up, by the last SEAM_UP or SEAM_DOWN that was emitted. */
  readonly isUp: boolean;
  /**
   * Reports that the seam is usable: SEAM_UP. Does nothing if the seam is already up.
   *
   * @param pid the VM's process; 0 when there is none or it is unknown
   */
  up(pid?: number): void;
  /**
   * Reports that the seam is not usable: SEAM_DOWN. Emitted once until the seam is up again, even if it never
   * was up.
   *
   * @param reason one of SEAM_REASON
   * @param pid the VM's process; omitted: that of the last SEAM_UP
   */
  down(reason: SeamReason, pid?: number): void;
  /** Emits an ERROR event. `text` is cut to 40 bytes of UTF-8. */
  emitError(code: Code, detail: number, text: string): void;
  /**
   * Answers a command with one ACT_ACK. A second answer to the same ticket is dropped and logged as a defect
   * of vmsig.
   *
   * @param ticket `event.ticket` of the command
   * @param code 0 done, else one of the protocol's codes
   * @param detail the actuator's own error number, 0 for none
   * @param doneNs when the actuator confirmed; 0 or omitted = now
   * @param words on a refusal, the actuator's message for the sender of the command; it is escaped and cut
   *   before it is sent
   */
  ack(ticket: number, code: Code, detail?: number, doneNs?: number, words?: string): void;
  /**
   * Answers a command with an event of its own instead of an ACT_ACK (made by {@linkcode event}); the core
   * addresses it.
   */
  reply(ticket: number, event: TransferEvent): void;
  /**
   * Whether the lease under which a command was admitted is still valid; to be checked again before a delayed
   * step.
   */
  leaseIsLive(cls: LeaseClass, token: number): boolean;
  /**
   * Writes an audit entry for this endpoint. If it names the ticket of a command of the same kind, it
   * replaces the entry that the core would write for the command's answer.
   */
  audit(kind: Kind, code: Code, fields: AuditFields): void;
}

/** The adapter's part of an audit entry. */
export interface AuditFields {
  /** The command that the entry is about. */
  readonly ticket?: number;
  /** The lease class concerned. */
  readonly cls?: LeaseClass;
  /** A function is called only if the entry is written somewhere, so that no text is built for nothing. */
  readonly detail?: string | (() => string);
}

/** Why an adapter is closed. */
export type CloseReason = "detached" | "shutting-down" | "replaced";

/** One seam of one endpoint. */
export interface Adapter {
  /** Which seam. */
  readonly source: Source;
  /** Name in logs: "vmhost", "input/qmp", …. */
  readonly name: string;
  /**
   * Whether its events come from the daemon itself (a recording) and not from a machine, whose events are
   * limited by a budget. Omitted: from a machine.
   */
  readonly isOwn?: boolean;
  /**
   * Starts the adapter. It emits and answers nothing before this call, and reports failures with `down` or
   * ERROR instead of throwing.
   */
  open(seat: Seat): void;
  /**
   * Handles an admitted command, borrowed for the call. `event.origin` is the control that sent it. The
   * command's file descriptors are closed with it unless the adapter takes them (`takeFds`).
   */
  command(event: TransferEvent): void;
  /**
   * Restores a neutral state after an owner has lost its lease: answers queued commands with stale-lease and
   * releases held keys and buttons. Omitted: there is nothing to restore for any class.
   *
   * @param cls the lease class that ended
   * @param done to be called exactly once, when the guest is in a neutral state or can no longer be reached
   */
  finalize?(cls: LeaseClass, done: () => void): void;
  /**
   * Drops all requests of a control (`event.origin` of its commands). The core calls this once when the
   * control has left the bus and none of its commands is pending, and once each time its grant loses the
   * endpoint, the source, or the right to some command of the seam; the control may then repeat the requests
   * that it is still allowed. Omitted: the adapter keeps no state per control.
   */
  controlGone?(control: ControlId): void;
  /**
   * Called before a command that stops the VM is handed over: releases held keys and buttons, then calls
   * `done` exactly once. The lease is not affected.
   */
  beforeStop?(done: () => void): void;
  /**
   * Called when a call into the adapter threw (fault_boundary.ts). The adapter abandons what may be half
   * done, for instance by closing its connection, emits SEAM_DOWN, and may come up again. Omitted: the core
   * emits SEAM_DOWN (protocol error) for it.
   */
  onFault?(error: unknown): void;
  /**
   * Closes fds, disarms timers and releases payloads. `closed` is called once the adapter has nothing left on
   * the loop.
   */
  close(reason: CloseReason, closed: () => void): void;
}
