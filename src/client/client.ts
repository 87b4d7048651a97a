/**
 * A control in a process of its own, as returned by `connect`. Events are async iterators; a command is a
 * promise that the daemon's one answer settles.
 *
 * Most of it is elsewhere: `session.ts` decides when the socket is read and what a slow program receives;
 * keyboard and mouse are in `input_control.ts`.
 * @module
 */
import { CODE } from "../base/codes.ts";
import { Fault } from "../base/fault.ts";
import { type ControlId, type EndpointId, hexOfGva } from "../base/ids.ts";
import { LEASE_CLASS_NAMES, type LeaseClass } from "../event/body_number.ts";
import { DIR } from "../event/defaults.ts";
import { KIND, type Kind } from "../event/kind.ts";
import { sourceNamesOf } from "../event/source.ts";
import type { TransferEvent } from "../event/transfer_event.ts";
import { barrier, endpointOf, rosterArrived } from "./arrival.ts";
import type { ClientEvent } from "./client_event.ts";
import type { EventFilter } from "./event_filter.ts";
import type { EventStream } from "./event_stream.ts";
import { ConsoleControl, type ConsoleOptions } from "./console_control.ts";
import { MemoryMethods } from "./memory_methods.ts";
import type { Welcome } from "./handshake.ts";
import { type HeldInput, heldInputOf } from "./held_input.ts";
import { type AcquireOptions, claimOf, isGivenUp } from "./lease_claim.ts";
import { type LeaseParties, leasePartiesOf } from "./lease_parties.ts";
import { holderOf, type LeaseStatus } from "./lease_holder.ts";
import { Lease, type LeaseClassName, type LeaseHome } from "./lease.ts";
import type { MemoryView } from "./memory_view.ts";
import { type MemoryWriteOptions, writeMemoryCommand } from "./memory_write.ts";
import { openSession } from "./open_session.ts";
import type { EndpointRef, RosterEntry, RosterView } from "./roster_view.ts";
import { type CommandOptions, DEFAULT_TIMEOUT_MS, Session, type SessionOptions } from "./session.ts";
import type { CommandOutcome } from "./command_outcome.ts";
import { faultOfCode, faultOfDenial, unexpectedAnswer } from "./command_fault.ts";
import { neededFor } from "./needed_capability.ts";
import { VmControl, type VmOperation, type VmState } from "./vm_control.ts";

/** How long the daemon may take to release an agent lease: it thaws what the owner froze. */
const THAW_MS = 30_000;

/** A connected control. */
export class Client extends MemoryMethods implements AsyncDisposable, LeaseHome {
  readonly #session: Session;
  #closed: Promise<void> | undefined;

  private constructor(session: Session) {
    super(session.screens);
    this.#session = session;
  }

  /**
   * Joins the bus; programs call `connect`.
   *
   * @throws {Fault} with the code of a REFUSED; `timed-out`; `unreachable`; `interrupted`
   */
  static async join(options: SessionOptions): Promise<Client> {
    const session = new Session(options);
    try {
      await openSession(session, options);
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

  /** How each VM's memory stands, as far as the daemon has reported it: needs the source MEMCTX. */
  get memory(): MemoryView {
    return this.#session.memory;
  }

  /** Why the connection ended; undefined while it is open. */
  get fault(): Fault | undefined {
    return this.#session.fault;
  }

  /**
   * Opens a stream of events. The first stream begins with what has arrived since the connection was made
   * (retained roster and contexts first), later ones with what arrives from now on.
   *
   * @param filter which events; by default all that the subscription lets through
   */
  events(filter: EventFilter = {}): EventStream {
    return this.#session.openStream(filter);
  }

  /**
   * The next event that matches a filter; the caller owns its descriptors. Events between two calls are lost:
   * to follow events, open a stream.
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
   * The number of an endpoint given by name or number; waits for the retained roster if it has not arrived
   * yet.
   *
   * @throws {Fault} `no-endpoint`, naming the existing ones
   */
  async endpoint(ref: EndpointRef): Promise<EndpointId> {
    return await endpointOf(this.#session, ref);
  }

  /** The roster, once all retained entries have arrived. */
  async completeRoster(): Promise<RosterEntry[]> {
    await rosterArrived(this.#session);
    return this.roster.list();
  }

  /**
   * Sends one command and awaits its answer.
   *
   * @param kind the command
   * @param endpoint the endpoint's number
   * @param what what the command does, for messages: "reset web"
   * @param fill writes the inline zone and the body
   * @returns the ACT_ACK with ok, or the kind of reply that the command has instead
   * @throws {Fault} with the code of the refusal; `timed-out`; `interrupted`; `unreachable`
   */
  async command(
    kind: Kind,
    endpoint: EndpointId,
    what: string,
    fill: (event: TransferEvent) => void,
    options: CommandOptions = {},
  ): Promise<ClientEvent> {
    const answer = await this.#session.request(kind, endpoint, what, fill, options);
    const ack = answer.as("ACT_ACK");
    if (ack !== undefined && (ack.ok !== 1 || ack.code !== CODE.ok)) {
      const detail = ack.detail === 0 ? "" : `detail ${ack.detail}`;
      const needed = neededFor(this.#session, kind, fill);
      const { corr } = answer;
      throw Object.assign(faultOfCode(what, ack.code, detail, answer.words, needed), { corr });
    }
    const denied = answer.as("LEASE_DENIED");
    if (denied !== undefined) {
      const { reason, ownerPrincipal, ownerControl, ownerAs } = denied;
      const owner = holderOf(ownerPrincipal, ownerControl, ownerAs);
      throw faultOfDenial(what, reason, neededFor(this.#session, kind, fill), owner);
    }
    return answer;
  }

  /**
   * Resolves when everything that the daemon had for this client so far (retained state, events, answers) has
   * arrived and is in the streams.
   *
   * @returns the names of sources that still hold back events because of their pacing; usually none
   * @throws {Fault} `not-supported` from a daemon without CMD_BARRIER; `timed-out`; `unreachable`
   */
  async barrier(options: CommandOptions = {}): Promise<string[]> {
    return sourceNamesOf(await barrier(this.#session, options));
  }

  /**
   * What became of a command without an answer: by the `corr` of its fault, or by an id that `vmsig` printed.
   */
  outcome(of: number | string, options: CommandOptions = {}): Promise<CommandOutcome> {
    return this.#session.outcome(of, options);
  }

  /** Whether the daemon knows a kind that was added to the protocol later (CMD_BARRIER, 112, and above). */
  knowsKind(kind: Kind): boolean {
    return this.#session.knowsKind(kind);
  }

  /**
   * Acquires a lease, or returns another handle of one that this client owns.
   *
   * @throws {Fault} `busy` when another control owns it and this one does not wait; `no-capability`;
   *   `outside-grant`
   */
  async acquire(
    ref: EndpointRef,
    className: LeaseClassName,
    options: AcquireOptions = {},
  ): Promise<Lease> {
    const endpoint = await this.endpoint(ref);
    const cls = LEASE_CLASS_NAMES.indexOf(className) as LeaseClass;
    const { linkNumber } = this.#session;
    const what = `acquire ${className} of ${this.roster.nameOf(endpoint)}`;
    const claim = claimOf(what, cls, options, this.knowsKind(KIND.CMD_LEASE_CLAIM));
    let answer: ClientEvent;
    try {
      answer = await this.command(claim.kind, endpoint, what, claim.fill, claim.options);
    } catch (error) {
      // Otherwise the lease would be granted later to nobody, and the claim listed as waiting until then.
      if (options.wait === true && isGivenUp(error)) this.#session.withdrawClaim(endpoint, cls);
      throw error;
    }
    const granted = answer.as("LEASE_GRANTED");
    if (granted === undefined) throw unexpectedAnswer(what, answer.kindName);
    const lease = new Lease(this, endpoint, cls, granted.token, granted.ttlMs);
    if (this.#session.ended) lease.lose("disconnected");
    // The daemon that granted it was lost before this client noticed.
    else if (this.#session.linkNumber !== linkNumber) lease.lose("owner-gone");
    else this.#session.leases.add(lease, answer.seq);
    return lease;
  }

  /**
   * Whether a lease class of an endpoint is owned, and by whom: the uid, and the principal that it speaks
   * for.
   */
  async leaseStatus(
    ref: EndpointRef,
    className: LeaseClassName,
    options: CommandOptions = {},
  ): Promise<LeaseStatus> {
    const endpoint = await this.endpoint(ref);
    const what = `ask who owns ${className} of ${this.roster.nameOf(endpoint)}`;
    const answer = await this.command(KIND.CMD_LEASE_STATUS, endpoint, what, (event) => {
      event.words[0] = LEASE_CLASS_NAMES.indexOf(className);
    }, options);
    const status = answer.as("LEASE_STATUS");
    if (status === undefined) throw unexpectedAnswer(what, answer.kindName);
    const { busy, ownerPrincipal, ownerControl, ownerAs } = status;
    const owner = { principal: ownerPrincipal, control: ownerControl as ControlId, as: ownerAs };
    return { busy: busy !== 0, ownerPrincipal, ...(busy === 0 ? {} : { owner }) };
  }

  /**
   * Who owns a lease class of an endpoint and who waits for it, with their reasons.
   *
   * @throws {Fault} `not-supported` from a daemon that does not know the query
   */
  async leaseParties(
    ref: EndpointRef,
    className: LeaseClassName,
    options: CommandOptions = {},
  ): Promise<LeaseParties> {
    const endpoint = await this.endpoint(ref);
    const what = `ask who waits for ${className} of ${this.roster.nameOf(endpoint)}`;
    if (!this.knowsKind(KIND.CMD_LEASE_WHO)) {
      throw new Fault("not-supported", `Cannot ${what}: this daemon does not tell; update it`);
    }
    const answer = await this.command(KIND.CMD_LEASE_WHO, endpoint, what, (event) => {
      event.words[0] = LEASE_CLASS_NAMES.indexOf(className);
    }, options);
    const parties = leasePartiesOf(answer);
    if (parties === undefined) throw unexpectedAnswer(what, answer.kindName);
    return parties;
  }

  /** The VM's current state, from QEMU. */
  vmState(ref: EndpointRef, options: CommandOptions = {}): Promise<VmState> {
    return this.vm(ref).state(options);
  }

  /** A VM's state, power commands and snapshots. Sends nothing yet. */
  vm(ref: EndpointRef): VmControl;
  /**
   * Sends a command to the VM and waits until it is confirmed. `reset`, `powerdown` and `quit` need the POWER
   * lease, which this client must own.
   *
   * @returns the ACT_ACK
   */
  vm(ref: EndpointRef, operation: VmOperation, options?: CommandOptions): Promise<ClientEvent>;
  vm(
    ref: EndpointRef,
    operation?: VmOperation,
    options: CommandOptions = {},
  ): VmControl | Promise<ClientEvent> {
    const control = new VmControl(this, ref);
    return operation === undefined ? control : control.operate(operation, options);
  }

  /** The keys and buttons that are held down in an endpoint; `truncated` when there are more than ten. */
  async held(ref: EndpointRef, options: CommandOptions = {}): Promise<HeldInput> {
    const endpoint = await this.endpoint(ref);
    const what = `ask what is held on ${this.roster.nameOf(endpoint)}`;
    const answer = await this.command(KIND.CMD_QUERY_INPUT, endpoint, what, () => {}, options);
    const held = heldInputOf(answer);
    if (held === undefined) throw unexpectedAnswer(what, answer.kindName);
    return held;
  }

  /**
   * Writes guest memory under the MEMWRITE lease, which this client must own: everything or nothing. An
   * aligned write of 1, 2, 4 or 8 bytes is one store.
   *
   * @param gva guest virtual address, signed as `base/ids.ts` holds it
   * @param bytes 1 to 4096 bytes
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
   * a refusal arrives as an ERROR event.
   *
   * @param fill writes the inline zone and the body
   * @param fds descriptors to send with it, borrowed for the call
   */
  publish(
    kind: Kind,
    endpoint: EndpointId,
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
    try {
      await this.command(KIND.CMD_RELEASE, lease.endpoint, what, (event) => {
        event.words[0] = lease.cls;
      }, { token: lease.token, ...lease.className === "agent" ? { timeoutMs: THAW_MS } : {} });
    } catch (error) {
      // The daemon is gone and the lease with it, which this client has not read yet.
      if (!(error instanceof Fault && error.code === "unreachable")) throw error;
    }
  }

  /** See {@linkcode LeaseHome}. */
  waitForLease({ endpoint, className, ttlMs }: Lease, options: AcquireOptions): Promise<Lease> {
    return this.acquire(endpoint, className, { ttlMs, ...options, wait: true });
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
