/**
 * The contents of this host's roster entry: its daemon's endpoints, the states of their VMs, the owners of
 * leases, and the sources of their screens. It follows the daemon's events, and queries only what may have
 * changed.
 * @module
 */
import { assert } from "../../base/assert.ts";
import type { EndpointId } from "../../base/ids.ts";
import { Fault } from "../../base/fault.ts";
import { oneLine, printable } from "../../base/printable.ts";
import { VERSION } from "../../base/version.ts";
import type { Client } from "../../client/client.ts";
import type { ClientEvent } from "../../client/client_event.ts";
import { describeBody } from "../../client/describe_event.ts";
import { eventWords } from "../../client/event_words.ts";
import { Gathering } from "../../client/gathering.ts";
import type { LeaseClassName } from "../../client/lease.ts";
import { LEASE_CLASS_NAMES, VM_STATE_NUMBER } from "../../event/body_number.ts";
import { KIND } from "../../event/kind.ts";
import { ENVELOPE_VERSION } from "../wire/envelope.ts";
import type { HostEndpoint, HostEntry } from "../wire/host_entry.ts";
import { token } from "../wire/subjects.ts";

/** Changes within this time are reported together, ms. */
const GATHER_MS = 30;

/** An endpoint, as named in subjects and requests. */
export interface LocalPlace {
  /** Its token in a subject. */
  readonly token: string;
  /** The life of its number. */
  readonly life: number;
  /** Its name, or its number if it has none. */
  readonly name: string;
}

/** The constant part of a host's entry. */
export type HostSelf = Pick<HostEntry, "host" | "run" | "machine" | "pid">;

/** The listener of a view. */
export interface HostViewListener {
  /** The entry changed. */
  onEntry(): void;
  /** The frame of an event that belongs in the audit. */
  onAudit(frame: Uint8Array): void;
}

/** Audit kinds about leases. */
const LEASE_KINDS: ReadonlySet<number> = new Set([
  KIND.LEASE_GRANTED,
  KIND.LEASE_RELEASED,
  KIND.LEASE_REVOKED,
]);

function isOfLeases(event: ClientEvent): boolean {
  return event.kind === KIND.AUDIT && LEASE_KINDS.has(Number(describeBody(event)["kind"]));
}

interface Facts {
  run: string;
  display: string;
  leases: Record<string, string>;
}

/** The view. */
export class HostView implements AsyncDisposable {
  readonly #client: Client;
  readonly #self: HostSelf;
  readonly #listener: HostViewListener;
  readonly #places = new Map<number, LocalPlace>();
  readonly #lives = new Map<number, number>();
  readonly #facts = new Map<number, Facts>();
  readonly #stale = new Set<EndpointId>();
  readonly #undisplayed = new Set<number>();
  readonly #users = new Map<number, string>();
  readonly #following: Promise<void>;
  readonly #changes = new Gathering(GATHER_MS, () => this.#refresh());
  #isUp = true;
  #isEnded = false;

  /** Uses a client that reconnects and receives CORE and VMHOST, which the caller owns. */
  constructor(client: Client, self: HostSelf, listener: HostViewListener) {
    this.#client = client;
    this.#self = self;
    this.#listener = listener;
    this.#following = this.#follow();
  }

  /** The current entry. */
  get entry(): HostEntry {
    const endpoints = !this.#isUp ? [] : this.#client.roster.list().map((each): HostEndpoint => {
      const { endpoint, name, state, seams, pid, vmid } = each;
      const { run = "", display = "", leases = {} } = this.#facts.get(endpoint) ?? {};
      const life = this.#places.get(endpoint)?.life ?? 0;
      return { endpoint, life, name, state, seams, pid, vmid, run, display, leases };
    });
    return {
      v: ENVELOPE_VERSION,
      vmsig: VERSION,
      ...this.#self,
      isNumbered: true,
      isUp: this.#isUp,
      endpoints,
    };
  }

  /** The name of an endpoint; undefined if it does not exist. */
  place(endpoint: EndpointId): LocalPlace | undefined {
    return this.#places.get(endpoint);
  }

  /** The daemon was lost; the client reconnects. */
  setAway(): void {
    this.#isUp = false;
    this.#places.clear();
    this.#facts.clear();
    this.#listener.onEntry();
  }

  /** Stops following; the client has been closed already. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isEnded = true;
    this.#changes[Symbol.dispose]();
    await this.#following;
  }

  async #follow(): Promise<void> {
    try {
      for await (const event of this.#client.events()) this.#onEvent(event);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      if (!this.#isEnded) this.setAway();
    }
  }

  #onEvent(event: ClientEvent): void {
    const { endpoint, kind } = event;
    if (kind === KIND.AUDIT) this.#listener.onAudit(event.frame);
    if (kind === KIND.RECONNECTED) {
      this.#isUp = true;
      return this.#changes.later();
    }
    const vm = event.as("VM_LIFECYCLE");
    if (vm !== undefined) {
      // A reset and a power-down are momentary: the VM's state afterwards is queried.
      const isState = vm.state !== VM_STATE_NUMBER.RESET && vm.state !== VM_STATE_NUMBER.POWERDOWN;
      this.#factsOf(endpoint).run = isState ? eventWords(event).split(" ", 1)[0] ?? "" : "";
    } else if (kind === KIND.ROSTER) {
      this.#onRoster(event);
      this.#undisplayed.add(endpoint);
    } else if (!isOfLeases(event)) return;
    this.#stale.add(endpoint);
    this.#changes.later();
  }

  #onRoster({ endpoint }: ClientEvent): void {
    const entry = this.#client.roster.get(endpoint);
    const known = this.#places.get(endpoint);
    if (entry === undefined) {
      this.#places.delete(endpoint);
      this.#facts.delete(endpoint);
      return;
    }
    const name = entry.name === "" ? String(endpoint) : entry.name;
    if (known?.name === name) return;
    const life = (this.#lives.get(endpoint) ?? 0) + 1;
    this.#lives.set(endpoint, life);
    this.#facts.delete(endpoint);
    this.#places.set(endpoint, { token: token(name), life, name });
  }

  #factsOf(endpoint: EndpointId): Facts {
    let facts = this.#facts.get(endpoint);
    if (facts === undefined) this.#facts.set(endpoint, facts = { run: "", display: "", leases: {} });
    return facts;
  }

  async #refresh(): Promise<void> {
    assert(!this.#isEnded, "a view that has ended asks nothing more");
    // The endpoint is reported before its state, because the query takes a moment.
    this.#listener.onEntry();
    const stale = [...this.#stale];
    this.#stale.clear();
    for (const endpoint of stale) await this.#ask(endpoint);
    if (stale.length > 0 && !this.#isEnded) this.#listener.onEntry();
  }

  async #ask(endpoint: EndpointId): Promise<void> {
    const entry = this.#client.roster.get(endpoint);
    if (entry === undefined || this.#isEnded) return;
    const leases: Record<string, string> = {};
    for (const name of LEASE_CLASS_NAMES as readonly LeaseClassName[]) {
      await this.#try(async () => {
        const { owner } = await this.#client.leaseStatus(endpoint, name);
        if (owner !== undefined) leases[name] = owner.as || this.#userOf(owner.principal);
      });
    }
    if (!this.#client.roster.get(endpoint)) return;
    const facts = this.#factsOf(endpoint);
    facts.leases = leases;
    if (entry.state !== "up") return;
    if (facts.run === "") {
      await this.#try(async () => void (facts.run = (await this.#client.vmState(endpoint)).state));
    }
    // Once per change of the roster: a refusal is audited, which would cause another query.
    if (!this.#undisplayed.delete(endpoint)) return;
    if (entry.seams.includes("frame")) {
      await this.#try(async () => {
        const { display, heads } = await this.#client.display(endpoint);
        facts.display = oneLine(heads[0]?.source || display).slice(0, 64);
      });
    } else facts.display = "";
  }

  /** What is not granted, or is gone meanwhile, is not reported. */
  async #try(ask: () => Promise<void>): Promise<void> {
    try {
      await ask();
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
    }
  }

  #userOf(uid: number): string {
    let name = this.#users.get(uid);
    if (name !== undefined) return name;
    let text = "";
    try {
      text = Deno.readTextFileSync("/etc/passwd");
    } catch (error) {
      // Without it users are shown as numbers.
      if (!(error instanceof Error)) throw error;
    }
    const row = text.split("\n").map((line) => line.split(":")).find((fields) => fields[2] === String(uid));
    name = row?.[0] === undefined ? `uid ${uid}` : printable(row[0]).slice(0, 64);
    this.#users.set(uid, name);
    return name;
  }
}
