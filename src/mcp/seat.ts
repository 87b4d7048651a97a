/**
 * A model's seat: one connection to the daemon, the VMs that it may see, its keyboard and mouse, and what its
 * last screenshot of each VM was. Every session of the server has one of its own; when the session ends,
 * leases go back and what is held down is released.
 *
 * Keyboard and mouse are taken with the first input and given back when nothing was done for a minute. When
 * a person or another control takes them away, they are not taken again until the model asks for them by
 * lease_take: nobody who steps in has to fight.
 * @module
 */
import { assert } from "../base/assert.ts";
import { Fault } from "../base/fault.ts";
import type { EndpointId } from "../base/ids.ts";
import { printable } from "../base/printable.ts";
import { CAP, type CapName } from "../event/capability.ts";
import type { Client } from "../client/client.ts";
import { ConsoleControl } from "../client/console_control.ts";
import type { SubscribeOptions } from "../client/handshake.ts";
import { InputControl } from "../client/input_control.ts";
import type { Lease } from "../client/lease.ts";
import type { RosterEntry } from "../client/roster_view.ts";
import { takeLease } from "../testing/machine_lease.ts";
import { CallRate } from "./call_rate.ts";
import type { ScreenView } from "./screen_view.ts";

/** How long keyboard and mouse are kept without input, ms. */
const IDLE_MS = 60_000;
/** How long a lease may take that is not waited for, ms. */
const TAKE_MS = 10_000;

/** What a server lets its models do. */
export interface SeatLimits {
  /** Only tools that change nothing. */
  readonly readOnly: boolean;
  /** No power and no snapshots. */
  readonly noPower: boolean;
  /** The VMs by name; empty = all that the grant has. */
  readonly endpoints: readonly string[];
}

/** Joins the bus; with a subscription. */
export type Joiner = (sub: SubscribeOptions, reconnect: boolean) => Promise<Client>;

/** One session's seat. */
export class Seat implements AsyncDisposable {
  /** The session's connection. */
  readonly client: Client;
  /** What it may do. */
  readonly limits: SeatLimits;
  /** How fast it may call. */
  readonly rate: CallRate = new CallRate();
  /** The last screenshot of each VM. */
  readonly views: Map<EndpointId, ScreenView> = new Map();
  /** Joins the bus once more, for what needs a connection of its own. */
  readonly join: Joiner;
  /** Takes a line for a person who looks at the server. */
  readonly tell: (line: string) => void;
  readonly #leases = new Map<EndpointId, Lease>();
  readonly #taken = new Map<EndpointId, string>();
  readonly #idle = new Map<EndpointId, ReturnType<typeof setTimeout>>();
  readonly #consoles = new Map<string, Promise<ConsoleControl>>();
  readonly #turns = new Map<EndpointId, Promise<unknown>>();
  #closed = false;

  private constructor(client: Client, join: Joiner, limits: SeatLimits, tell: (line: string) => void) {
    this.client = client;
    this.join = join;
    this.limits = limits;
    this.tell = tell;
  }

  /**
   * Takes a seat.
   *
   * @throws {Fault} `unreachable`, `not-admitted`; `no-endpoint` for a VM of the limits that there is not
   */
  static async open(join: Joiner, limits: SeatLimits, tell: (line: string) => void): Promise<Seat> {
    const client = await join({ sources: ["CORE", "FRAME", "VMHOST", "INPUT", "CONSOLE", "AGENT"] }, true);
    try {
      for (const name of limits.endpoints) await client.endpoint(name);
      return new Seat(client, join, limits, tell);
    } catch (error) {
      await client.close();
      throw error;
    }
  }

  /** Whether the grant has a capability. */
  may(cap: CapName): boolean {
    return (this.client.grant.caps & CAP[cap]) !== 0;
  }

  /** The VMs that the model may see. */
  async roster(): Promise<RosterEntry[]> {
    const { endpoints } = this.limits;
    const all = await this.client.completeRoster();
    return endpoints.length === 0 ? all : all.filter(({ name }) => endpoints.includes(name));
  }

  /**
   * A VM's number.
   *
   * @throws {Fault} `no-endpoint`, also for one that the limits leave out
   */
  async endpoint(name: string): Promise<EndpointId> {
    const { endpoints } = this.limits;
    const found = await this.client.endpoint(name);
    if (endpoints.length === 0 || endpoints.includes(this.client.roster.nameOf(found))) return found;
    throw new Fault(
      "no-endpoint",
      `Cannot use ${printable(name)}: this server was started for ${endpoints.map(printable).join(", ")}`,
    );
  }

  /**
   * Does something with keyboard and mouse, one call after another.
   *
   * @throws {Fault} `busy` with who has them; `stale-lease` once they were taken away
   */
  async withInput<T>(
    endpoint: EndpointId,
    signal: AbortSignal,
    use: (input: InputControl) => Promise<T>,
  ): Promise<T> {
    const before = this.#turns.get(endpoint);
    const turn = (async () => {
      await before?.catch(() => undefined);
      if (signal.aborted) throw new Fault("interrupted", "Cannot go on: the call was cancelled");
      const lease = await this.#inputLease(endpoint);
      clearTimeout(this.#idle.get(endpoint));
      try {
        return await use(new InputControl(this.client, lease, { signal }));
      } catch (error) {
        throw lease.owned ? error : await this.#lossOf(endpoint, error);
      } finally {
        this.#idle.set(endpoint, setTimeout(() => void this.giveBack(endpoint), IDLE_MS));
      }
    })();
    this.#turns.set(endpoint, turn);
    return await turn;
  }

  /** Takes keyboard and mouse, waiting for them for so long. */
  async takeInput(endpoint: EndpointId, waitMs: number): Promise<void> {
    if (this.#leases.get(endpoint)?.owned === true) return;
    this.#taken.delete(endpoint);
    await this.#acquire(endpoint, waitMs);
  }

  /** Gives keyboard and mouse back; what is held down is released by then. */
  async giveBack(endpoint: EndpointId): Promise<boolean> {
    clearTimeout(this.#idle.get(endpoint));
    const lease = this.#leases.get(endpoint);
    this.#leases.delete(endpoint);
    if (lease?.owned !== true || this.client.fault !== undefined) return false;
    try {
      await lease.release();
      return true;
    } catch (error) {
      // The daemon that had granted it went: it has released what was held.
      if (!(error instanceof Fault)) throw error;
      return false;
    }
  }

  /** Whether this session has keyboard and mouse. */
  hasInput(endpoint: EndpointId): boolean {
    return this.#leases.get(endpoint)?.owned === true;
  }

  /** A console that stays open for the session, beginning with what was kept of it. */
  async console(endpoint: EndpointId, port: number): Promise<ConsoleControl> {
    const key = `${endpoint}:${port}`;
    const known = this.#consoles.get(key);
    if (known !== undefined) return await known;
    const opened = ConsoleControl.open(this.client, endpoint, { port, backlog: true });
    this.#consoles.set(key, opened);
    opened.catch(() => this.#consoles.delete(key));
    return await opened;
  }

  /** Forgets a console that failed; the next call opens it anew. */
  dropConsole(endpoint: EndpointId, port: number): void {
    this.#consoles.delete(`${endpoint}:${port}`);
  }

  /** Leaves: leases go back, what is held down is released. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const timer of this.#idle.values()) clearTimeout(timer);
    await this.client.close();
  }

  async #inputLease(endpoint: EndpointId): Promise<Lease> {
    assert(!this.#closed, "no input after the session's end");
    const known = this.#leases.get(endpoint);
    if (known?.owned === true) return known;
    const taken = this.#taken.get(endpoint);
    if (taken !== undefined) throw new Fault("stale-lease", taken);
    if (known !== undefined && known.signal.aborted) throw await this.#lossOf(endpoint, undefined);
    return await this.#acquire(endpoint, 0);
  }

  async #acquire(endpoint: EndpointId, waitMs: number): Promise<Lease> {
    try {
      const lease = await takeLease(this.client, endpoint, "input", {
        timeoutMs: Math.max(TAKE_MS, waitMs),
        waits: waitMs > 0,
      });
      this.#leases.set(endpoint, lease);
      return lease;
    } catch (error) {
      if (!(error instanceof Fault) || error.code !== "busy") throw error;
      throw new Fault(
        "busy",
        `Cannot use keyboard and mouse of ${this.#name(endpoint)}: ${await this.owner(endpoint)} has them`,
        { cause: error },
      );
    }
  }

  /** What the model is told once its keyboard was taken away; remembered until it asks for it again. */
  async #lossOf(endpoint: EndpointId, cause: unknown): Promise<Fault> {
    const name = this.#name(endpoint);
    const text =
      `Cannot go on with ${name}: ${await this.owner(endpoint)} has taken its keyboard and mouse; ` +
      "the input of this call may have been done in part";
    this.#leases.delete(endpoint);
    this.#taken.set(endpoint, `Cannot use keyboard and mouse of ${name}: they were taken away before`);
    return new Fault("stale-lease", text, { cause });
  }

  /** Who has keyboard and mouse, in words. */
  async owner(endpoint: EndpointId): Promise<string> {
    try {
      const { busy, ownerPrincipal } = await this.client.leaseStatus(endpoint, "input");
      return busy ? `uid ${ownerPrincipal}` : "another control";
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      return "another control";
    }
  }

  #name(endpoint: EndpointId): string {
    return printable(this.client.roster.nameOf(endpoint));
  }
}
