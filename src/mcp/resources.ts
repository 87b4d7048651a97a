/**
 * What a model's client can read and subscribe to: the roster, each VM's screen, what happens, and the audit.
 * The client is notified of a change at most once per second for each of them, and then reads anew.
 * @module
 */
import type { EndpointId } from "../base/ids.ts";
import { assert } from "../base/assert.ts";
import { Fault } from "../base/fault.ts";
import { printable } from "../base/printable.ts";
import { encodePng } from "../vgpu/png.ts";
import { base64Of } from "./base64.ts";
import type { Seat } from "./seat.ts";
import { faultText } from "./tool_fault.ts";

/** Subscriptions of one session. */
const MOST_SUBSCRIPTIONS = 16;
/** An update of one resource is told this often at most, ms. */
const UPDATE_MS = 1000;
const LOOK_MS = 20_000;
/** JSON-RPC's numbers: "invalid params", of a resource that is absent; a server's own; "internal error". */
const NOT_FOUND = -32602;
const REFUSED = -32000;
const FAILED = -32603;

const ROSTER = "vmsig://roster";
const EVENTS = "vmsig://events";
const AUDIT = "vmsig://audit";
const SCREEN = /^vmsig:\/\/screen\/([^/?#]{1,300})$/;

/** What a resource is, as clients list it. */
export interface ListedResource {
  /** Its address. */
  readonly uri: string;
  /** Its name. */
  readonly name: string;
  /** What it is. */
  readonly description: string;
  /** Its type. */
  readonly mimeType: string;
}

/** What was read. */
export type ResourceContent =
  | { readonly uri: string; readonly mimeType: string; readonly text: string }
  | { readonly uri: string; readonly mimeType: string; readonly blob: string };

/** The SDK's server below its tools, as far as it is needed. */
export interface ResourceHost {
  /** Takes a method over. */
  setRequestHandler(
    method: string,
    handle: (request: { readonly params?: { readonly uri?: string } }) => Promise<object>,
  ): void;
  /** Tells that one changed. */
  sendResourceUpdated(params: { readonly uri: string }): Promise<void>;
  /** Tells that others are there. */
  sendResourceListChanged(): Promise<void>;
}

/** The resources of one session. */
export class Resources {
  readonly #seat: Seat;
  readonly #host: ResourceHost;
  readonly #isModern: boolean;
  readonly #subscribed = new Map<string, Subscription>();
  readonly #unlisten: () => void;

  /**
   * Offers them.
   *
   * @param isModern whether the transport knows the subscriptions, and nobody tells them here: then what was
   *   read is watched, and the transport passes on what is wanted
   */
  constructor(host: ResourceHost, seat: Seat, isModern: boolean) {
    this.#seat = seat;
    this.#host = host;
    this.#isModern = isModern;
    host.setRequestHandler("resources/list", async () => ({ resources: await this.list() }));
    host.setRequestHandler("resources/templates/list", () => Promise.resolve({ resourceTemplates: [] }));
    host.setRequestHandler("resources/read", async ({ params }) => ({
      contents: [await this.read(params?.uri ?? "")],
    }));
    if (!isModern) {
      host.setRequestHandler("resources/subscribe", async ({ params }) => {
        await this.subscribe(params?.uri ?? "");
        return {};
      });
      host.setRequestHandler("resources/unsubscribe", ({ params }) => {
        this.#subscribed.get(params?.uri ?? "")?.end();
        this.#subscribed.delete(params?.uri ?? "");
        return Promise.resolve({});
      });
    }
    this.#unlisten = seat.events.onChange((change) => {
      this.#subscribed.get(`vmsig://${change}`)?.changed();
      if (change === "roster") void host.sendResourceListChanged().catch(() => undefined);
    });
  }

  /** Those that there are for this session. */
  async list(): Promise<ListedResource[]> {
    const seat = this.#seat;
    const all: ListedResource[] = [];
    const add = (uri: string, name: string, mimeType: string, description: string) =>
      all.push({ uri, name, mimeType, description });
    if (!seat.may("ROSTER")) return all;
    add(ROSTER, "roster", "application/json", "The VMs: name, state, what is up of each");
    add(EVENTS, "events", "application/json", "What happened lately, newest last");
    if (seat.may("AUDIT")) {
      add(AUDIT, "audit", "application/json", "Leases that changed hands, power operations, memory writes");
    }
    if (!seat.may("FRAME")) return all;
    for (const { name, seams } of await seat.roster()) {
      if (!seams.includes("frame")) continue;
      add(
        `vmsig://screen/${encodeURIComponent(name)}`,
        `screen of ${printable(name)}`,
        "image/png",
        "Its screen now",
      );
    }
    return all;
  }

  /** One of them, as it is now. */
  async read(uri: string): Promise<ResourceContent> {
    const refused = this.#seat.rate.begin();
    if (refused !== undefined) throw new ResourceError(`too-fast: ${refused.why}`);
    try {
      const content = await this.#read(uri);
      if (this.#isModern && this.#subscribed.size < MOST_SUBSCRIPTIONS) await this.subscribe(uri);
      return content;
    } catch (error) {
      throw resourceError(error);
    } finally {
      this.#seat.rate.end();
    }
  }

  /**
   * Tells of changes from now on.
   *
   * @throws {ResourceError} in words for a model: too many, or no such one
   */
  async subscribe(uri: string): Promise<void> {
    if (this.#subscribed.has(uri)) return;
    if (this.#subscribed.size >= MOST_SUBSCRIPTIONS) {
      throw new ResourceError(`too-many: Cannot subscribe to more than ${MOST_SUBSCRIPTIONS} resources`);
    }
    let screen: EndpointId | undefined;
    try {
      screen = await this.#check(uri);
    } catch (error) {
      throw resourceError(error);
    }
    const told = new Subscription(() => this.#host.sendResourceUpdated({ uri }));
    this.#subscribed.set(uri, told);
    if (screen !== undefined) void this.#watch(screen, uri, told);
  }

  /** Tells of nothing any more. */
  end(): void {
    this.#unlisten();
    for (const subscription of this.#subscribed.values()) subscription.end();
    this.#subscribed.clear();
  }

  /** @returns the VM of a screen */
  async #check(uri: string): Promise<EndpointId | undefined> {
    const seat = this.#seat;
    const may = (has: boolean) => {
      if (!has) throw new Fault("no-capability", `Cannot read ${printable(uri)}: the grant lacks it`);
    };
    if (uri === ROSTER || uri === EVENTS) may(seat.may("ROSTER"));
    else if (uri === AUDIT) may(seat.may("AUDIT"));
    else {
      const [, name] = SCREEN.exec(uri) ?? [];
      if (name === undefined) {
        throw new Fault("bad-argument", `Cannot read ${printable(uri)}: there is no such resource`);
      }
      may(seat.may("FRAME"));
      return await seat.endpoint(nameOf(name));
    }
    return undefined;
  }

  async #read(uri: string): Promise<ResourceContent> {
    const seat = this.#seat;
    const screen = await this.#check(uri);
    if (screen !== undefined) {
      const frame = await seat.client.frame(screen, { timeoutMs: LOOK_MS });
      return { uri, mimeType: "image/png", blob: base64Of(encodePng(frame.picture())) };
    }
    const what = uri === ROSTER
      ? (await seat.roster()).map((entry) => ({ ...entry, name: printable(entry.name) }))
      : uri === AUDIT
      ? seat.events.audit
      : seat.events.events;
    return { uri, mimeType: "application/json", text: JSON.stringify(what) };
  }

  async #watch(endpoint: EndpointId, uri: string, told: Subscription): Promise<void> {
    try {
      let isFirst = true;
      for await (const _ of this.#seat.client.frames(endpoint, { perSecond: 2, signal: told.signal })) {
        // The state at the start of the subscription is not a change.
        if (!isFirst) told.changed();
        isFirst = false;
      }
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
    }
    // The screen went: a client that subscribes again is told of the next one.
    if (this.#subscribed.get(uri) === told) this.#subscribed.delete(uri);
  }
}

/** One subscription: changes that come fast are told together. */
class Subscription {
  readonly #tell: () => Promise<void>;
  readonly #ending = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(tell: () => Promise<void>) {
    this.#tell = tell;
  }

  get signal(): AbortSignal {
    return this.#ending.signal;
  }

  changed(): void {
    if (this.signal.aborted) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      // A client that has gone is told nothing.
      void this.#tell().catch(() => undefined);
    }, UPDATE_MS);
  }

  end(): void {
    assert(!this.signal.aborted, "a subscription ends once");
    clearTimeout(this.#timer);
    this.#ending.abort();
  }
}

/** What a client is told by JSON-RPC when a resource cannot be had. */
class ResourceError extends Error {
  /** JSON-RPC's number. */
  readonly code: number;

  constructor(message: string, code: number = REFUSED, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

function resourceError(error: unknown): ResourceError {
  const isAbsent = error instanceof Fault && (error.code === "bad-argument" || error.code === "no-endpoint");
  const isRefused = error instanceof Fault && !isAbsent;
  return new ResourceError(faultText(error), isAbsent ? NOT_FOUND : isRefused ? REFUSED : FAILED, error);
}

function nameOf(encoded: string): string {
  try {
    return decodeURIComponent(encoded);
  } catch (error) {
    throw new Fault("bad-argument", "Cannot read that screen: its address is not valid", { cause: error });
  }
}
