/**
 * The parts that every daemon has, wherever its endpoints come from: the loop, the core, the roster, and the
 * control socket with its admission. `vmsig serve` adds endpoints of real VMs (loop_daemon.ts), `vmsig
 * replay` endpoints that play a recording (replay_daemon.ts).
 * @module
 */
import type { AdmissionRule } from "../access/admission.ts";
import { assert } from "../base/assert.ts";
import type { Clock } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import type { OwnedFd } from "../../ffi/owned_fd.ts";
import { SocketListener } from "../controls/socket/socket_listener.ts";
import { CLOSING_ORDER } from "../adapters/seams.ts";
import { Core } from "../core/core.ts";
import { FaultBoundary } from "../core/fault_boundary.ts";
import { Loop, type LoopOptions } from "../core/loop.ts";
import { Roster } from "../roster/roster.ts";
import { PeerAdmission } from "./peer_admission.ts";
import { Regranter } from "./regranter.ts";

/** A listener for controls. */
export interface Listening {
  /** The listening socket, borrowed. */
  readonly socket: OwnedFd;
}

/** The options of a composition. */
export interface CompositionOptions<L extends Listening> {
  /** The admission rules, in order; without any, only the daemon's own uid is admitted. */
  readonly rules: readonly AdmissionRule[];
  /** The clock of all parts. */
  readonly clock: Clock;
  /** The log of all parts. */
  readonly log: Log;
  /** Maximum number of controls. */
  readonly maxControls: number;
  /** Queue limit of one control, events. */
  readonly queueEvents: number;
  /** Polling time and scheduling of the loop. */
  readonly loop: Omit<LoopOptions, "clock" | "log" | "faults">;
  /**
   * Makes the listening socket. Called before anything else is changed; exceptions propagate.
   *
   * @param admitsOthers whether the rules admit anybody but the daemon's own uid
   */
  readonly listen: (admitsOthers: boolean) => L;
}

/** The composed parts. */
export interface Composition<L extends Listening> {
  /** The listener; the caller closes it. */
  readonly listening: L;
  /** Runs everything else. */
  readonly loop: Loop;
  /** The bus. */
  readonly core: Core;
  /** The endpoints. */
  readonly roster: Roster;
  /** Decides who is admitted, with which grant. */
  readonly admission: PeerAdmission;
  /** The control socket. */
  readonly listener: SocketListener;
  /** Updates the controls' grants when the rules or the roster change. */
  readonly regranter: Regranter;
}

/**
 * Makes and connects the parts. Nothing runs yet.
 *
 * @throws {Fault} when the socket cannot be made
 */
export function compose<L extends Listening>(options: CompositionOptions<L>): Composition<L> {
  const { rules, clock, log, maxControls, queueEvents } = options;
  // Grants depend on the roster, and roster changes update grants, so the two are connected after both are
  // made.
  const admission: PeerAdmission = new PeerAdmission({
    rules,
    ownUid: Deno.uid() ?? -1,
    clock,
    log: log.for("users"),
    maxControls,
    idOf: (name) => roster.idOf(name),
  });
  const listening = options.listen(admission.admitsOthers);
  const faults = new FaultBoundary(log, clock, (fault) => core.auditFault(fault));
  const loop = new Loop({ ...options.loop, clock, log, faults });
  const core: Core = new Core({
    loop,
    log,
    faults,
    closingOrder: CLOSING_ORDER,
    onSeam: (slot) => roster.seamChanged(slot),
  });
  const roster: Roster = new Roster(core, log, () => regranter.run());
  const listener = new SocketListener({
    listener: listening.socket,
    core,
    loop,
    log: log.for("socket"),
    admission,
    maxControls,
    queueEvents,
  });
  const regranter: Regranter = new Regranter({
    loop,
    members: () => listener.controls.values(),
    grantOf: (peer, as) => admission.grantOf(peer, as),
    present: (id) => core.fanOut.controls.get(id)?.grant,
    regrant: (id, grant) => core.regrant(id, grant),
  });
  return { listening, loop, core, roster, admission, listener, regranter };
}

/**
 * Disposes of the parts, after the last turn and before the loop itself, which the caller disposes of last.
 * All controls must have left.
 */
export function disposeBus({ core, listener }: Composition<Listening>): void {
  assert(listener.controls.size === 0 || core.faults.total > 0, "every control has left");
  listener.dispose();
  core.dispose();
}
