/**
 * The processes of a trace: at each mark the guest's list is read from its memory, and kept when it has
 * changed. It has a connection of its own, since a memory context goes to one stream alone.
 * @module
 */
import { monotonicClock } from "../../../ffi/clock.ts";
import type { EndpointId } from "../../base/ids.ts";
import { assert } from "../../base/assert.ts";
import { Fault, messageOf } from "../../base/fault.ts";
import { oneLine } from "../../base/printable.ts";
import { eventOfMark } from "../../event/mark_event.ts";
import { type MarkedProcess, MOST_MARKED_PROCESSES } from "../../event/recorded_mark.ts";
import { encodeRecordedEvent } from "../../event/recording.ts";
import type { Client } from "../client.ts";
import { GuestView } from "../guest_view.ts";
import type { RecordingFile } from "./recording_file.ts";

/** Characters of a name. */
const MOST_NAME = 64;
/** A guest's list is read this often at most, ms. */
const LEAST_MS = 250;

/** Keeps lists until it is disposed of. */
export class ProcessRecorder implements AsyncDisposable {
  readonly #client: Client;
  readonly #file: RecordingFile;
  readonly #onLost: (text: string) => void;
  readonly #views = new Map<EndpointId, GuestView>();
  readonly #last = new Map<EndpointId, { list: string; begun: number; atMs: number }>();
  readonly #running: Promise<void>;
  readonly #looked = Promise.withResolvers<void>();
  /** Resolves once the first guest's memory was looked into, or cannot be. */
  readonly looked: Promise<void> = this.#looked.promise;

  /**
   * Begins.
   *
   * @param client its own, with the source MEMCTX; it is closed with the recorder
   */
  constructor(client: Client, file: RecordingFile, onLost: (text: string) => void) {
    this.#client = client;
    this.#file = file;
    this.#onLost = onLost;
    this.#running = this.#follow();
  }

  /** Reads the list now, and keeps it when it has changed. */
  mark(endpoint: EndpointId): void {
    const view = this.#views.get(endpoint);
    const last = this.#last.get(endpoint);
    const nowMs = performance.now();
    if (view?.guest.found !== true || (last !== undefined && nowMs - last.atMs < LEAST_MS)) return;
    let processes: MarkedProcess[];
    try {
      view.memory.renew();
      processes = view.guest.os.processes().items.slice(0, MOST_MARKED_PROCESSES).map((
        { pid, ppid, name },
      ) => ({
        pid,
        ppid,
        name: name.slice(0, MOST_NAME),
      }));
    } catch (error) {
      // Its memory went in the middle: the next context tells of another one.
      if (!(error instanceof Fault)) throw error;
      return;
    }
    const list = JSON.stringify(processes);
    const { begun } = this.#file;
    this.#last.set(endpoint, { list, begun, atMs: nowMs });
    if (last?.list === list && last.begun === begun) return;
    const tsNs = Math.round(monotonicClock.nowNs());
    this.#file.append(encodeRecordedEvent(eventOfMark(endpoint, tsNs, { type: "processes", processes })));
  }

  /** Ends it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.close().catch((error) => {
      if (!(error instanceof Fault)) throw error;
    });
    await this.#running;
    await Promise.all([...this.#views.keys()].map((endpoint) => this.#leave(endpoint)));
    assert(this.#views.size === 0, "no memory stays open");
  }

  async #follow(): Promise<void> {
    try {
      for await (const event of this.#client.events({ kinds: ["MEMCTX", "MEMCTX_INVALIDATED"] })) {
        const { endpoint } = event;
        await this.#leave(endpoint);
        if (event.kindName !== "MEMCTX") continue;
        try {
          this.#views.set(endpoint, GuestView.of(this.#client, event));
          this.mark(endpoint);
        } catch (error) {
          if (!(error instanceof Fault)) throw error;
          this.#onLost(
            `no processes of ${this.#client.roster.nameOf(endpoint)}: ${oneLine(messageOf(error))}`,
          );
        }
        this.#looked.resolve();
      }
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
    } finally {
      this.#looked.resolve();
    }
  }

  async #leave(endpoint: EndpointId): Promise<void> {
    const view = this.#views.get(endpoint);
    this.#views.delete(endpoint);
    await view?.[Symbol.asyncDispose]();
  }
}
