/**
 * Leases as the page tells of them: whoever has one, or took it, is called as the page calls them everywhere
 * else, by the name of a token or a user, and never by a number.
 * @module
 */
import { Fault } from "../base/fault.ts";
import type { Client } from "../client/client.ts";
import type { AcquireOptions } from "../client/lease_claim.ts";
import type { LeaseHolder } from "../client/lease_holder.ts";
import type { Lease, LeaseClassName } from "../client/lease.ts";

/** What calls a control by a name. */
export interface Names {
  /** A control in words; `name` is what its program calls itself. */
  whoIs(holder: LeaseHolder, name?: string): Promise<string>;
}

/** Leases of one client. */
export class LeaseNames {
  readonly #client: Client;
  readonly #names: Names;

  /** Asks nothing yet. */
  constructor(client: Client, names: Names) {
    this.#client = client;
    this.#names = names;
  }

  /** Who has, or has just taken, a lease. */
  async of(vm: string, className: LeaseClassName, holder: LeaseHolder): Promise<string> {
    try {
      const { owner } = await this.#client.leaseParties(vm, className);
      if (owner?.control === holder.control) return await this.#names.whoIs(owner, owner.name);
    } catch (error) {
      // The daemon is older than telling, or the VM has gone: what the program calls itself is left out.
      if (!(error instanceof Fault)) throw error;
    }
    return await this.#names.whoIs(holder);
  }

  /**
   * Acquires a lease.
   *
   * @throws {Fault} as the client's `acquire`; `busy` with the owner's name
   */
  async acquire(vm: string, className: LeaseClassName, options: AcquireOptions): Promise<Lease> {
    try {
      return await this.#client.acquire(vm, className, options);
    } catch (error) {
      if (!(error instanceof Fault) || error.code !== "busy") throw error;
      const { owner } = await this.#client.leaseStatus(vm, className);
      if (owner === undefined) throw error;
      const who = await this.of(vm, className, owner);
      throw new Fault("busy", `Cannot acquire ${className} of ${vm}: ${who} has it`, { cause: error });
    }
  }
}
