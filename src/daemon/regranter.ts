/**
 * Gives every control the grant that follows from the current rules and roster. Removed rights end at once,
 * for all controls in the same turn; added rights (which cause retained state to be sent) follow for a few
 * dozen controls per turn, because for a thousand of them that would block the loop for 50 ms.
 * @module
 */
import { type Grant, isSameGrant, maskAnd } from "../access/grant.ts";
import type { ControlId } from "../base/ids.ts";
import type { Peer } from "../controls/socket/socket_listener.ts";
import type { LoopPort } from "../core/adapter_port.ts";
import { TurnQueue } from "./turn_queue.ts";

/** Controls that get additional rights per turn. */
const WIDENED_PER_TURN = 32;

/** A control of the control socket. */
export interface Member {
  /** Its peer's credentials. */
  readonly peer: Peer;
  /** The principal that it speaks for; "" for its user itself. */
  readonly as: string;
  /** Its number on the bus. */
  readonly id: number;
}

/** The parts that a regranter uses. */
export interface RegranterOptions {
  /** The loop over whose turns the work is spread. */
  readonly loop: LoopPort;
  /** The controls on the bus. */
  readonly members: () => Iterable<Member>;
  /** The grant of a peer or of the principal that it speaks for, by the current rules and roster. */
  readonly grantOf: (peer: Peer, as: string) => Grant;
  /** A control's current grant; undefined when it is gone. */
  readonly present: (id: ControlId) => Grant | undefined;
  /** Changes a control's grant. */
  readonly regrant: (id: ControlId, grant: Grant) => void;
}

/** Keeps grants equal to what the rules say. */
export class Regranter {
  readonly #options: RegranterOptions;
  readonly #widening: TurnQueue;

  /** Starts without changing anything. */
  constructor(options: RegranterOptions) {
    this.#options = options;
    this.#widening = new TurnQueue(options.loop);
  }

  /**
   * Checks all controls. Most keep their grant, and with a thousand controls it matters that nothing is done
   * for those.
   */
  run(): void {
    const { members, grantOf, present, regrant } = this.#options;
    const byUser = new Map<string, Grant>();
    const wider: [ControlId, Grant][] = [];
    for (const { peer, as, id: number } of members()) {
      const id = number as ControlId;
      const user = `${peer.uid}:${peer.gid}:${as}`;
      const grant = byUser.get(user) ?? grantOf(peer, as);
      byUser.set(user, grant);
      const before = present(id);
      if (before === undefined || isSameGrant(before, grant)) continue;
      const kept = whatIsLeft(before, grant);
      if (!isSameGrant(before, kept)) regrant(id, kept);
      if (!isSameGrant(kept, grant)) wider.push([id, grant]);
    }
    const steps: (() => void)[] = [];
    for (let from = 0; from < wider.length; from += WIDENED_PER_TURN) {
      const some = wider.slice(from, from + WIDENED_PER_TURN);
      steps.push(() => {
        for (const [id, grant] of some) if (present(id) !== undefined) regrant(id, grant);
      });
    }
    // The first few at once, so that they observe a newly attached endpoint from its beginning.
    steps.shift()?.();
    this.#widening.replace(steps);
  }

  /** Drops the remaining work: the daemon is stopping. */
  stop(): void {
    this.#widening.replace([]);
  }
}

/** The part of a grant that another one includes. */
function whatIsLeft(before: Grant, after: Grant): Grant {
  return {
    principal: after.principal,
    ...(after.as === undefined ? {} : { as: after.as }),
    endpoints: maskAnd(before.endpoints, after.endpoints),
    sources: before.sources & after.sources,
    caps: before.caps & after.caps,
    arbPrio: Math.min(before.arbPrio, after.arbPrio),
  };
}
