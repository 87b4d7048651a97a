/**
 * A model's seat: one connection to the daemon, the VMs that it may see, its keyboard and mouse, and what its
 * last screenshot of each VM was. Every session of the server has one of its own; when the session ends,
 * leases go back and what is held down is released.
 *
 * Keyboard and mouse are taken with the first input and given back when nothing was done for a minute. When a
 * person or another control takes them away, they are not taken again until the model asks for them by
 * lease_take: a person who steps in does not compete with the model.
 * @module
 */
import { assert } from "../base/assert.ts";
import { Fault } from "../base/fault.ts";
import type { EndpointId } from "../base/ids.ts";
import { printable } from "../base/printable.ts";
import { CAP, type CapName } from "../event/capability.ts";
import type { Client } from "../client/client.ts";
import { DEFAULT_TIMEOUT_MS } from "../client/command_options.ts";
import { ConsoleControl } from "../client/console_control.ts";
import type { SubscribeOptions } from "../client/handshake.ts";
import { InputControl } from "../client/input_control.ts";
import type { Lease, LeaseLoss } from "../client/lease.ts";
import { holderWords } from "../client/lease_holder.ts";
import type { RosterEntry } from "../client/roster_view.ts";
import type { Asks } from "../client/asks.ts";
import { takeLease } from "../testing/machine_lease.ts";
import type { Picture } from "../vgpu/picture.ts";
import { CallRate } from "./call_rate.ts";
import type { CallTrace } from "./call_trace.ts";
import { EventLog } from "./event_log.ts";
import type { ScreenView } from "./screen_view.ts";

/** How long keyboard and mouse are kept without input, ms. */
const IDLE_MS = 60_000;

/** What a server lets its models do. */
export interface SeatLimits {
  /** Only tools that change nothing. */
  readonly readOnly: boolean;
  /** No power and no snapshots. */
  readonly noPower: boolean;
  /** The VMs by name; empty = all that the grant has. */
  readonly endpoints: readonly string[];
}

/** Joins the bus with a subscription, for the server's own user or for a principal, "token:agent". */
export type Joiner = (sub: SubscribeOptions, reconnect: boolean, as?: string) => Promise<Client>;

/** What a seat is made of. */
export interface SeatOptions {
  /** Joins the bus. */
  readonly join: Joiner;
  /** What its model may do. */
  readonly limits: SeatLimits;
  /** Takes a line for a person who looks at the server. */
  readonly tell: (line: string) => void;
  /** Where its questions go; undefined where there is no place for them. */
  readonly asks?: Asks | undefined;
  /** What its calls are noted in; undefined where nobody wants a trace. */
  readonly trace?: CallTrace | undefined;
}

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
  /** The whole picture of each VM's last screenshot: what the next one compares with. */
  readonly pictures: Map<EndpointId, Picture> = new Map();
  /** What happened since the session began. */
  readonly events: EventLog;
  /** Where questions to a person go. */
  readonly asks: Asks | undefined;
  /** Joins the bus once more, for what needs a connection of its own. */
  readonly join: Joiner;
  /** Takes a line for a person who looks at the server. */
  readonly tell: (line: string) => void;
  /** What its calls are noted in. */
  readonly trace: CallTrace | undefined;
  readonly #leases = new Map<EndpointId, Lease>();
  readonly #taken = new Map<EndpointId, string>();
  readonly #idle = new Map<EndpointId, ReturnType<typeof setTimeout>>();
  readonly #consoles = new Map<string, Promise<ConsoleControl>>();
  readonly #turns = new Map<EndpointId, Promise<unknown>>();
  readonly #calls = new Map<string | number, AbortController>();
  #closed = false;

  private constructor(client: Client, { join, limits, tell, asks, trace }: SeatOptions) {
    this.client = client;
    this.join = join;
    this.limits = limits;
    this.tell = tell;
    this.asks = asks;
    this.trace = trace;
    this.events = new EventLog(client, limits.endpoints);
  }

  /**
   * Takes a seat.
   *
   * @throws {Fault} `unreachable`, `not-admitted`; `no-endpoint` for a VM of the limits that there is not
   */
  static async open(options: SeatOptions): Promise<Seat> {
    const { join, limits } = options;
    const client = await join({ sources: ["CORE", "FRAME", "VMHOST", "INPUT", "CONSOLE", "AGENT"] }, true);
    try {
      for (const name of limits.endpoints) await client.endpoint(name);
      return new Seat(client, options);
    } catch (error) {
      await client.close();
      throw error;
    }
  }

  /**
   * Begins a call; its signal is aborted when the call is given up. It ends with {@linkcode Seat.endCall}.
   *
   * @param id the request's
   */
  beginCall(id: string | number): AbortSignal {
    const ending = new AbortController();
    this.#calls.set(id, ending);
    if (this.#closed) ending.abort();
    return ending.signal;
  }

  /** A call has ended. */
  endCall(id: string | number): void {
    this.#calls.delete(id);
  }

  /**
   * Gives calls up, because the model's client has gone before their answer. With the last one keyboards are
   * given back.
   */
  async dropCalls(ids: readonly (string | number)[]): Promise<void> {
    let dropped = 0;
    for (const id of ids) {
      const call = this.#calls.get(id);
      if (call === undefined) continue;
      call.abort();
      this.#calls.delete(id);
      dropped++;
    }
    if (dropped > 0) await this.rest();
  }

  /** Gives all keyboards back, unless a call is under way: the session has no listener any more. */
  async rest(): Promise<void> {
    if (this.#calls.size > 0) return;
    await Promise.all([...this.#leases.keys()].map((endpoint) => this.giveBack(endpoint)));
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
        throw lease.owned ? error : await this.#lossOf(endpoint, lease, error);
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
    for (const call of this.#calls.values()) call.abort();
    for (const timer of this.#idle.values()) clearTimeout(timer);
    try {
      await this.client.close();
    } catch (error) {
      // The daemon has gone, and everything was given back with it.
      if (!(error instanceof Fault)) throw error;
    }
    await this.events[Symbol.asyncDispose]();
  }

  async #inputLease(endpoint: EndpointId): Promise<Lease> {
    assert(!this.#closed, "no input after the session's end");
    const known = this.#leases.get(endpoint);
    if (known?.owned === true) return known;
    const taken = this.#taken.get(endpoint);
    if (taken !== undefined) throw new Fault("stale-lease", taken);
    // Nobody has taken what ended with the daemon or the VM: it is acquired anew.
    if (known !== undefined && await lossOf(known) === "preempted") {
      throw await this.#lossOf(endpoint, known, undefined);
    }
    return await this.#acquire(endpoint, 0);
  }

  async #acquire(endpoint: EndpointId, waitMs: number): Promise<Lease> {
    try {
      const lease = await takeLease(this.client, endpoint, "input", {
        timeoutMs: Math.max(DEFAULT_TIMEOUT_MS, waitMs),
        waits: waitMs > 0,
        message: "a model",
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
  async #lossOf(endpoint: EndpointId, lease: Lease, cause: unknown): Promise<Fault> {
    const name = this.#name(endpoint);
    const inPart = "the input of this call may have been done in part";
    this.#leases.delete(endpoint);
    const loss = await lossOf(lease);
    if (loss !== undefined && loss !== "preempted") {
      const why = loss === "endpoint-gone"
        ? "the VM or the vmsig daemon has ended"
        : "the vmsig daemon was restarted, or has ended";
      const code = loss === "endpoint-gone" ? "seam-down" : "unreachable";
      return new Fault(code, `Cannot go on with ${name}: ${why}; ${inPart}`, { cause });
    }
    const taker = lease.takenBy === undefined ? await this.owner(endpoint) : holderWords(lease.takenBy);
    const text = `Cannot go on with ${name}: ${taker} has taken its keyboard and mouse; ${inPart}`;
    this.#taken.set(endpoint, `Cannot use keyboard and mouse of ${name}: they were taken away before`);
    return new Fault("stale-lease", text, { cause });
  }

  /** Who has keyboard and mouse, in words. */
  async owner(endpoint: EndpointId): Promise<string> {
    try {
      const { owner } = await this.client.leaseStatus(endpoint, "input");
      return owner === undefined ? "another control" : holderWords(owner);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      return "another control";
    }
  }

  #name(endpoint: EndpointId): string {
    return printable(this.client.roster.nameOf(endpoint));
  }
}

/** Why a lease was lost; undefined when it was not. */
async function lossOf(lease: Lease): Promise<LeaseLoss | undefined> {
  return lease.signal.aborted ? await lease.lost : undefined;
}
