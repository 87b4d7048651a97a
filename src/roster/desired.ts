/**
 * Which endpoints there should be, and who asked for each: the config, a file in the trigger directory, the host probe. It keeps the roster in step: what appears is attached, what
 * disappears is detached, what changes is attached anew. Two askers for one name or vmid: the first one has it, the other is told and waits until it is free.
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
}

interface Wish<E extends WantedEndpoint> {
  readonly endpoint: E;
  readonly key: string;
  attached: boolean;
  /** Why it could not be attached the last time; "" when it was. */
  obstacle: string;
}

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

  /** Whether anybody wants an endpoint that `like` is true for. */
  some(like: (endpoint: E) => boolean): boolean {
    for (const wish of this.#wishes.values()) if (like(wish.endpoint)) return true;
    return false;
  }

  /** An asker wants an endpoint, in place of what it wanted before. */
  want(asker: string, endpoint: E): void {
    const key = JSON.stringify(endpoint);
    const before = this.#wishes.get(asker);
    if (before !== undefined && before.key === key) return;
    const wish: Wish<E> = { endpoint, key, attached: false, obstacle: "" };
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
    for (const [asker, wish] of this.#wishes) {
      // Hundreds may wait for a number: there is nothing to try when none is free.
      if (this.#roster.isFull) return;
      if (!wish.attached) this.#attach(asker, wish);
    }
  }

  #attach(asker: string, wish: Wish<E>): void {
    const outcome = this.#roster.attach(this.#request(wish.endpoint));
    if (outcome.ok) {
      wish.attached = true;
      wish.obstacle = "";
      return;
    }
    // It is tried again whenever something is detached: nothing to tell when that is under way, and once a reason else.
    if (outcome.passes) return;
    if (outcome.reason !== wish.obstacle) {
      this.#log.error(`cannot attach ${wish.endpoint.name} of ${asker}: ${outcome.reason}`);
    }
    wish.obstacle = outcome.reason;
  }
}
