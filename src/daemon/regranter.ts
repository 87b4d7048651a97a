/**
 * Gives every control the grant that it has by the rules and the roster as they are now. What a control may
 * no longer do ends at once, for all of them in the same turn; what it may do from now on (which has the
 * retained state sent to it) follows for a few dozen controls per turn: for a thousand of them it would hold
 * the loop up for 50 ms.
 * @module
 */
import { type Grant, isSameGrant, maskAnd } from "../access/grant.ts";
import type { ControlId } from "../base/ids.ts";
import type { Peer } from "../controls/socket/socket_listener.ts";
import type { LoopPort } from "../core/adapter_port.ts";
import { TurnQueue } from "./turn_queue.ts";

/** How many controls are given more in one turn. */
const WIDENED_PER_TURN = 32;

/** A control at the socket. */
export interface Member {
  /** Who is behind it. */
  readonly peer: Peer;
  /** For whom it speaks; "" for its user itself. */
  readonly as: string;
  /** Its number on the bus. */
  readonly id: number;
}

/** What a regranter works on. */
export interface RegranterOptions {
  /** The loop on whose turns the work is spread. */
  readonly loop: LoopPort;
  /** Who is on the bus. */
  readonly members: () => Iterable<Member>;
  /** The grant of a peer, or of whom it speaks for, as the rules and the roster are now. */
  readonly grantOf: (peer: Peer, as: string) => Grant;
  /** The grant that a control has; undefined when it is gone. */
  readonly present: (id: ControlId) => Grant | undefined;
  /** Gives a control another one. */
  readonly regrant: (id: ControlId, grant: Grant) => void;
}

/** Keeps grants as the rules have them. */
export class Regranter {
  readonly #options: RegranterOptions;
  readonly #widening: TurnQueue;

  /** Changes nothing yet. */
  constructor(options: RegranterOptions) {
    this.#options = options;
    this.#widening = new TurnQueue(options.loop);
  }

  /**
   * Looks at everybody. Most have the grant that they had: with a thousand controls it counts that nothing is
   * done for those.
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
    // The first few at once: so an endpoint that is attached now is seen from its beginning.
    steps.shift()?.();
    this.#widening.replace(steps);
  }

  /** Gives up what is left to do: the daemon stops. */
  stop(): void {
    this.#widening.replace([]);
  }
}

/** What of a grant another one allows, too. */
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
