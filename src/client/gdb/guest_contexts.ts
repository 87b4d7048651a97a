/**
 * The memory of one VM's guest during a GDB server's life: opened when the daemon announces a context, closed
 * when its epoch ends, and opened again after a reset.
 * @module
 */
import { Fault } from "../../base/fault.ts";
import type { EndpointId } from "../../base/ids.ts";
import type { Client } from "../client.ts";
import type { ClientEvent } from "../client_event.ts";
import { CONTEXT_WAIT_MS, LOOK_MS, noContext, pointless, requireMemory } from "../context_wait.ts";
import type { EventStream } from "../event_stream.ts";
import { GuestView } from "../guest_view.ts";
import { pause } from "../pause.ts";
import type { GuestOs } from "../../guest/guest_os.ts";
import { VM_STATE_NUMBER } from "../../event/body_number.ts";

/** MEMCTX_INVALIDATED.reason. */
const ENDPOINT_GONE = 1;

/** Events of the VM for a server. */
export interface GuestNews {
  /** The VM has stopped. */
  onStop(): void;
  /** The VM has ended. */
  onEnd(): void;
  /** A message: its memory context has ended, or there is a new one. */
  onNote(text: string): void;
}

/** The contexts of one VM. */
export class GuestContexts implements AsyncDisposable {
  /** The client. */
  readonly client: Client;
  /** The VM. */
  readonly endpoint: EndpointId;
  /** Its name. */
  readonly name: string;
  readonly #stream: EventStream;
  readonly #reading: Promise<void>;
  #view: GuestView | undefined;
  #fault: Fault | undefined;
  #news: GuestNews | undefined;

  private constructor(client: Client, endpoint: EndpointId) {
    this.client = client;
    this.endpoint = endpoint;
    this.name = client.roster.nameOf(endpoint);
    this.#stream = client.events({
      kinds: ["MEMCTX", "MEMCTX_INVALIDATED", "VM_LIFECYCLE"],
      endpoints: [endpoint],
    });
    this.#reading = this.#read();
  }

  /**
   * Opens the memory of a VM. No earlier stream of the client may have taken the context.
   *
   * @throws {Fault} `no-endpoint`; `no-capability`; `seam-down`, `not-supported` when there is no known
   *   system
   */
  static async open(client: Client, ref: string, signal: AbortSignal): Promise<GuestContexts> {
    const endpoint = await client.endpoint(ref);
    requireMemory(client, endpoint);
    const contexts = new GuestContexts(client, endpoint);
    const beganMs = performance.now();
    try {
      while (contexts.#view === undefined) {
        const waitedMs = performance.now() - beganMs;
        const fault = contexts.#fault ?? client.fault ?? pointless(client, endpoint, waitedMs);
        if (fault !== undefined) throw fault;
        if (waitedMs > CONTEXT_WAIT_MS) throw noContext(client, endpoint);
        if (signal.aborted) throw new Fault("interrupted", "Cannot await the context: interrupted");
        await pause(LOOK_MS, signal);
      }
      contexts.view();
      return contexts;
    } catch (error) {
      await contexts[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Receives events from now on. */
  tell(news: GuestNews): void {
    this.#news = news;
  }

  /**
   * The current guest.
   *
   * @throws {Fault} `seam-down` when there is none at the moment; `not-supported`
   */
  view(): { readonly view: GuestView; readonly os: GuestOs } {
    const view = this.#view;
    if (view === undefined) {
      throw this.#fault ??
        new Fault("seam-down", `Cannot examine ${this.name}: its guest is restarting; wait`);
    }
    const { guest } = view;
    if (!guest.found) {
      throw new Fault(
        "not-supported",
        `Cannot examine ${this.name}: no guest system was found in it: ${guest.detail}`,
      );
    }
    return { view, os: guest.os };
  }

  /** Closes the memory. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stream.end();
    await this.#reading;
    await this.#close();
  }

  async #read(): Promise<void> {
    try {
      for await (const event of this.#stream) await this.#take(event);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      // The daemon was lost: the code that waits for the client's end reports it.
      this.#fault = error;
      await this.#close();
    }
  }

  async #take(event: ClientEvent): Promise<void> {
    if (event.kindName === "MEMCTX") return await this.#open(event);
    const invalidated = event.as("MEMCTX_INVALIDATED");
    if (invalidated !== undefined) {
      await this.#close();
      if (invalidated.reason === ENDPOINT_GONE) return this.#news?.onEnd();
      this.#news?.onNote(
        "another system has the guest's memory now: it is opened again when that system runs",
      );
      return;
    }
    const state = event.as("VM_LIFECYCLE")?.state;
    if (state === VM_STATE_NUMBER.PAUSED || state === VM_STATE_NUMBER.CRASHED) this.#news?.onStop();
    if (state === VM_STATE_NUMBER.SHUTDOWN) this.#news?.onEnd();
  }

  async #open(event: ClientEvent): Promise<void> {
    await this.#close();
    this.#fault = undefined;
    try {
      this.#view = GuestView.of(this.client, event);
      this.#news?.onNote(`the guest's memory is there, epoch ${this.#view.epoch}`);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      this.#fault = error;
    }
  }

  async #close(): Promise<void> {
    const view = this.#view;
    this.#view = undefined;
    await view?.[Symbol.asyncDispose]();
  }
}
