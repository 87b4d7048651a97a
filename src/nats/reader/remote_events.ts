/**
 * The events of all hosts that a reader wants: it repeats its wanted sources, hosts confirm when the events
 * flow, and the events' numbers show what was lost on the way.
 * @module
 */
import { PRIO } from "../../event/priority.ts";
import { SOURCE, sourceNamesOf } from "../../event/source.ts";
import { FRAME } from "../../protocol/frame.ts";
import type { HostEntry } from "../wire/host_entry.ts";
import { overrunFrame } from "../wire/made_frames.ts";
import type { NatsLink } from "../wire/nats_link.ts";
import {
  AUDIT_SOURCE,
  eventsOf,
  nameOfToken,
  NOWHERE,
  OVERRUNS,
  readerInbox,
  token,
  wantSubject,
} from "../wire/subjects.ts";
import { WANT_AGAIN_MS, WANT_TTL_MS, writeWant } from "../wire/want.ts";
import { EventGaps } from "./event_gaps.ts";

/** Stands in place of a session id in hosts' answers to a want. */
export const WANT_WORD = "want";

/** Number of subjects whose names are cached; others are parsed each time. */
const MOST_ORIGINS = 16_384;

/** The host and endpoint of a subject. */
interface Origin {
  readonly host: string;
  /** The endpoint's name; undefined for none. */
  readonly name: string | undefined;
}

/** The options of the events. */
export interface RemoteEventsParts {
  /** The server. */
  readonly link: NatsLink;
  /** This program's id. */
  readonly reader: string;
  /** An event arrived; its contents are not checked. @param name the endpoint's; undefined for none */
  readonly onEvent: (host: string, data: Uint8Array, name: string | undefined) => void;
  /** Events were lost. */
  readonly onOverrun: (frame: Uint8Array<ArrayBuffer>) => void;
  /** A message could not be parsed, or was a duplicate. */
  readonly onUnknown: () => void;
}

/** Receives the wanted events. */
export class RemoteEvents implements Disposable {
  readonly #parts: RemoteEventsParts;
  readonly #answered = new Set<string>();
  readonly #gaps = new EventGaps();
  readonly #origins = new Map<string, Origin>();
  /** Which run of `join` each host is, whose events are numbered. */
  readonly #runs = new Map<string, string>();
  #sources = 0;
  #wanting: ReturnType<typeof setInterval> | undefined;

  /** Starts without a want. */
  constructor(parts: RemoteEventsParts) {
    this.#parts = parts;
  }

  /** Whether all wanted events of these hosts flow. */
  flowFrom(hosts: readonly HostEntry[]): boolean {
    return this.#sources === 0 || hosts.every(({ host, isUp }) => !isUp || this.#answered.has(host));
  }

  /** From now on events of these sources are wanted, bit 1 << source. */
  want(sources: number): void {
    const more = sources & ~this.#sources;
    if (more === 0) return;
    const { link } = this.#parts;
    const names: string[] = sourceNamesOf(more);
    if (((more >>> SOURCE.CORE) & 1) === 1) names.push(AUDIT_SOURCE);
    for (const name of names) {
      link.on(eventsOf(name), ({ subject, data }) => this.#onEvent(subject, data));
    }
    // Reports of lost events are always wanted.
    if (this.#sources === 0 && (sources & 1 << SOURCE.CORE) === 0) {
      link.on(OVERRUNS, ({ subject, data }) => this.#onEvent(subject, data));
    }
    this.#sources |= sources;
    this.#sayWant();
    this.#wanting ??= setInterval(() => this.#sayWant(), WANT_AGAIN_MS);
  }

  /** There is a host, or its entry has changed. */
  onHost({ host, run, isNumbered }: HostEntry): void {
    if (isNumbered === true && this.#runs.get(host) !== run) {
      this.#runs.set(host, run);
      this.#gaps.forget(host);
    }
    if (this.#sources !== 0 && !this.#answered.has(host)) this.#sayWant(host);
  }

  /** A host is gone. */
  onHostGone(host: string): void {
    this.#answered.delete(host);
    this.#runs.delete(host);
    this.#gaps.forget(host);
  }

  /** A host confirms that its events flow. */
  onAnswer(host: string): void {
    this.#answered.add(host);
  }

  /** The server is back. */
  onServer(): void {
    this.#answered.clear();
    if (this.#sources !== 0) this.#sayWant();
  }

  /** Wants nothing any more. */
  [Symbol.dispose](): void {
    clearInterval(this.#wanting);
    if (this.#sources === 0) return;
    const { link, reader } = this.#parts;
    link.publish(wantSubject(link.user), writeWant({ reader, sources: 0, ttlMs: 0 }));
  }

  #onEvent(subject: string, data: Uint8Array): void {
    const { onEvent, onOverrun, onUnknown } = this.#parts;
    const origin = this.#originOf(subject);
    if (origin === undefined) return onUnknown();
    const { host, name } = origin;
    if (data.length >= FRAME.body && this.#runs.has(host)) {
      const number = new DataView(data.buffer, data.byteOffset).getUint32(FRAME.seq, true);
      const lost = this.#gaps.take(host, subject, number);
      if (lost < 0) return onUnknown();
      if (lost > 0) onOverrun(overrunFrame(lost, PRIO.URGENT));
    }
    onEvent(host, data, name);
  }

  /**
   * Names are checked and decoded once per subject, because that takes 10 us: most of the cost of an event.
   */
  #originOf(subject: string): Origin | undefined {
    const known = this.#origins.get(subject);
    if (known !== undefined) return known;
    const [, hostToken = "", endpointToken = ""] = subject.split(".");
    const host = nameOfToken(hostToken);
    const name = endpointToken === NOWHERE ? undefined : nameOfToken(endpointToken);
    if (host === undefined || (name === undefined && endpointToken !== NOWHERE)) return undefined;
    if (this.#origins.size >= MOST_ORIGINS) this.#origins.clear();
    const origin = { host, name };
    this.#origins.set(subject, origin);
    return origin;
  }

  #sayWant(host?: string): void {
    const { link, reader } = this.#parts;
    const want = writeWant({ reader, sources: this.#sources, ttlMs: WANT_TTL_MS });
    // Each host answers with its own name as the last token.
    link.publish(wantSubject(link.user, host), want, `${readerInbox(token(link.user), reader)}.${WANT_WORD}`);
  }
}
