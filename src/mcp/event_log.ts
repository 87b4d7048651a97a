/**
 * What happened on the bus while a session was open, as lines: the newest ones, of the VMs that the session
 * may see. It also keeps the session's connection going: a client stops when nobody reads its events.
 * @module
 */
import { Fault } from "../base/fault.ts";
import { oneLine, printable } from "../base/printable.ts";
import type { Client } from "../client/client.ts";
import type { ClientEvent } from "../client/client_event.ts";
import { eventWords } from "../client/event_words.ts";
import { KIND } from "../event/kind.ts";
import { SOURCE } from "../event/source.ts";

/** Lines of each list that are kept. */
export const MOST_LINES = 200;
const MOST_WORDS = 400;

/** A line. */
export interface LogLine {
  /** When, ISO 8601. */
  readonly at: string;
  /** The kind's name. */
  readonly kind: string;
  /** The VM; "" for none. */
  readonly vm: string;
  /** Escaped. */
  readonly what: string;
}

/** What changed. */
export type LogChange = "events" | "audit" | "roster";

/** The log of one session. */
export class EventLog implements AsyncDisposable {
  readonly #client: Client;
  readonly #names: readonly string[];
  readonly #events: LogLine[] = [];
  readonly #audit: LogLine[] = [];
  readonly #listeners = new Set<(change: LogChange) => void>();
  readonly #running: Promise<void>;

  /**
   * Begins with what the client has received.
   *
   * @param names the VMs that may be seen; empty = all
   */
  constructor(client: Client, names: readonly string[]) {
    this.#client = client;
    this.#names = names;
    this.#running = this.#follow();
  }

  /** The newest lines, oldest first. */
  get events(): readonly LogLine[] {
    return this.#events;
  }

  /** Those of the audit: leases that changed hands, power, memory writes. */
  get audit(): readonly LogLine[] {
    return this.#audit;
  }

  /** Tells somebody of changes until the answer is called. */
  onChange(listener: (change: LogChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Ends with its client, which is closed already. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#listeners.clear();
    await this.#running;
  }

  async #follow(): Promise<void> {
    try {
      for await (const event of this.#client.events()) {
        if (event.source !== SOURCE.FRAME) this.#onEvent(event);
      }
    } catch (error) {
      // The connection has ended: what is asked of it says so.
      if (!(error instanceof Fault)) throw error;
    }
  }

  #onEvent(event: ClientEvent): void {
    const { kind } = event;
    const roster = event.as("ROSTER");
    const name = roster?.name ?? this.#client.roster.nameOf(event.endpoint);
    const vm = name === "-" ? "" : name;
    if (this.#names.length > 0 && !this.#names.includes(vm)) return;
    const words = eventWords(event);
    const line: LogLine = {
      at: new Date().toISOString(),
      kind: event.kindName,
      vm: printable(vm),
      what: oneLine(words.length > MOST_WORDS ? `${words.slice(0, MOST_WORDS)}…` : words),
    };
    const isAudit = kind === KIND.AUDIT;
    for (const list of isAudit ? [this.#audit, this.#events] : [this.#events]) {
      list.push(line);
      if (list.length > MOST_LINES) list.shift();
    }
    for (const listener of this.#listeners) {
      listener("events");
      if (isAudit) listener("audit");
      if (roster !== undefined) listener("roster");
    }
  }
}
