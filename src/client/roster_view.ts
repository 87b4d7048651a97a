/**
 * Which endpoints there are, as the retained ROSTER events tell: one entry per endpoint.
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

/** One endpoint, as the roster says; a recording keeps the same of it. */
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

  /** The entry of an endpoint's number. */
  get(endpoint: EndpointId): RosterEntry | undefined {
    return this.#entries.get(endpoint);
  }

  /** What an endpoint is called: its name, its number as text while it is not in the roster, "-" for none. */
  nameOf(endpoint: EndpointId): string {
    if (endpoint === NO_ENDPOINT) return "-";
    const name = this.#entries.get(endpoint)?.name;
    return name === undefined || name === "" ? String(endpoint) : name;
  }

  /** Finds an endpoint; undefined when it is not in the roster. A name goes before a number. */
  find(ref: EndpointRef): EndpointId | undefined {
    if (typeof ref === "string") {
      for (const entry of this.#entries.values()) if (entry.name === ref) return entry.endpoint;
      if (!/^[0-9]+$/.test(ref)) return undefined;
    }
    const number = Number(ref) as EndpointId;
    return this.#entries.has(number) ? number : undefined;
  }

  /** Takes a ROSTER event in. */
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

  /** Takes an entry in as another way told it: with a name of any length. */
  put(entry: RosterEntry): void {
    if (entry.state === "gone") this.#entries.delete(entry.endpoint);
    else this.#entries.set(entry.endpoint, entry);
  }

  /** Forgets all entries: another daemon tells its own. */
  clear(): void {
    this.#entries.clear();
  }

  /** The fault for an endpoint that is not there, naming those that are. */
  unknown(ref: EndpointRef): Fault {
    return new Fault("no-endpoint", `Cannot find endpoint ${ref}: ${this.#whoIsThere()}${this.#meant(ref)}`);
  }

  /** That an endpoint is not there yet, naming those that are. */
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
