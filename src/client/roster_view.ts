/**
 * The endpoints according to the retained ROSTER events: one entry per endpoint.
 * @module
 */
import type { RecordedEndpoint } from "../event/recording.ts";
import { Fault } from "../base/fault.ts";
import { suggestion } from "../base/closest_name.ts";
import { printable } from "../base/printable.ts";
import { type EndpointId, NO_ENDPOINT } from "../base/ids.ts";
import { ROSTER_STATE, ROSTER_STATE_NAMES } from "../event/body_number.ts";
import { SOURCE, type Source, SOURCE_MAX, sourceName } from "../event/source.ts";
import type { ClientEvent } from "./client_event.ts";

/** One endpoint of the roster; recordings contain the same. */
export type RosterEntry = RecordedEndpoint;

/** An endpoint by its name or its number. */
export type EndpointRef = string | number;

/** The roster as far as it has arrived. */
export class RosterView {
  readonly #entries = new Map<EndpointId, RosterEntry>();

  /** All entries, by number. */
  list(): RosterEntry[] {
    return [...this.#entries.values()].sort((a, b) => a.endpoint - b.endpoint);
  }

  /** The entry of an endpoint by number. */
  get(endpoint: EndpointId): RosterEntry | undefined {
    return this.#entries.get(endpoint);
  }

  /** The name of an endpoint: its name, its number as text if it is not in the roster, "-" for none. */
  nameOf(endpoint: EndpointId): string {
    if (endpoint === NO_ENDPOINT) return "-";
    const name = this.#entries.get(endpoint)?.name;
    return name === undefined || name === "" ? String(endpoint) : name;
  }

  /** Finds an endpoint; undefined if it is not in the roster. A name takes precedence over a number. */
  find(ref: EndpointRef): EndpointId | undefined {
    if (typeof ref === "string") {
      for (const entry of this.#entries.values()) if (entry.name === ref) return entry.endpoint;
      if (!/^[0-9]+$/.test(ref)) return undefined;
    }
    const number = Number(ref) as EndpointId;
    return this.#entries.has(number) ? number : undefined;
  }

  /** Processes a ROSTER event. */
  update(event: ClientEvent): void {
    const body = event.as("ROSTER");
    if (body === undefined) return;
    if (body.state === ROSTER_STATE.GONE) {
      this.#entries.delete(event.endpoint);
      return;
    }
    this.#entries.set(event.endpoint, {
      endpoint: event.endpoint,
      name: body.name,
      state: ROSTER_STATE_NAMES[body.state] ?? `state-${body.state}`,
      seams: seamNames(body.seams),
      pid: body.pid,
      vmid: body.vmid,
    });
  }

  /** Adds an entry from another source, with a name of any length. */
  put(entry: RosterEntry): void {
    if (entry.state === "gone") this.#entries.delete(entry.endpoint);
    else this.#entries.set(entry.endpoint, entry);
  }

  /** Drops all entries: a new daemon sends its own. */
  clear(): void {
    this.#entries.clear();
  }

  /** The fault for an endpoint that does not exist, naming those that do. */
  unknown(ref: EndpointRef): Fault {
    return new Fault("no-endpoint", `Cannot find endpoint ${ref}: ${this.#whoIsThere()}${this.#meant(ref)}`);
  }

  /** The message that an endpoint does not exist yet, naming those that do. */
  absent(ref: EndpointRef): string {
    return `there was no endpoint ${printable(String(ref))}; ${this.#whoIsThere()}`;
  }

  /** A name that was meant: mistyped, or a VM of another user's by the name that its manager has for it. */
  #meant(ref: EndpointRef): string {
    const typed = `${ref}`;
    if (/^[0-9]+$/.test(typed)) return "";
    const names = this.list().map(({ name }) => name);
    const whole = names.filter((name) => name.replace(/@[0-9]+$/, "") === typed);
    if (whole.length > 1) return "";
    return whole.length === 1 ? ` (did you mean ${whole[0]}?)` : suggestion(typed, names);
  }

  #whoIsThere(): string {
    const known = this.list().map(({ endpoint, name }) => `${endpoint} ${name}`.trim());
    return known.length === 0
      ? "the daemon has no endpoints (or your grant shows none); vmsig probe says what could be attached"
      : `there are: ${known.join(", ")}`;
  }
}

function seamNames(mask: number): string[] {
  const names: string[] = [];
  for (let source: Source = SOURCE.FRAME; source < SOURCE_MAX; source++) {
    if ((mask >>> source) & 1) names.push(sourceName(source).toLowerCase());
  }
  return names;
}
