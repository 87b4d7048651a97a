/**
 * Which endpoints there should be, and who asked for each: the config, a file in the trigger directory, the
 * host probe. It keeps the roster in step: what appears is attached, what disappears is detached, what
 * changes is attached anew. Two askers for one name, vmid or monitor: who is trusted more has it, among
 * equals the first one; the other is told and waits until it is free. So a VM that was only found never keeps
 * out one that the config or a trigger file names, neither by a name that it gave itself nor by taking every
 * number.
 * @module
 */
import type { Log } from "../base/log.ts";
import type { EndpointRequest, Roster } from "./roster.ts";

/** What an asker wants; a change of its JSON is a change of the endpoint. */
export interface WantedEndpoint {
  /** What it is called. */
  readonly name: string;
  /** 0 = none. */
  readonly vmid: number;
  /** Path of its monitor, which serves one at a time; absent = none. */
  readonly qmp?: string | undefined;
}

/**
 * How much an asker is trusted: what another user's process says of itself, what root's or the daemon's own
 * does, what somebody has named.
 */
export const TRUST = { FOUND: 0, OWN: 1, NAMED: 2 } as const;
/** One of {@linkcode TRUST}. */
export type Trust = (typeof TRUST)[keyof typeof TRUST];

interface Wish<E extends WantedEndpoint> {
  readonly endpoint: E;
  readonly key: string;
  readonly trust: Trust;
  attached: boolean;
  /** Why it could not be attached the last time; "" when it was. */
  obstacle: string;
}

const PUT_OUT = "put out";

/** Keeps the roster as its askers want it. */
export class Desired<E extends WantedEndpoint> {
  readonly #roster: Roster;
  readonly #request: (endpoint: E) => EndpointRequest;
  readonly #log: Log;
  readonly #wishes = new Map<string, Wish<E>>();

  /**
   * Wants nothing yet.
   *
   * @param request turns a wish into something attachable
   */
  constructor(roster: Roster, request: (endpoint: E) => EndpointRequest, log: Log) {
    this.#roster = roster;
    this.#request = request;
    this.#log = log.for("desired");
  }

  /** Who asks for something now. */
  askers(): string[] {
    return [...this.#wishes.keys()];
  }

  /** The endpoint that an asker wants; undefined when it wants none. */
  wantedBy(asker: string): E | undefined {
    return this.#wishes.get(asker)?.endpoint;
  }

  /** Whether anybody who is trusted so much wants an endpoint that `like` is true for. */
  some(like: (endpoint: E) => boolean, trust: Trust = TRUST.FOUND): boolean {
    for (const wish of this.#wishes.values()) if (wish.trust >= trust && like(wish.endpoint)) return true;
    return false;
  }

  /** An asker wants an endpoint, in place of what it wanted before. */
  want(asker: string, endpoint: E, trust: Trust = TRUST.NAMED): void {
    const key = JSON.stringify(endpoint);
    const before = this.#wishes.get(asker);
    if (before !== undefined && before.key === key && before.trust === trust) return;
    const wish: Wish<E> = { endpoint, key, trust, attached: false, obstacle: "" };
    this.#wishes.set(asker, wish);
    if (before?.attached) {
      this.#roster.detach(before.endpoint.name, "replaced", () => this.#attachAll());
    } else this.#attach(asker, wish);
  }

  /** An asker wants nothing any more. */
  drop(asker: string, done: () => void = () => {}): void {
    const wish = this.#wishes.get(asker);
    this.#wishes.delete(asker);
    if (!wish?.attached) return done();
    this.#roster.detach(wish.endpoint.name, "detached", () => {
      this.#attachAll();
      done();
    });
  }

  /** Attaches whatever is wanted and can be: a name or a number may have become free. */
  #attachAll(): void {
    // Who is trusted most first: nobody is attached to be put out again at once.
    for (const trust of [TRUST.NAMED, TRUST.OWN, TRUST.FOUND]) {
      for (const [asker, wish] of this.#wishes) {
        if (wish.trust !== trust || wish.attached) continue;
        // Hundreds may wait for a number: there is nothing to try when none is free, and nobody to put out.
        if (this.#roster.isFull && this.#leastTrusted(trust) === undefined) return;
        this.#attach(asker, wish);
      }
    }
  }

  #attach(asker: string, wish: Wish<E>): void {
    const rival = this.#rivalOf(wish);
    if (rival !== undefined && rival.trust < wish.trust) {
      this.#putOut(rival, `${asker} has its name, number or monitor`);
      // Attached when that is gone.
      return;
    }
    const { name, vmid } = wish.endpoint;
    if (rival !== undefined && rival.endpoint.name !== name && !(vmid > 0 && rival.endpoint.vmid === vmid)) {
      return this.#tell(asker, wish, `its monitor is ${rival.endpoint.name}'s already`);
    }
    const outcome = this.#roster.attach(this.#request(wish.endpoint));
    if (outcome.ok) {
      wish.attached = true;
      wish.obstacle = "";
      return;
    }
    // It is tried again whenever something is detached: nothing to tell when that is under way, and once a
    // reason else.
    if (outcome.passes) return;
    const least = this.#roster.isFull && this.#roster.idOf(name) === undefined
      ? this.#leastTrusted(wish.trust)
      : undefined;
    if (least !== undefined) return this.#putOut(least, `${asker} takes its place: all are taken`);
    this.#tell(asker, wish, outcome.reason);
  }

  #tell(asker: string, wish: Wish<E>, obstacle: string): void {
    // Why it was put out has been said: what it meets the next time is the same in other words.
    if (obstacle !== wish.obstacle && wish.obstacle !== PUT_OUT) {
      this.#log.error(`cannot attach ${wish.endpoint.name} of ${asker}: ${obstacle}`);
    }
    wish.obstacle = obstacle;
  }

  /**
   * What is attached and stands in the way of a wish; of several, who is trusted most: nobody is put out for
   * one that could not be there all the same.
   */
  #rivalOf({ endpoint }: Wish<E>): Wish<E> | undefined {
    const { name, vmid, qmp } = endpoint;
    let rival: Wish<E> | undefined;
    for (const other of this.#wishes.values()) {
      const its = other.endpoint;
      if (!other.attached || (rival !== undefined && other.trust <= rival.trust)) continue;
      if (its.name === name || (vmid > 0 && its.vmid === vmid) || (qmp !== undefined && its.qmp === qmp)) {
        rival = other;
      }
    }
    return rival;
  }

  /** Of what is attached and less trusted than that, what is trusted least and came last. */
  #leastTrusted(trust: Trust): Wish<E> | undefined {
    let least: Wish<E> | undefined;
    for (const wish of this.#wishes.values()) {
      if (wish.attached && wish.trust < trust && wish.trust <= (least?.trust ?? TRUST.NAMED)) least = wish;
    }
    return least;
  }

  /** Detaches what somebody who is trusted more needs; it waits from now on. */
  #putOut(wish: Wish<E>, why: string): void {
    wish.attached = false;
    wish.obstacle = PUT_OUT;
    this.#log.warn(`${wish.endpoint.name} is detached: ${why}`);
    this.#roster.detach(wish.endpoint.name, "replaced", () => this.#attachAll());
  }
}
