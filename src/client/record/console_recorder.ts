/**
 * The consoles of `vmsig record --consoles`: each console that can be reached is read as any control reads
 * it, from what the daemon has kept of it on, and its bytes go into the recording with their place. The guest
 * is never made to wait for the recorder: what comes too fast is a gap between places.
 * @module
 */
import type { EndpointId } from "../../base/ids.ts";
import { Fault } from "../../base/fault.ts";
import { writeU64 } from "../../base/layout.ts";
import { INLINE_BYTES } from "../../base/limits.ts";
import { oneLine } from "../../base/printable.ts";
import { CONSOLE_OUT } from "../../event/body_layout.ts";
import { KIND } from "../../event/kind.ts";
import { PRIO } from "../../event/priority.ts";
import { encodeRecordedEvent } from "../../event/recording.ts";
import { SOURCE } from "../../event/source.ts";
import { BODY } from "../../event/transfer_event.ts";
import { monotonicClock } from "../../../ffi/clock.ts";
import type { Client } from "../client.ts";
import { ConsoleControl, type ConsoleEntry, listConsoles } from "../console_control.ts";
import { pause } from "../pause.ts";
import type { RecordingFile } from "./recording_file.ts";

/** Pause before a console that another program has, or whose VM is away, is tried again. */
const AGAIN_MS = 1000;

/** How bytes are kept. */
export interface ConsoleRecorderOptions {
  /** Whose endpoints. */
  readonly client: Client;
  /** Where they go. */
  readonly file: RecordingFile;
  /** Told when a console is not (any longer) kept, or has a gap; one line. */
  readonly onLost: (text: string) => void;
  /** Told when the recording cannot be written. */
  readonly onBroken: (error: unknown) => void;
}

/** The consoles of one VM, as long as it is the same process. */
interface Watched {
  readonly pid: number;
  readonly ending: AbortController;
  readonly done: Promise<void>;
  isOver: boolean;
}

/** Keeps bytes of consoles until it is disposed of. */
export class ConsoleRecorder implements AsyncDisposable {
  readonly #options: ConsoleRecorderOptions;
  readonly #watched = new Map<EndpointId, Watched>();
  #isEnded = false;
  #bytes = 0;

  /** Reads nothing yet. */
  constructor(options: ConsoleRecorderOptions) {
    this.#options = options;
  }

  /** Bytes that were kept. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Reads the consoles of an endpoint, unless it does already; those of another process from their start. */
  watch(endpoint: EndpointId, pid: number): void {
    if (this.#isEnded) return;
    const before = this.#watched.get(endpoint);
    if (before !== undefined && before.pid === pid && !before.isOver) return;
    before?.ending.abort();
    const ending = new AbortController();
    const ended = before?.done ?? Promise.resolve();
    const done = ended.then(() => this.#watchAll(endpoint, ending.signal)).finally(() => {
      watched.isOver = true;
    });
    const watched: Watched = { pid, ending, done, isOver: false };
    this.#watched.set(endpoint, watched);
  }

  /** The endpoint is gone. */
  leave(endpoint: EndpointId): void {
    this.#watched.get(endpoint)?.ending.abort();
  }

  /** Ends it, and leaves the consoles to others. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isEnded = true;
    for (const { ending } of this.#watched.values()) ending.abort();
    await Promise.all([...this.#watched.values()].map(({ done }) => done));
  }

  async #watchAll(endpoint: EndpointId, signal: AbortSignal): Promise<void> {
    const { client, onLost, onBroken } = this.#options;
    if (signal.aborted) return;
    try {
      const entries = await listConsoles(client, endpoint, { signal });
      const reached = entries.filter(({ place, open }) => place !== "other" || open);
      await Promise.all(reached.map((entry) => this.#watchOne(endpoint, entry, signal)));
    } catch (error) {
      if (signal.aborted || client.fault !== undefined) return;
      if (!(error instanceof Fault)) return onBroken(error);
      onLost(`no consoles of ${client.roster.nameOf(endpoint)}: ${oneLine(error.message)}`);
    }
  }

  async #watchOne(endpoint: EndpointId, entry: ConsoleEntry, signal: AbortSignal): Promise<void> {
    const { client, onLost } = this.#options;
    let from = entry.start;
    let told = "";
    while (!signal.aborted) {
      try {
        await using console = await ConsoleControl.open(client, endpoint, {
          port: entry.number,
          from,
          signal,
        });
        for (;;) {
          const bytes = await console.read({ signal });
          told = "";
          if (!this.#keep(endpoint, entry, console.place - bytes.length, bytes)) return;
          from = console.place;
        }
      } catch (error) {
        if (!(error instanceof Fault)) throw error;
        if (signal.aborted || client.fault !== undefined) return;
        const why = oneLine(error.message);
        if (why !== told) onLost(why);
        told = why;
        if (error.code !== "busy" && error.code !== "seam-down" && error.code !== "timed-out") return;
      }
      await pause(AGAIN_MS, signal);
    }
  }

  /** @returns whether the recording goes on */
  #keep(
    endpoint: EndpointId,
    { number, label, role }: ConsoleEntry,
    offset: number,
    body: Uint8Array,
  ): boolean {
    const inline = new Uint8Array(INLINE_BYTES);
    const view = new DataView(inline.buffer);
    view.setUint32(CONSOLE_OUT.at.port, number, true);
    writeU64(view, CONSOLE_OUT.at.offset, offset);
    writeU64(view, CONSOLE_OUT.at.end, offset + body.length);
    try {
      this.#options.file.append(encodeRecordedEvent({
        kind: KIND.CONSOLE_OUT,
        source: SOURCE.CONSOLE,
        prio: PRIO.NORMAL,
        endpoint,
        seq: 0,
        corr: 0,
        tsNs: Math.round(monotonicClock.nowNs()),
        inline,
        bodyFormat: BODY.RAW,
        body,
        fds: 0,
        console: { label, role },
      }));
    } catch (error) {
      this.#options.onBroken(error);
      return false;
    }
    this.#bytes += body.length;
    return true;
  }
}
