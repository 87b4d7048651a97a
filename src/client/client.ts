/**
 * A control in a process of its own: what `connect` gives. Events come as async iterators, commands are
 * promises that the daemon's one answer settles.
 *
 * It is thin: `session.ts` says when the socket is read and what a slow program gets; keyboard and mouse are
 * in `input_control.ts`.
 * @module
 */
import type { OwnedFd } from "../../ffi/owned_fd.ts";
import { CODE } from "../base/codes.ts";
import { Fault } from "../base/fault.ts";
import { hexOfGva } from "../base/ids.ts";
import { INPUT_HELD } from "../event/body_layout.ts";
import {
  INPUT_HELD_ENTRIES,
  INPUT_HELD_TRUNC,
  LEASE_CLASS_NAMES,
  type LeaseClass,
  LIFE,
  VM_DETAIL_NAMES,
  VM_OP,
  VM_STATE_NAMES,
} from "../event/body_number.ts";
import { CAP } from "../event/capability.ts";
import { DIR } from "../event/defaults.ts";
import { KIND, type Kind } from "../event/kind.ts";
import { sourceNamesOf } from "../event/source.ts";
import type { TransferEvent } from "../event/transfer_event.ts";
import { barrier, rosterArrived } from "./arrival.ts";
import type { ClientEvent } from "./client_event.ts";
import type { EventFilter } from "./event_filter.ts";
import type { EventStream } from "./event_stream.ts";
import { ConsoleControl, type ConsoleOptions } from "./console_control.ts";
import { MemoryMethods } from "./memory_methods.ts";
import type { Welcome } from "./handshake.ts";
import { Lease, type LeaseClassName, type LeaseHome } from "./lease.ts";
import type { MemoryView } from "./memory_view.ts";
import { type MemoryWriteOptions, writeMemoryCommand } from "./memory_write.ts";
import type { EndpointRef, RosterEntry, RosterView } from "./roster_view.ts";
import { type CommandOptions, DEFAULT_TIMEOUT_MS, Session, type SessionOptions } from "./session.ts";
import { faultOfCode, faultOfDenial } from "./command_fault.ts";
import { neededFor } from "./needed_capability.ts";

/** What a VM is told to do. All but `stop`, `cont` and `wakeup` need the POWER lease. */
export type VmOperation = "stop" | "cont" | "reset" | "powerdown" | "wakeup" | "quit";

/** A VM's state. */
export interface VmState {
  /** Its name: "running", "paused", … */
  readonly state: string;
  /** Why, as QEMU tells: "none", "host-request", … */
  readonly detail: string;
}

/** What is held down. */
export interface HeldInput {
  /** Keys and buttons: `kind` as in `INPUT_KIND`, `code` evdev's. */
  readonly entries: readonly { readonly kind: number; readonly code: number }[];
  /** More is held than was told. */
  readonly truncated: boolean;
}

/** A connected control. */
export class Client extends MemoryMethods implements AsyncDisposable, LeaseHome {
  readonly #session: Session;
  #closed: Promise<void> | undefined;

  private constructor(session: Session) {
    super(session.screens);
    this.#session = session;
  }

  /**
   * Joins the bus over a connected socket; programs call `connect`.
   *
   * @throws {Fault} with the code of a REFUSED; `timed-out`; `unreachable`
   */
  static async join(socket: OwnedFd, options: SessionOptions): Promise<Client> {
    const session = new Session(options);
    try {
      await session.open(socket);
    } catch (error) {
      await session.close();
      throw error;
    }
    return new Client(session);
  }

  /** What the daemon grants this connection. */
  get grant(): Welcome {
    return this.#session.grant;
  }

  /** The roster as far as it has arrived; see {@linkcode Client.completeRoster}. */
  get roster(): RosterView {
    return this.#session.roster;
  }

  /** How each VM's memory stands, as far as it was told: needs the source MEMCTX. */
  get memory(): MemoryView {
    return this.#session.memory;
  }

  /** Why the connection ended; undefined while it lives. */
  get fault(): Fault | undefined {
    return this.#session.fault;
  }

  /**
   * A stream of events. The first one begins with what arrived since the connection was made, the retained
   * roster and contexts first; later ones with what arrives from now on.
   *
   * @param filter which events; all that the subscription lets through unless told
   */
  events(filter: EventFilter = {}): EventStream {
    return this.#session.openStream(filter);
  }

  /**
   * The next event of a filter; its descriptors are the caller's. For one event after another open a stream:
   * between two calls of this one events pass.
   *
   * @throws {Fault} `timed-out`, `interrupted`, `unreachable`
   */
  async next(filter: EventFilter, options: CommandOptions = {}): Promise<ClientEvent> {
    const { timeoutMs = DEFAULT_TIMEOUT_MS, signal } = options;
    await using stream = this.events(filter);
    const giveUp = () => stream.end(new Fault("interrupted", "Cannot await an event: interrupted"));
    const timer = setTimeout(() => {
      stream.end(new Fault("timed-out", `Cannot await an event: none came within ${timeoutMs} ms`));
    }, timeoutMs);
    signal?.addEventListener("abort", giveUp, { once: true });
    if (signal?.aborted) giveUp();
    try {
      const result = await stream.next();
      if (result.done) throw new Fault("unreachable", "Cannot await an event: the client was closed");
      return result.value.detach();
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", giveUp);
    }
  }

  /**
   * An endpoint's number by its name or number; awaits the retained roster where it has not arrived yet.
   *
   * @throws {Fault} `no-endpoint`, naming those that there are
   */
  async endpoint(ref: EndpointRef): Promise<number> {
    const known = this.roster.find(ref);
    if (known !== undefined) return known;
    // Who may not see the roster can still say a number; the daemon judges it.
    if ((this.grant.caps & CAP.ROSTER) === 0 && Number.isInteger(Number(ref))) return Number(ref);
    await rosterArrived(this.#session);
    const found = this.roster.find(ref);
    if (found === undefined) throw this.roster.unknown(ref);
    return found;
  }

  /** The roster, when the retained entries have all arrived. */
  async completeRoster(): Promise<RosterEntry[]> {
    await rosterArrived(this.#session);
    return this.roster.list();
  }

  /**
   * Sends one command and awaits its answer.
   *
   * @param kind the command
   * @param endpoint the endpoint's number
   * @param what what it does, for messages: "reset web"
   * @param fill writes the inline zone and the body
   * @returns the ACT_ACK with ok, or the reply that the command has instead
   * @throws {Fault} with the code of the refusal; `timed-out`; `interrupted`; `unreachable`
   */
  async command(
    kind: Kind,
    endpoint: number,
    what: string,
    fill: (event: TransferEvent) => void,
    options: CommandOptions = {},
  ): Promise<ClientEvent> {
    const answer = await this.#session.request(kind, endpoint, what, fill, options);
    const ack = answer.as("ACT_ACK");
    if (ack !== undefined && (ack.ok !== 1 || ack.code !== CODE.ok)) {
      const detail = ack.detail === 0 ? "" : `detail ${ack.detail}`;
      throw faultOfCode(what, ack.code, detail, answer.words, neededFor(this.#session, kind, fill));
    }
    const denied = answer.as("LEASE_DENIED");
    if (denied !== undefined) throw faultOfDenial(what, denied.reason, neededFor(this.#session, kind, fill));
    return answer;
  }

  /**
   * Resolves when all that the daemon had for this client until now has arrived: retained state, events, and
   * answers that were given by then. It is in the streams when this resolves.
   *
   * @returns the names of sources of which the daemon's pacing still holds something back; mostly none
   * @throws {Fault} `not-supported` by a daemon that is older than that; `timed-out`; `unreachable`
   */
  async barrier(options: CommandOptions = {}): Promise<string[]> {
    return sourceNamesOf(await barrier(this.#session, options));
  }

  /** Whether the daemon knows a kind that was added to the protocol later: CMD_BARRIER, 112, and above. */
  knowsKind(kind: Kind): boolean {
    return this.#session.knowsKind(kind);
  }

  /**
   * Acquires a lease, or takes a further handle of one that this client holds.
   *
   * @param options `ttlMs`: have it revoked when this client has not been heard for that long; the client
   *   keeps it alive meanwhile
   * @throws {Fault} `busy` when another holds it; `no-capability`; `outside-grant`
   */
  async acquire(
    ref: EndpointRef,
    className: LeaseClassName,
    options: CommandOptions & { readonly ttlMs?: number } = {},
  ): Promise<Lease> {
    const endpoint = await this.endpoint(ref);
    const cls = LEASE_CLASS_NAMES.indexOf(className) as LeaseClass;
    const { linkNumber } = this.#session;
    const what = `acquire ${className} of ${this.roster.nameOf(endpoint)}`;
    const answer = await this.command(KIND.CMD_ACQUIRE, endpoint, what, (event) => {
      event.words[0] = cls;
      event.words[2] = options.ttlMs ?? 0;
    }, options);
    const granted = answer.as("LEASE_GRANTED");
    if (granted === undefined) throw unexpected(what, answer);
    const lease = new Lease(this, endpoint, cls, granted.token, granted.ttlMs);
    if (this.#session.ended) lease.lose("disconnected");
    // The daemon that granted it went before this was noticed here.
    else if (this.#session.linkNumber !== linkNumber) lease.lose("owner-gone");
    else this.#session.leases.add(lease, answer.seq);
    return lease;
  }

  /** Whether a class of an endpoint is held, and by whom (a uid). */
  async leaseStatus(
    ref: EndpointRef,
    className: LeaseClassName,
    options: CommandOptions = {},
  ): Promise<{ readonly busy: boolean; readonly ownerPrincipal: number }> {
    const endpoint = await this.endpoint(ref);
    const what = `ask who holds ${className} of ${this.roster.nameOf(endpoint)}`;
    const answer = await this.command(KIND.CMD_LEASE_STATUS, endpoint, what, (event) => {
      event.words[0] = LEASE_CLASS_NAMES.indexOf(className);
    }, options);
    const status = answer.as("LEASE_STATUS");
    if (status === undefined) throw unexpected(what, answer);
    return { busy: status.busy !== 0, ownerPrincipal: status.ownerPrincipal };
  }

  /** The VM's state, asked of it now. */
  async vmState(ref: EndpointRef, options: CommandOptions = {}): Promise<VmState> {
    const endpoint = await this.endpoint(ref);
    const what = `query ${this.roster.nameOf(endpoint)}`;
    const answer = await this.command(KIND.CMD_VM, endpoint, what, (event) => {
      event.words[0] = VM_OP.QUERY;
    }, options);
    const vm = answer.as("VM_LIFECYCLE");
    if (vm === undefined) throw unexpected(what, answer);
    return {
      state: VM_STATE_NAMES[vm.state] ?? `state-${vm.state}`,
      detail: VM_DETAIL_NAMES[vm.detail] ?? `detail-${vm.detail}`,
    };
  }

  /**
   * Tells the VM to do something and awaits its word that it did. `reset`, `powerdown` and `quit` need the
   * POWER lease, which this client must hold.
   *
   * @returns the ACT_ACK
   */
  async vm(ref: EndpointRef, operation: VmOperation, options: CommandOptions = {}): Promise<ClientEvent> {
    const endpoint = await this.endpoint(ref);
    const [kind, op] = VM_COMMANDS[operation];
    return await this.command(kind, endpoint, `${operation} ${this.roster.nameOf(endpoint)}`, (event) => {
      event.words[0] = op;
    }, options);
  }

  /**
   * Which keys and buttons an endpoint's actuator holds down now; `truncated` when there are more than ten.
   */
  async held(ref: EndpointRef, options: CommandOptions = {}): Promise<HeldInput> {
    const endpoint = await this.endpoint(ref);
    const what = `ask what is held on ${this.roster.nameOf(endpoint)}`;
    const answer = await this.command(KIND.CMD_QUERY_INPUT, endpoint, what, () => {}, options);
    const held = answer.as("INPUT_HELD");
    if (held === undefined) throw unexpected(what, answer);
    const view = answer.view;
    const entries = Array.from({ length: Math.min(held.count, INPUT_HELD_ENTRIES) }, (_, i) => ({
      kind: view.getUint16(INPUT_HELD.at.entries + 4 * i, true),
      code: view.getUint16(INPUT_HELD.at.entries + 4 * i + 2, true),
    }));
    return { entries, truncated: (held.flags & INPUT_HELD_TRUNC) !== 0 };
  }

  /**
   * Writes guest memory under the MEMWRITE lease, which this client must hold: all of it or nothing, and an
   * aligned write of 1, 2, 4 or 8 bytes in one store.
   *
   * @param gva guest virtual address, signed as `base/ids.ts` holds it
   * @param bytes 1 to 4096 of them
   * @returns the ACT_ACK
   * @throws {Fault} `outside-extent`, `not-mapped`, `no-lease`, `too-large`
   */
  async writeMemory(
    ref: EndpointRef,
    gva: number,
    bytes: Uint8Array,
    options: CommandOptions & MemoryWriteOptions = {},
  ): Promise<ClientEvent> {
    const endpoint = await this.endpoint(ref);
    const what = `write ${bytes.length} bytes at ${hexOfGva(gva)} of ${this.roster.nameOf(endpoint)}`;
    return await this.command(KIND.CMD_MEMWRITE, endpoint, what, (event) => {
      writeMemoryCommand(event, gva, bytes, options);
    }, options);
  }

  /** Opens a serial port or virtio console; see {@linkcode ConsoleControl.open}. */
  console(ref: EndpointRef, options: ConsoleOptions = {}): Promise<ConsoleControl> {
    return ConsoleControl.open(this, ref, options);
  }

  /**
   * Publishes an UP event of source FRAME, as a perception control does (needs PUBLISH). There is no answer;
   * a refusal comes as an ERROR event.
   *
   * @param fill writes the inline zone and the body
   * @param fds descriptors that go along, borrowed for the call
   */
  publish(
    kind: Kind,
    endpoint: number,
    fill: (event: TransferEvent) => void,
    fds: readonly number[] = [],
  ): void {
    const event = this.#session.newEvent(kind, endpoint, DIR.UP);
    fill(event);
    if (fds.length > 0) event.fds = fds;
    this.#session.send(event);
  }

  /** Releases every lease, ends the streams and leaves the bus. */
  close(): Promise<void> {
    return this.#closed ??= this.#close();
  }

  /** The same as {@linkcode Client.close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** See {@linkcode LeaseHome}. */
  async releaseLease(lease: Lease): Promise<void> {
    if (!this.#session.leases.remove(lease) || this.#session.ended) return;
    const what = `release ${lease.className} of ${this.roster.nameOf(lease.endpoint)}`;
    await this.command(KIND.CMD_RELEASE, lease.endpoint, what, (event) => {
      event.words[0] = lease.cls;
    }, { token: lease.token });
  }

  /** See {@linkcode LeaseHome}. */
  async keepLease(lease: Lease): Promise<void> {
    const what = `keep ${lease.className} of ${this.roster.nameOf(lease.endpoint)}`;
    await this.command(KIND.CMD_LEASE_STATUS, lease.endpoint, what, (event) => {
      event.words[0] = lease.cls;
    });
  }

  async #close(): Promise<void> {
    const releases = this.#session.leases.all().map((lease) => lease.release());
    try {
      await Promise.all(releases);
    } finally {
      await this.#session.close();
    }
  }
}

const VM_COMMANDS: Readonly<Record<VmOperation, readonly [kind: Kind, op: number]>> = {
  stop: [KIND.CMD_VM, VM_OP.STOP],
  cont: [KIND.CMD_VM, VM_OP.CONT],
  reset: [KIND.CMD_VM, VM_OP.RESET],
  powerdown: [KIND.CMD_VM, VM_OP.POWERDOWN],
  quit: [KIND.CMD_VM, VM_OP.QUIT],
  // CMD_VM has no wakeup; the same seam carries CMD_LIFECYCLE.
  wakeup: [KIND.CMD_LIFECYCLE, LIFE.WAKEUP],
};

function unexpected(what: string, answer: ClientEvent): Fault {
  return new Fault(
    "protocol-error",
    `Cannot ${what}: the daemon answered with ${answer.kindName}; use a client and a daemon of the same version`,
  );
}
