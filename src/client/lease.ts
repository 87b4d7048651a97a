/**
 * A lease that this client owns: the exclusive right to one class of commands of one endpoint. It is released
 * when it goes out of scope, is kept alive if it has a ttl, and reports its loss.
 * @module
 */
import type { EndpointId } from "../base/ids.ts";
import { Fault } from "../base/fault.ts";
import type { AcquireOptions } from "./lease_claim.ts";
import { holderWords, type LeaseHolder } from "./lease_holder.ts";
import { LEASE_CLASS_NAMES, type LeaseClass } from "../event/body_number.ts";

/** Classes of leases by their names. */
export type LeaseClassName = "input" | "power" | "memwrite" | "console" | "agent";

/** Why a lease was lost. */
export type LeaseLoss = "preempted" | "owner-gone" | "endpoint-gone" | "not-kept-alive" | "disconnected";

const LOSSES: readonly LeaseLoss[] = ["preempted", "owner-gone", "endpoint-gone", "not-kept-alive"];

/** Why a lease was lost, by LEASE_REVOKED.reason. */
export function leaseLossOf(reason: number): LeaseLoss {
  return LOSSES[reason] ?? "preempted";
}

/** What a lease needs of its client. */
export interface LeaseHome {
  /** Releases the lease if this was its last handle; resolves when the daemon has confirmed. */
  releaseLease(lease: Lease): Promise<void>;
  /** Acquires a lost lease again, once it is given back. */
  waitForLease(lease: Lease, options: AcquireOptions): Promise<Lease>;
  /** Sends a keepalive to the daemon. */
  keepLease(lease: Lease): Promise<void>;
}

/**
 * An owned lease.
 *
 * @example
 * ```ts
 * await using lease = await client.acquire("web", "power");
 * await client.vm("web", "reset");
 * ```
 */
export class Lease implements AsyncDisposable {
  /** The endpoint. */
  readonly endpoint: EndpointId;
  /** The class's number. */
  readonly cls: LeaseClass;
  /** The fencing token: it grows with every grant of this endpoint and class. */
  readonly token: number;
  /**
   * Keepalive interval within which the daemon must hear from the owner, ms; 0 = none. The client sends the
   * keepalives.
   */
  readonly ttlMs: number;
  /** Resolves when the lease is lost other than by {@linkcode Lease.release}; otherwise stays pending. */
  readonly lost: Promise<LeaseLoss>;
  readonly #home: LeaseHome;
  readonly #aborter = new AbortController();
  readonly #lost = Promise.withResolvers<LeaseLoss>();
  #timer: ReturnType<typeof setInterval> | undefined;
  #owned = true;
  #takenBy: LeaseHolder | undefined;

  /**
   * Made by `Client.acquire`.
   *
   * @param home the client
   * @param endpoint the endpoint's number
   * @param cls the class's number
   * @param token the fencing token
   * @param ttlMs the keepalive interval, 0 for none
   */
  constructor(home: LeaseHome, endpoint: EndpointId, cls: LeaseClass, token: number, ttlMs: number) {
    this.#home = home;
    this.endpoint = endpoint;
    this.cls = cls;
    this.token = token;
    this.ttlMs = ttlMs;
    this.lost = this.#lost.promise;
    if (ttlMs > 0) this.#timer = setInterval(() => this.#keepAlive(), Math.max(1, Math.floor(ttlMs / 3)));
  }

  /** The class's name. */
  get className(): LeaseClassName {
    return LEASE_CLASS_NAMES[this.cls] as LeaseClassName;
  }

  /** Whether it is still owned. */
  get owned(): boolean {
    return this.#owned;
  }

  /** Aborted when the lease is lost; for passing to operations that must stop then. */
  get signal(): AbortSignal {
    return this.#aborter.signal;
  }

  /** Who took it by pre-emption; undefined if it was not pre-empted, or the daemon does not say. */
  get takenBy(): LeaseHolder | undefined {
    return this.#takenBy;
  }

  /**
   * Waits until a lease that was taken away is given back, and acquires it again.
   *
   * @param options `message`: the reason, shown to the owner; `signal`: gives up
   * @returns the new lease
   * @throws {Fault} `refused` if this one is not lost; `interrupted`; `unreachable`
   * @example
   * ```ts
   * let lease = await client.acquire("web", "input");
   * await lease.lost; // a person has taken it: lease.takenBy
   * lease = await lease.untilGivenBack({ message: "the nightly tests go on" });
   * ```
   */
  async untilGivenBack(options: Omit<AcquireOptions, "wait"> = {}): Promise<Lease> {
    if (this.#owned || !this.#aborter.signal.aborted) {
      throw new Fault("refused", `Cannot wait for the ${this.className} lease: it was not taken away`);
    }
    return await this.#home.waitForLease(this, options);
  }

  /** Called by the client when the lease is lost. @param by who took it, if somebody did */
  lose(reason: LeaseLoss, by?: LeaseHolder): void {
    if (!this.#end()) return;
    this.#takenBy = by;
    this.#lost.resolve(reason);
    const whose = by === undefined ? "" : ` by ${holderWords(by)}`;
    this.#aborter.abort(
      new Fault("stale-lease", `Cannot go on: the ${this.className} lease is lost (${reason}${whose})`),
    );
  }

  /**
   * Releases the lease; resolves when the guest is in a neutral state again (held keys released). Does
   * nothing if the lease is gone already.
   *
   * @throws {Fault} when the daemon does not confirm
   */
  async release(): Promise<void> {
    if (this.#end()) await this.#home.releaseLease(this);
  }

  /** The same as {@linkcode Lease.release}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }

  #end(): boolean {
    const was = this.#owned;
    this.#owned = false;
    clearInterval(this.#timer);
    return was;
  }

  #keepAlive(): void {
    this.#home.keepLease(this).catch((error) => {
      // A keepalive without an answer is not reported: the loss of the lease or of the daemon is.
      if (!(error instanceof Fault)) throw error;
    });
  }
}
