/**
 * A trace of what a program does to a VM, or to several: its actions, and beside them all events, the
 * screen's changes, what the consoles say, and the processes at each mark, in a recording that `vmsig trace`
 * shows. It joins the bus by connections of its own, so that it disturbs nothing of the program's.
 * @module
 */
import { monotonicClock } from "../../../ffi/clock.ts";
import { assert } from "../../base/assert.ts";
import { type EndpointId, NO_ENDPOINT } from "../../base/ids.ts";
import { oneLine } from "../../base/printable.ts";
import { Fault, messageOf } from "../../base/fault.ts";
import { ROSTER_STATE } from "../../event/body_number.ts";
import { CAP } from "../../event/capability.ts";
import { KIND } from "../../event/kind.ts";
import { eventOfMark } from "../../event/mark_event.ts";
import { MOST_MARK_TEXT } from "../../event/recorded_mark.ts";
import { encodeRecordedEvent } from "../../event/recording.ts";
import { SOURCE } from "../../event/source.ts";
import type { Client } from "../client.ts";
import type { ClientEvent } from "../client_event.ts";
import type { SubscribeOptions } from "../handshake.ts";
import { ConsoleRecorder } from "./console_recorder.ts";
import { FrameRecorder } from "./frame_recorder.ts";
import { ProcessRecorder } from "./process_recorder.ts";
import { recordedEvent, recordingHeader } from "./recording_head.ts";
import { RecordingFile } from "./recording_file.ts";

/** Pictures per second, unless told. */
const RATE = 10;
const MOST_BYTES = 256 * 2 ** 20;
/** The screen's answer to the last action is still kept, ms. */
const LAST_MS = 300;
/** How long the guest's processes may take that are looked for once an action has failed, ms. */
const PROCESSES_MS = 10_000;

/** How a trace is made. */
export interface TraceOptions {
  /** Joins the bus once more. */
  readonly join: (sub: SubscribeOptions) => Promise<Client>;
  /** The VM; undefined: all that there are and that come. */
  readonly endpoint: EndpointId | undefined;
  /** Of all of them only those of these names. */
  readonly names?: readonly string[];
  /** Where to; a file of this user's of this name is replaced. */
  readonly path: string;
  /** Whether QEMU's end of the consoles is taken; false unless told: then no other program has it. */
  readonly consoles?: boolean;
  /**
   * When the guest's processes are read: at each mark (unless told), or when an action has failed, so that
   * what goes well costs no look into its memory.
   */
  readonly processes?: "at-marks" | "at-failure";
  /** Pictures per second at most; 10 unless told. */
  readonly perSecond?: number;
  /** Bytes of the file at most; 256 MiB unless told. Past them it begins anew: the newest is kept. */
  readonly mostBytes?: number;
  /** Told once when it cannot go on, one line; without it the trace's defect alone tells. */
  readonly onLost?: (why: string) => void;
}

/** A trace under way. */
export class TraceRecorder implements AsyncDisposable {
  /** Where it is. */
  readonly path: string;
  /** Why it is not whole; "" while it is. */
  defect = "";
  readonly #options: TraceOptions;
  readonly #client: Client;
  readonly #file: RecordingFile;
  readonly #frames: FrameRecorder;
  readonly #consoles: ConsoleRecorder;
  readonly #following: Promise<void>;
  #processes: ProcessRecorder | undefined;
  /** The look at processes once an action has failed. */
  #looking: Promise<void> | undefined;
  #actions = 0;
  /** Whose each action under way is. */
  readonly #under = new Map<number, EndpointId>();

  private constructor(client: Client, guest: Client | undefined, options: TraceOptions) {
    const { path, perSecond = RATE, mostBytes: maxBytes = MOST_BYTES } = options;
    this.path = path;
    this.#options = options;
    this.#client = client;
    this.#file = new RecordingFile(path, { maxBytes, keep: 0 }, () => recordingHeader(client));
    // What cannot be had of a VM is left out: a trace without a console is one all the same.
    const onLost = () => {};
    const onBroken = (error: unknown) => this.#lost(messageOf(error));
    const common = { client, file: this.#file, onLost, onBroken };
    this.#frames = new FrameRecorder({ ...common, perSecond });
    this.#consoles = new ConsoleRecorder(common);
    this.#processes = guest && new ProcessRecorder(guest, this.#file, onLost);
    for (const { endpoint, seams, pid } of client.roster.list()) {
      if (!this.#isOf(endpoint)) continue;
      if (seams.includes("frame")) this.#frames.watch(endpoint);
      if (options.consoles === true && seams.includes("console")) this.#consoles.watch(endpoint, pid);
    }
    this.#following = this.#follow();
  }

  /**
   * Begins a trace.
   *
   * @throws {Fault} `refused` when it cannot be written; what joining is refused with
   */
  static async start(options: TraceOptions): Promise<TraceRecorder> {
    const { join, endpoint } = options;
    const client = await join({
      sources: ["CORE", "FRAME", "VMHOST", "INPUT", "CONSOLE"],
      ...endpoint === undefined ? {} : { endpoints: [endpoint] },
    });
    try {
      await client.completeRoster();
      const guest = options.processes === "at-failure" ? undefined : await joinMemory(client, options);
      try {
        return new TraceRecorder(client, guest, options);
      } catch (error) {
        await guest?.close();
        throw error;
      }
    } catch (error) {
      await client.close();
      throw error;
    }
  }

  /**
   * Notes that something is done.
   *
   * @param endpoint the VM; the trace's own unless told
   * @returns its number
   */
  begin(what: string, endpoint: EndpointId = this.#options.endpoint ?? NO_ENDPOINT): number {
    const action = ++this.#actions;
    this.#under.set(action, endpoint);
    this.#mark(endpoint, { type: "begin", action, what: what.slice(0, MOST_MARK_TEXT) });
    return action;
  }

  /** Notes that it is over; `why` when it failed, `said` what it answered. */
  end(action: number, why = "", said?: string): void {
    const endpoint = this.#under.get(action);
    assert(endpoint !== undefined, "an action ends once");
    this.#under.delete(action);
    const answered = said === undefined ? {} : { said: said.slice(0, MOST_MARK_TEXT) };
    this.#mark(endpoint, { type: "end", action, why: why.slice(0, MOST_MARK_TEXT), ...answered });
    if (why !== "" && this.#processes === undefined) this.#looking ??= this.#look();
    this.#processes?.mark(endpoint);
  }

  /** Ends it; the file is whole then. */
  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, LAST_MS));
    await this.#looking;
    for (const { endpoint } of this.#client.roster.list()) {
      if (this.#isOf(endpoint)) this.#processes?.mark(endpoint);
    }
    await this.#end();
  }

  /** Ends it at once, for a file that nobody wants. */
  async discard(): Promise<void> {
    await this.#looking;
    await this.#end();
    await Deno.remove(this.path);
  }

  /** Reads the guest's processes, for an action that has failed. */
  async #look(): Promise<void> {
    try {
      const guest = await joinMemory(this.#client, this.#options);
      if (guest === undefined) return;
      this.#processes = new ProcessRecorder(guest, this.#file, () => {});
    } catch (error) {
      // A test does not fail for its trace.
      if (!(error instanceof Fault)) throw error;
      return;
    }
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => timer = setTimeout(resolve, PROCESSES_MS));
    await Promise.race([this.#processes.looked, late]);
    clearTimeout(timer);
  }

  async #end(): Promise<void> {
    await this.#frames[Symbol.asyncDispose]();
    await this.#consoles[Symbol.asyncDispose]();
    await this.#processes?.[Symbol.asyncDispose]();
    await this.#client.close().catch((error) => {
      if (!(error instanceof Fault)) throw error;
    });
    await this.#following;
    this.#file[Symbol.dispose]();
  }

  #mark(endpoint: EndpointId, mark: Parameters<typeof eventOfMark>[2]): void {
    if (this.defect !== "") return;
    const tsNs = Math.round(monotonicClock.nowNs());
    try {
      this.#file.append(encodeRecordedEvent(eventOfMark(endpoint, tsNs, mark)));
    } catch (error) {
      // A test does not fail for its trace.
      this.#lost(messageOf(error));
    }
  }

  async #follow(): Promise<void> {
    try {
      for await (const event of this.#client.events()) {
        if (!this.#isOf(event.endpoint)) continue;
        if (this.defect === "") this.#file.append(recordedEvent(event));
        this.#watch(event);
      }
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      this.#lost(error.message);
    }
  }

  /** A VM that comes, or whose screen and consoles come back, is watched like those of the beginning. */
  #watch(event: ClientEvent): void {
    const { endpoint, kind, source } = event;
    if (kind === KIND.SEAM_UP && source === SOURCE.FRAME) this.#frames.watch(endpoint);
    if (this.#options.consoles !== true) return;
    if (kind === KIND.SEAM_UP && source === SOURCE.CONSOLE) {
      this.#consoles.watch(endpoint, event.as("SEAM_UP")?.pid ?? 0);
    }
    if (event.as("ROSTER")?.state === ROSTER_STATE.GONE) this.#consoles.leave(endpoint);
  }

  /** Whether it is one of the VMs that the trace is of; what is of no VM belongs to every trace. */
  #isOf(endpoint: EndpointId): boolean {
    const { endpoint: only, names = [] } = this.#options;
    if (endpoint === NO_ENDPOINT) return true;
    if (only !== undefined) return endpoint === only;
    return names.length === 0 || names.includes(this.#client.roster.nameOf(endpoint));
  }

  #lost(why: string): void {
    if (this.defect !== "") return;
    this.defect = why;
    this.#options.onLost?.(oneLine(why));
  }
}

/** A connection for the guest's memory, where the grant has it and the VM shows any. */
async function joinMemory(
  client: Client,
  { join, endpoint }: Pick<TraceOptions, "join" | "endpoint">,
): Promise<Client | undefined> {
  if ((client.grant.caps & CAP.MEMCTX) === 0) return undefined;
  // One VM without any has none to wait for; of all of them one may still come.
  if (endpoint === undefined) return await join({ sources: ["CORE", "MEMCTX"] });
  const seams = client.roster.get(endpoint)?.seams ?? [];
  if (!seams.includes("memctx")) return undefined;
  return await join({ sources: ["CORE", "MEMCTX"], endpoints: [endpoint] });
}
