/**
 * What all who are in see alike: the VMs, who has which lease, and what happened. One client on the bus for
 * all of them; it watches no frames.
 * @module
 */
import { Fault } from "../base/fault.ts";
import { oneLine, printable } from "../base/printable.ts";
import { LEASE_CLASS_NAMES } from "../event/body_number.ts";
import { KIND } from "../event/kind.ts";
import { PRIO } from "../event/priority.ts";
import { SOURCE } from "../event/source.ts";
import type { Client } from "../client/client.ts";
import type { ClientEvent } from "../client/client_event.ts";
import { eventWords } from "../client/event_words.ts";
import type { LeaseClassName } from "../client/lease.ts";

/** Lines of the timeline that are kept for who comes later. */
export const MOST_LINES = 500;
const MOST_WORDS = 400;
/** Things that happen at once are told at once. */
const GATHER_MS = 100;

/** A VM, as the page shows it. */
export interface VmCard {
  /** Its name. */
  readonly name: string;
  /** Of the roster: "up", … */
  readonly state: string;
  /** Of the VM: "running", …; "" while it is not known. */
  readonly run: string;
  /** Its seams that are up. */
  readonly seams: readonly string[];
  /** Who has which lease: class to who. */
  readonly leases: Readonly<Record<string, string>>;
}

/** A line of the timeline. */
export interface TimeLine {
  /** Grows by one a line. */
  readonly n: number;
  /** When, ms since 1970. */
  readonly ms: number;
  /** The kind's name. */
  readonly kind: string;
  /** The VM; "" for none. */
  readonly vm: string;
  /** Escaped. */
  readonly what: string;
  /** How the page marks it. */
  readonly tone: "plain" | "warn" | "bad";
}

/** What the house tells. */
export interface HouseListener {
  /** The VMs changed. */
  onVms(vms: readonly VmCard[]): void;
  /** Something happened. */
  onLine(line: TimeLine): void;
  /** The daemon is there again (""), or has gone. */
  onDaemon(why: string): void;
}

/** The house. */
export class House implements AsyncDisposable {
  /** Its client. */
  readonly client: Client;
  readonly #listeners = new Set<HouseListener>();
  readonly #lines: TimeLine[] = [];
  readonly #runs = new Map<number, string>();
  readonly #leases = new Map<number, Record<string, string>>();
  readonly #users = new Map<number, string>();
  readonly #stale = new Set<number>();
  readonly #running: Promise<void>;
  #count = 0;
  #away = "";
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isEnded = false;

  /** Over a client that reconnects and receives CORE, VMHOST and INPUT. It is closed by its owner. */
  constructor(client: Client) {
    this.client = client;
    this.#running = this.#follow();
  }

  /** The VMs as far as they are known. */
  get vms(): VmCard[] {
    return this.client.roster.list().map(({ endpoint, name, state, seams }) => ({
      name: name === "" ? String(endpoint) : printable(name),
      state,
      seams,
      run: this.#runs.get(endpoint) ?? "",
      leases: this.#leases.get(endpoint) ?? {},
    }));
  }

  /** The last lines. */
  get lines(): readonly TimeLine[] {
    return this.#lines;
  }

  /** Why the daemon is away; "" while it is there. */
  get away(): string {
    return this.#away;
  }

  /** The daemon has gone. */
  setAway(why: string): void {
    this.#away = why;
    this.#leases.clear();
    for (const each of this.#listeners) each.onDaemon(why);
  }

  /** Tells somebody from now on. */
  add(listener: HouseListener): void {
    this.#listeners.add(listener);
    for (const { endpoint } of this.client.roster.list()) this.#stale.add(endpoint);
    this.#later();
  }

  /** No longer. */
  remove(listener: HouseListener): void {
    this.#listeners.delete(listener);
  }

  /** A line of our own: what somebody did here. */
  tell(vm: string, what: string): void {
    this.#addLine({ kind: "WEB", vm, what, tone: "plain" });
  }

  /** Who has a class of a VM: "" for nobody. */
  async ownerOf(endpoint: number, className: LeaseClassName): Promise<string> {
    const { busy, ownerPrincipal } = await this.client.leaseStatus(endpoint, className);
    return busy ? await this.#userOf(ownerPrincipal) : "";
  }

  /** Follows no more; the client is closed already. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isEnded = true;
    clearTimeout(this.#timer);
    await this.#running;
  }

  async #follow(): Promise<void> {
    try {
      for await (const event of this.client.events()) {
        if (event.source !== SOURCE.FRAME) this.#onEvent(event);
      }
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      if (!this.#isEnded) this.setAway(error.message);
    }
  }

  #onEvent(event: ClientEvent): void {
    const { kind, endpoint } = event;
    if (kind === KIND.RECONNECTED) {
      this.#away = "";
      this.#runs.clear();
      for (const each of this.#listeners) each.onDaemon("");
    }
    const vm = event.as("VM_LIFECYCLE");
    if (vm !== undefined) this.#runs.set(endpoint, runOf(event));
    const roster = event.as("ROSTER");
    const name = roster?.name ?? this.client.roster.nameOf(endpoint);
    if (roster !== undefined || vm !== undefined || kind === KIND.AUDIT || kind === KIND.RECONNECTED) {
      if (kind === KIND.RECONNECTED) {
        for (const entry of this.client.roster.list()) this.#stale.add(entry.endpoint);
      } else this.#stale.add(endpoint);
      this.#later();
    }
    const isBad = kind === KIND.ERROR || kind === KIND.SEAM_DOWN || kind === KIND.OVERRUN;
    this.#addLine({
      kind: event.kindName,
      vm: name === "-" ? "" : name,
      what: eventWords(event),
      tone: isBad ? "bad" : event.prio === PRIO.URGENT ? "warn" : "plain",
    });
  }

  #addLine({ kind, vm, what, tone }: Pick<TimeLine, "kind" | "vm" | "what" | "tone">): void {
    const short = what.length > MOST_WORDS ? `${what.slice(0, MOST_WORDS)}…` : what;
    const line = { n: ++this.#count, ms: Date.now(), kind, vm: printable(vm), what: oneLine(short), tone };
    this.#lines.push(line);
    if (this.#lines.length > MOST_LINES) this.#lines.shift();
    for (const each of this.#listeners) each.onLine(line);
  }

  #later(): void {
    if (this.#isEnded) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.#refresh();
    }, GATHER_MS);
  }

  /** Asks anew who has what of the VMs that changed, and tells. */
  async #refresh(): Promise<void> {
    // Nobody looks: it is asked when somebody comes.
    if (this.#listeners.size === 0) return;
    const stale = [...this.#stale];
    this.#stale.clear();
    for (const endpoint of stale) {
      if (this.client.roster.get(endpoint)?.state !== "up") {
        this.#leases.delete(endpoint);
        this.#runs.delete(endpoint);
      } else {
        try {
          const owners: Record<string, string> = {};
          for (const name of LEASE_CLASS_NAMES as readonly LeaseClassName[]) {
            const owner = await this.ownerOf(endpoint, name);
            if (owner !== "") owners[name] = owner;
          }
          this.#leases.set(endpoint, owners);
          if (!this.#runs.has(endpoint)) {
            this.#runs.set(endpoint, (await this.client.vmState(endpoint)).state);
          }
        } catch (error) {
          // It went meanwhile, or this user may not know.
          if (!(error instanceof Fault)) throw error;
        }
      }
    }
    for (const each of this.#listeners) each.onVms(this.vms);
  }

  /** A user's name beside its number. */
  async #userOf(uid: number): Promise<string> {
    let name = this.#users.get(uid);
    if (name === undefined) {
      const text = await Deno.readTextFile("/etc/passwd").catch(() => "");
      const row = text.split("\n").map((line) => line.split(":")).find((fields) => fields[2] === String(uid));
      name = row?.[0] === undefined ? `uid ${uid}` : `${printable(row[0])} (uid ${uid})`;
      this.#users.set(uid, name);
    }
    return name;
  }
}

function runOf(event: ClientEvent): string {
  return eventWords(event).split(" ", 1)[0] ?? "";
}
