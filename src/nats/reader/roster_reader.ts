/**
 * The hosts according to the roster's bucket: a host is alive while its entry is rewritten.
 *
 * The age of an entry is measured by this program's clock alone, from its arrival; an entry that exists at
 * the start is at most as old as the bucket keeps it. While the server is away no host is counted as dead,
 * because we would not hear from it.
 * @module
 */
import { Kvm, type KvWatchEntry } from "@nats-io/kv";
import { assert } from "../../base/assert.ts";
import { Fault, messageOf } from "../../base/fault.ts";
import { oneLine } from "../../base/printable.ts";
import { DEAD_MS, type HostEntry, readHostEntry } from "../wire/host_entry.ts";
import type { NatsLink } from "../wire/nats_link.ts";
import { nameOfToken, ROSTER_BUCKET } from "../wire/subjects.ts";

/** Interval at which dead hosts are looked for, ms. */
const LOOK_MS = 1000;
/**
 * Entries that were counted may expire before they arrive: after this time without one, the roster counts as
 * complete, ms.
 */
const QUIET_MS = 1000;
const RETRY_MS = 1000;

/** The listener of hosts. */
export interface RosterListener {
  /** There is a host, or its entry has changed. */
  onHost(entry: HostEntry): void;
  /** A host is gone, or has not been heard from for too long. */
  onHostGone(host: string): void;
}

interface Known {
  readonly entry: HostEntry;
  seenMs: number;
}

/** The known hosts. */
export class RosterReader implements AsyncDisposable {
  readonly #link: NatsLink;
  readonly #listener: RosterListener;
  readonly #hosts = new Map<string, Known>();
  readonly #whole = Promise.withResolvers<void>();
  #watch: { stop(): void } | undefined;
  #watches = 0;
  #looking: ReturnType<typeof setInterval> | undefined;
  #quiet: ReturnType<typeof setTimeout> | undefined;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #notUnderstood = 0;
  #isEnded = false;

  private constructor(link: NatsLink, listener: RosterListener) {
    this.#link = link;
    this.#listener = listener;
  }

  /**
   * Begins to read.
   *
   * @throws {Fault} `missing` when the server has no roster; `refused` when these credentials may not read it
   */
  static async open(link: NatsLink, listener: RosterListener): Promise<RosterReader> {
    const reader = new RosterReader(link, listener);
    await reader.#begin();
    link.listen({ onUp: () => reader.#again() });
    reader.#looking = setInterval(() => reader.#look(), LOOK_MS);
    return reader;
  }

  /** The hosts that are alive. */
  get hosts(): HostEntry[] {
    return [...this.#hosts.values()].map(({ entry }) => entry)
      .sort((a, b) => a.host < b.host ? -1 : a.host > b.host ? 1 : 0);
  }

  /** A host; undefined if it is not alive. */
  host(name: string): HostEntry | undefined {
    return this.#hosts.get(name)?.entry;
  }

  /** Number of entries that were not valid. */
  get notUnderstood(): number {
    return this.#notUnderstood;
  }

  /** Resolves when the entries that existed at the start have arrived. */
  whole(): Promise<void> {
    return this.#whole.promise;
  }

  /** Stops reading. The link belongs to its owner. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#isEnded = true;
    this.#watches++;
    clearInterval(this.#looking);
    clearTimeout(this.#quiet);
    clearTimeout(this.#retry);
    this.#watch?.stop();
    this.#whole.resolve();
    return Promise.resolve();
  }

  async #begin(): Promise<void> {
    assert(!this.#isEnded, "a reader that has ended begins nothing");
    const which = ++this.#watches;
    this.#watch?.stop();
    try {
      const kv = await new Kvm(this.#link.nc).open(ROSTER_BUCKET, { allow_direct: false });
      const { values } = await kv.status();
      const watch = await kv.watch();
      if (this.#watches !== which) return watch.stop();
      this.#watch = watch;
      if (values === 0) this.#whole.resolve();
      else this.#calm();
      void this.#follow(watch, which);
    } catch (error) {
      throw rosterFault(error);
    }
  }

  async #follow(watch: AsyncIterable<KvWatchEntry>, which: number): Promise<void> {
    for await (const entry of watch) {
      if (this.#watches !== which) return;
      this.#take(entry);
      if (entry.delta === 0 || entry.delta === undefined) this.#whole.resolve();
    }
    // The server ended the watch, for instance because the bucket was created again.
    if (this.#watches === which) this.#again();
  }

  /** The server was away: what is in the bucket now is read anew. */
  #again(): void {
    if (this.#isEnded) return;
    const now = performance.now();
    for (const known of this.#hosts.values()) known.seenMs = now;
    clearTimeout(this.#retry);
    this.#begin().catch((error) => {
      if (!(error instanceof Fault)) throw error;
      if (!this.#isEnded) this.#retry = setTimeout(() => this.#again(), RETRY_MS);
    });
  }

  #take(entry: KvWatchEntry): void {
    this.#calm();
    const name = nameOfToken(entry.key);
    if (entry.operation !== "PUT") {
      if (name !== undefined) this.#forget(name);
      return;
    }
    const host = readHostEntry(entry.value);
    // The server's permissions protect the key: an entry that names another host is ignored.
    if (host === undefined || host.host !== name) {
      this.#notUnderstood++;
      return;
    }
    const before = this.#hosts.get(host.host);
    this.#hosts.set(host.host, { entry: host, seenMs: performance.now() });
    if (before === undefined || !isSame(before.entry, host)) this.#listener.onHost(host);
  }

  #calm(): void {
    clearTimeout(this.#quiet);
    this.#quiet = setTimeout(() => this.#whole.resolve(), QUIET_MS);
  }

  #look(): void {
    if (!this.#link.isUp) return;
    const now = performance.now();
    for (const [name, { seenMs }] of this.#hosts) if (now - seenMs > DEAD_MS) this.#forget(name);
  }

  #forget(name: string): void {
    if (this.#hosts.delete(name)) this.#listener.onHostGone(name);
  }
}

function isSame(a: HostEntry, b: HostEntry): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** Why there is no roster, in words. */
export function rosterFault(error: unknown): Fault {
  if (error instanceof Fault) return error;
  const text = oneLine(messageOf(error)).slice(0, 300);
  if (/permission/i.test(text)) {
    return new Fault(
      "refused",
      `Cannot read the roster: the server's permissions do not allow it (${text}); config/nats/ lists the permissions that a reader needs`,
      { cause: error },
    );
  }
  if (/not found|no stream|jetstream|no responders|503/i.test(text)) {
    return new Fault(
      "missing",
      `Cannot read the roster: this server has none (${text}); run nats-server with JetStream, and once: vmsig join URL --create`,
      { cause: error },
    );
  }
  return new Fault("unreachable", `Cannot read the roster: ${text}`, { cause: error });
}
