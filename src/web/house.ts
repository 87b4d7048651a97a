/**
 * The contents of the page's overview: the VMs, which control owns or waits for which lease, and the latest
 * events, as delivered to one person's connection.
 * @module
 */
import type { EndpointId } from "../base/ids.ts";
import { Fault } from "../base/fault.ts";
import { oneLine, printable } from "../base/printable.ts";
import { LEASE_CLASS_NAMES } from "../event/body_number.ts";
import { KIND } from "../event/kind.ts";
import { PRIO } from "../event/priority.ts";
import { SOURCE } from "../event/source.ts";
import type { Client } from "../client/client.ts";
import type { ClientEvent } from "../client/client_event.ts";
import { EventRate } from "./event_rate.ts";
import { eventWords } from "../client/event_words.ts";
import { Gathering } from "../client/gathering.ts";
import type { LeaseClassName } from "../client/lease.ts";
import type { LeaseHolder } from "../client/lease_holder.ts";
import { type LeaseParties, leasePartiesOf, type LeaseParty } from "../client/lease_parties.ts";

/** Lines of the timeline that are kept for pages opened later. */
export const MOST_LINES = 500;
const MOST_WORDS = 400;
/** Changes within this time are reported together, ms. */
const GATHER_MS = 100;

/** A VM on the page. */
export interface VmCard {
  /** Its name. */
  readonly name: string;
  /** Its roster state: "up", … */
  readonly state: string;
  /** The VM's state: "running", …; "" while unknown. */
  readonly run: string;
  /** Its seams that are up. */
  readonly seams: readonly string[];
  /** Owners and waiting controls by lease class. */
  readonly leases: Readonly<Record<string, LeaseCard>>;
}

/** A lease class of a VM on the page; one that nobody owns or waits for is omitted. */
export interface LeaseCard {
  /** The owner; "" for nobody. */
  readonly who: string;
  /** The owner's reason; "" if none was given. */
  readonly why: string;
  /** The waiting controls with their reasons, the next one first. */
  readonly waiting: readonly { readonly who: string; readonly why: string }[];
}

/** A line of the timeline. */
export interface TimeLine {
  /** Incremented with each line. */
  readonly n: number;
  /** When, ms since 1970. */
  readonly ms: number;
  /** The kind's name. */
  readonly kind: string;
  /** The VM; "" for none. */
  readonly vm: string;
  /** The text, escaped. */
  readonly what: string;
  /** The page's style for it. */
  readonly tone: "plain" | "warn" | "bad";
}

/** The listener of a house. */
export interface HouseListener {
  /** The VMs changed. */
  onVms(vms: readonly VmCard[]): void;
  /** A line was added. */
  onLine(line: TimeLine): void;
  /** The daemon is available again (""), or was lost (why). */
  onDaemon(why: string): void;
}

/** The overview of one person. */
export class House implements AsyncDisposable {
  /** Its client. */
  readonly client: Client;
  readonly #listeners = new Set<HouseListener>();
  readonly #lines: TimeLine[] = [];
  readonly #runs = new Map<number, string>();
  readonly #leases = new Map<number, Record<string, LeaseCard>>();
  readonly #rate = new EventRate();
  readonly #users = new Map<number, string>();
  readonly #stale = new Set<EndpointId>();
  readonly #running: Promise<void>;
  readonly #onEnded: (fault: Fault) => void;
  #count = 0;
  #away = "";
  readonly #changes = new Gathering(GATHER_MS, () => this.#refresh());
  #isEnded = false;

  /**
   * Uses a client that reconnects and receives CORE, VMHOST and INPUT, which its owner closes.
   *
   * @param onEnded called when the daemon no longer admits it
   */
  constructor(client: Client, onEnded: (fault: Fault) => void) {
    this.client = client;
    this.#onEnded = onEnded;
    this.#running = this.#follow();
  }

  /** The known VMs. */
  get vms(): VmCard[] {
    return this.client.roster.list().map(({ endpoint, name, state, seams }) => ({
      name: name === "" ? String(endpoint) : printable(name),
      state,
      seams,
      run: this.#runs.get(endpoint) ?? "",
      leases: this.#leases.get(endpoint) ?? {},
    }));
  }

  /** The latest lines. */
  get lines(): readonly TimeLine[] {
    return this.#lines;
  }

  /** Why the daemon is not available; "" while it is. */
  get away(): string {
    return this.#away;
  }

  /** The daemon was lost. */
  setAway(why: string): void {
    this.#away = why;
    this.#leases.clear();
    for (const each of this.#listeners) each.onDaemon(why);
  }

  /** Adds a listener. */
  add(listener: HouseListener): void {
    this.#listeners.add(listener);
    for (const { endpoint } of this.client.roster.list()) this.#stale.add(endpoint);
    this.#changes.later();
  }

  /** Removes a listener. */
  remove(listener: HouseListener): void {
    this.#listeners.delete(listener);
  }

  /** Adds a line about what somebody did here. */
  tell(vm: string, what: string): void {
    this.#addLine({ kind: "WEB", vm, what, tone: "plain" });
  }

  /** A control, in words for a person. */
  async whoIs({ principal, as, control }: LeaseHolder, name = ""): Promise<string> {
    const label = name === "" ? `control ${control}` : printable(name);
    if (as.startsWith("token:")) return printable(as.slice("token:".length));
    return `${as === "" ? await this.#userOf(principal) : printable(as)}, ${label}`;
  }

  /** The bus's statistics, as seen by this connection. */
  async metrics(): Promise<object> {
    const fromMs = performance.now();
    await this.client.barrier();
    const roundTripMs = performance.now() - fromMs;
    return { roundTripMs, ...this.#rate.told(), vms: this.client.roster.list().length };
  }

  /** Stops following; the client has been closed already. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isEnded = true;
    this.#changes[Symbol.dispose]();
    await this.#running;
  }

  async #follow(): Promise<void> {
    try {
      for await (const event of this.client.events()) {
        if (event.source !== SOURCE.FRAME) this.#onEvent(event);
        else this.#rate.note(event.sourceName, 0);
      }
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      if (this.#isEnded) return;
      this.setAway(error.message);
      this.#onEnded(error);
    }
  }

  #onEvent(event: ClientEvent): void {
    const { kind, endpoint } = event;
    this.#rate.note(event.sourceName, event.as("OVERRUN")?.lost ?? 0);
    if (kind === KIND.RECONNECTED) {
      this.#away = "";
      this.#runs.clear();
      for (const each of this.#listeners) each.onDaemon("");
    }
    const vm = event.as("VM_LIFECYCLE");
    if (vm !== undefined) {
      const run = runOf(event);
      // A reset and a power-down request are momentary: the VM's state afterwards is queried.
      if (run === "reset" || run === "powerdown") this.#runs.delete(endpoint);
      else this.#runs.set(endpoint, run);
    }
    const roster = event.as("ROSTER");
    const name = roster?.name ?? this.client.roster.nameOf(endpoint);
    if (kind === KIND.LEASE_WHO) void this.#onLease(event);
    if (roster !== undefined || vm !== undefined || kind === KIND.RECONNECTED) {
      if (kind === KIND.RECONNECTED) {
        for (const entry of this.client.roster.list()) this.#stale.add(entry.endpoint);
      } else this.#stale.add(endpoint);
      this.#changes.later();
    }
    const isBad = kind === KIND.ERROR || kind === KIND.SEAM_DOWN || kind === KIND.OVERRUN;
    this.#addLine({
      kind: event.kindName,
      vm: name === "-" ? "" : name,
      what: eventWords(event),
      tone: isBad ? "bad" : event.prio === PRIO.URGENT ? "warn" : "plain",
    });
  }

  /** The owner or the queue of a lease has changed. */
  async #onLease(event: ClientEvent): Promise<void> {
    try {
      const parties = leasePartiesOf(event);
      if (parties === undefined) return;
      await this.#setLease(event.endpoint, parties);
      this.#changes.later();
    } catch (error) {
      // An invalid event is ignored.
      if (!(error instanceof Fault)) throw error;
    }
  }

  async #setLease(endpoint: EndpointId, { className, owner, waiting }: LeaseParties): Promise<void> {
    const said = async (party: LeaseParty) => ({
      who: await this.whoIs(party, party.name),
      why: oneLine(printable(party.message)),
    });
    const has = owner === undefined ? { who: "", why: "" } : await said(owner);
    const card = { ...has, waiting: await Promise.all(waiting.map(said)) };
    const { [className]: _, ...others } = this.#leases.get(endpoint) ?? {};
    const isFree = owner === undefined && waiting.length === 0;
    this.#leases.set(endpoint, isFree ? others : { ...others, [className]: card });
  }

  #addLine({ kind, vm, what, tone }: Pick<TimeLine, "kind" | "vm" | "what" | "tone">): void {
    const short = what.length > MOST_WORDS ? `${what.slice(0, MOST_WORDS)}…` : what;
    const line = { n: ++this.#count, ms: Date.now(), kind, vm: printable(vm), what: oneLine(short), tone };
    this.#lines.push(line);
    if (this.#lines.length > MOST_LINES) this.#lines.shift();
    for (const each of this.#listeners) each.onLine(line);
  }

  /** Queries the leases of the VMs that changed, and reports them. */
  async #refresh(): Promise<void> {
    // Nobody is looking: they are queried when somebody comes.
    if (this.#listeners.size === 0) return;
    const stale = [...this.#stale];
    this.#stale.clear();
    for (const endpoint of stale) {
      if (this.client.roster.get(endpoint)?.state !== "up") {
        this.#leases.delete(endpoint);
        this.#runs.delete(endpoint);
      } else {
        try {
          for (const name of LEASE_CLASS_NAMES as readonly LeaseClassName[]) {
            await this.#setLease(endpoint, await this.client.leaseParties(endpoint, name));
          }
          if (!this.#runs.has(endpoint)) {
            this.#runs.set(endpoint, (await this.client.vmState(endpoint)).state);
          }
        } catch (error) {
          // The VM is gone meanwhile, or this user may not know.
          if (!(error instanceof Fault)) throw error;
        }
      }
    }
    for (const each of this.#listeners) each.onVms(this.vms);
  }

  /** A user's name and number. */
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
