/**
 * A guest's memory and system, read by a control itself: the RAM of the endpoint's MEMCTX, mapped read-only,
 * and the system found in it.
 *
 * Valid for one epoch. {@linkcode GuestView.check} says whether that has ended; nothing read before the check
 * is certain until it has passed.
 * @module
 */
import type { EndpointId } from "../base/ids.ts";
import { CAP_OF_CLASS } from "../access/requirement.ts";
import { Fault } from "../base/fault.ts";
import { readU64 } from "../base/layout.ts";
import { MEMCTX } from "../event/body_layout.ts";
import { LEASE_CLASS_NAMES } from "../event/body_number.ts";
import { CAP } from "../event/capability.ts";
import { KIND } from "../event/kind.ts";
import { findersFor } from "../guest/finders.ts";
import { findGuest } from "../guest/find_guest.ts";
import type { FindResult } from "../guest/guest_os.ts";
import type { PhysicalMemory } from "../guest/physical_memory.ts";
import { systemOfNumber } from "../guest/systems.ts";
import { openMemsegs } from "../ram/memseg_ram.ts";
import type { Client } from "./client.ts";
import type { ClientEvent } from "./client_event.ts";
import {
  CONTEXT_WAIT_MS,
  LOOK_MS,
  noContext,
  pointless,
  requireHere,
  requireMemory,
} from "./context_wait.ts";
import type { EventStream } from "./event_stream.ts";
import type { LeaseClassName } from "./lease.ts";
import type { EndpointRef } from "./roster_view.ts";
import type { CommandOptions } from "./session.ts";

/** How long events may be in transit from a daemon without barriers, ms. */
const QUIET_MS = 50;

/** A guest's memory, mapped. Unmapped by its disposal. */
export class GuestView implements AsyncDisposable {
  /** The endpoint's number. */
  readonly endpoint: EndpointId;
  /** The context's epoch. */
  readonly epoch: number;
  /** The kernel's page-table root from the daemon; 0 if it looks for no system. */
  readonly kcr3: number;
  /** Size of RAM, bytes. */
  readonly ramBytes: number;
  /** Size of RAM below the 4 GiB hole, bytes. */
  readonly lowBytes: number;
  /** Whether user processes have a root apart from the kernel's. */
  readonly kpti: boolean;
  /** The guest's memory. */
  readonly memory: PhysicalMemory;
  /** The system found in it, or why there is none. */
  readonly guest: FindResult;
  readonly #client: Client;
  readonly #ended: EventStream;
  readonly #name: string;

  private constructor(client: Client, event: ClientEvent, ended: EventStream, name: string) {
    const { view } = event;
    requireHere(client.memory, name);
    this.#client = client;
    this.endpoint = event.endpoint;
    this.#ended = ended;
    this.#name = name;
    this.epoch = view.getUint32(MEMCTX.at.epoch, true);
    this.kcr3 = readU64(view, MEMCTX.at.kcr3);
    this.ramBytes = readU64(view, MEMCTX.at.ramBytes);
    this.lowBytes = readU64(view, MEMCTX.at.low);
    this.kpti = (view.getUint32(MEMCTX.at.flags, true) & 1) !== 0;
    const fds = event.takeFds();
    try {
      this.memory = openMemsegs(event.body, fds, `RAM of ${name}`);
    } finally {
      for (const fd of fds) fd.close();
    }
    try {
      const system = systemOfNumber(view.getUint32(MEMCTX.at.guestOs, true));
      const liveRoot = this.kcr3 === 0 ? undefined : this.kcr3;
      this.guest = findGuest(this.memory, findersFor(system?.name ?? "auto"), { liveRoot });
    } catch (error) {
      this.memory[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Opens an endpoint's memory.
   *
   * @param client must receive MEMCTX: source MEMCTX in its subscription and its grant
   * @param ref which VM
   * @throws {Fault} `no-endpoint`; `no-capability`; `seam-down` when there is no context (the text says why,
   *   as far as the daemon has told); `not-supported` when the daemon knows no system that runs there, or the
   *   VM's RAM is not shared; `refused` when its RAM does not open
   */
  static async open(client: Client, ref: EndpointRef, options: CommandOptions = {}): Promise<GuestView> {
    const endpoint = await client.endpoint(ref);
    const endpoints = [endpoint];
    const name = client.roster.nameOf(endpoint);
    requireMemory(client, endpoint);
    const ended = client.events({ kinds: ["MEMCTX", "MEMCTX_INVALIDATED"], endpoints });
    try {
      const event = await firstContext(client, ended, endpoint, options);
      return new GuestView(client, event, ended, name);
    } catch (error) {
      await ended.return();
      throw error;
    }
  }

  /**
   * Opens the memory of a context that has just arrived.
   *
   * @param event the MEMCTX; its descriptors are taken
   * @throws {Fault} as {@linkcode GuestView.open}
   */
  static of(client: Client, event: ClientEvent): GuestView {
    const { endpoint } = event;
    const ended = client.events({ kinds: ["MEMCTX", "MEMCTX_INVALIDATED"], endpoints: [endpoint] });
    try {
      return new GuestView(client, event, ended, client.roster.nameOf(endpoint));
    } catch (error) {
      ended.return();
      throw error;
    }
  }

  /**
   * Checks that the epoch is still current and that the memory was readable: asks the daemon something, and
   * evaluates the events that came before the answer.
   *
   * @throws {Fault} `seam-down` when the epoch has ended: the guest was reset, or its VM has ended; `refused`
   *   when the RAM's file was truncated; also what the query throws
   */
  async check(): Promise<void> {
    await this.#hearAll();
    if (this.#ended.buffered === 0) return this.memory.verify();
    throw new Fault(
      "seam-down",
      `Cannot trust what was read from ${this.#name}: the guest was reset or ended while it was read; try again`,
    );
  }

  /** If the daemon knew of the epoch's end when it was asked, the event comes before its answer. */
  async #hearAll(): Promise<void> {
    if (this.#client.knowsKind(KIND.CMD_BARRIER)) {
      await this.#client.barrier();
      return;
    }
    const { caps } = this.#client.grant;
    const cls = CAP_OF_CLASS.findIndex((cap) => (caps & (cap | CAP.OBSERVE)) !== 0);
    const className = LEASE_CLASS_NAMES[cls] as LeaseClassName | undefined;
    // A control that may only read memory has no query that would not be refused and audited.
    if (className === undefined) return await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
    try {
      await this.#client.leaseStatus(this.endpoint, className);
    } catch (error) {
      // The end of an endpoint that is gone has been reported.
      if (!(error instanceof Fault) || error.code !== "no-endpoint") throw error;
    }
  }

  /** Unmaps the memory. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.memory[Symbol.dispose]();
    await this.#ended.return();
  }
}

async function firstContext(
  client: Client,
  stream: EventStream,
  endpoint: EndpointId,
  { timeoutMs = CONTEXT_WAIT_MS, signal }: CommandOptions,
): Promise<ClientEvent> {
  const beganMs = performance.now();
  const giveUp = (): void => stream.end(new Fault("interrupted", "Cannot await the context: interrupted"));
  const look = (): void => {
    const fault = pointless(client, endpoint, performance.now() - beganMs);
    if (fault !== undefined) stream.end(fault);
  };
  const looking = setInterval(look, LOOK_MS);
  const timer = setTimeout(() => stream.end(noContext(client, endpoint)), timeoutMs);
  signal?.addEventListener("abort", giveUp, { once: true });
  look();
  if (signal?.aborted) giveUp();
  try {
    for (;;) {
      const { done, value } = await stream.next();
      if (done) throw noContext(client, endpoint);
      // The epoch has ended: waits for the next one.
      if (value.kindName === "MEMCTX") return value.detach();
    }
  } finally {
    clearInterval(looking);
    clearTimeout(timer);
    signal?.removeEventListener("abort", giveUp);
  }
}
