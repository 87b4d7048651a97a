/**
 * A recording as `vmsig trace` shows it: actions, pictures, events, what consoles said, processes; each with
 * its time. A recording that was cut off is read up to that point. Its content is hostile: the first part
 * that is not valid ends it, text is escaped here, and sizes are bounded.
 * @module
 */
import { Fault } from "../../base/fault.ts";
import { NO_ENDPOINT } from "../../base/ids.ts";
import { oneLine, printable } from "../../base/printable.ts";
import { LEASE_CLASS_NAMES } from "../../event/body_number.ts";
import { KIND, kindName } from "../../event/kind.ts";
import { consolePieceOf } from "../../event/recorded_console.ts";
import { paintPicture, type RecordedPicture } from "../../event/recorded_picture.ts";
import { decodeRecording, type RecordedEvent, type RecordingHeader } from "../../event/recording.ts";
import { FRAME } from "../../protocol/frame.ts";
import { type Picture, toPicture } from "../../vgpu/picture.ts";
import { ClientEvent } from "../client_event.ts";
import { describeBody } from "../describe_event.ts";
import { eventWords } from "../event_words.ts";
import { writeU64 } from "../../base/layout.ts";

/** Lines of each list that are shown; a recording may have millions of events. */
const MOST_LINES = 50_000;
const MOST_WORDS = 1000;
const NS_PER_MS = 1e6;

/** Something that was done. */
export interface TraceAction {
  /** When it began, ms from the recording's start. */
  readonly t: number;
  /** When it ended; undefined when the recording ends before. */
  end: number | undefined;
  /** The VM. */
  readonly vm: string;
  /** What. */
  readonly what: string;
  /** Why it failed; "" when it went well. */
  why: string;
  /** What it answered; "" when that is not known. */
  said: string;
}

/** A line. */
export interface TraceLine {
  /** When, ms. */
  readonly t: number;
  /** The VM. */
  readonly vm: string;
  /** The event's kind, or the console's name. */
  readonly kind: string;
  /** What. */
  readonly what: string;
}

/** A list of processes that holds from a time on. */
export interface TraceProcesses {
  /** When, ms. */
  readonly t: number;
  /** The VM. */
  readonly vm: string;
  /** Number, parent's number, name. */
  readonly list: readonly (readonly [number, number, string])[];
}

/** A picture that is shown from a time on. */
export interface TraceFrame {
  /** When, ms. */
  readonly t: number;
  /** The VM, with its head where that is not the first. */
  readonly screen: string;
  /** The whole picture; good until the next one is asked for. */
  readonly picture: Picture;
}

/** All but the pictures. */
export interface TraceModel {
  /** The recording's header. */
  readonly header: RecordingHeader;
  /** How long it is, ms. */
  readonly durationMs: number;
  /** Why it ends where it does; "" when it is whole. */
  readonly defect: string;
  /** What was done. */
  readonly actions: readonly TraceAction[];
  /** What happened. */
  readonly events: readonly TraceLine[];
  /** What consoles said. */
  readonly console: readonly TraceLine[];
  /** Processes. */
  readonly processes: readonly TraceProcesses[];
  /** Lines that were left out because there are too many. */
  readonly leftOut: number;
}

/**
 * Reads a recording: gives its pictures one after another, and the rest at the end.
 *
 * @throws {Fault} `bad-argument` when it is not a recording
 */
export function* readTrace(bytes: Uint8Array): Generator<TraceFrame, TraceModel> {
  const reader = new Reader();
  for (const item of decodeRecording(bytes)) {
    if (item.type === "header") reader.header = item.header;
    else if (item.type === "defect") reader.defect = item.why;
    else {
      const frame = reader.add(item.event);
      if (frame !== undefined) yield frame;
    }
  }
  return reader.model();
}

class Reader {
  header: RecordingHeader | undefined;
  defect = "";
  readonly #actions: TraceAction[] = [];
  readonly #events: TraceLine[] = [];
  readonly #console: TraceLine[] = [];
  readonly #processes: TraceProcesses[] = [];
  readonly #open = new Map<string, TraceAction>();
  readonly #names = new Map<number, string>();
  readonly #screens = new Map<string, { bytes: Uint8Array; shape: RecordedPicture }>();
  readonly #decoders = new Map<string, TextDecoder>();
  #lastMs = 0;
  #leftOut = 0;

  /** @returns the picture that it brings */
  add(event: RecordedEvent): TraceFrame | undefined {
    const { header } = this;
    if (header === undefined) return undefined;
    if (this.#names.size === 0) {
      for (const { endpoint, name } of header.roster) this.#names.set(endpoint, name);
    }
    // What was retained before the recording began is older than it.
    const t = Math.max(0, (event.tsNs - header.startedNs) / NS_PER_MS);
    this.#lastMs = Math.max(this.#lastMs, t);
    const client = clientEvent(event);
    const roster = client.as("ROSTER");
    if (roster !== undefined) this.#names.set(event.endpoint, roster.name);
    const unnamed = event.endpoint === NO_ENDPOINT ? "" : String(event.endpoint);
    const vm = printable(this.#names.get(event.endpoint) ?? unnamed, 128);
    if (event.picture !== undefined) return this.#paint(t, vm, event.picture);
    if (event.mark !== undefined) this.#mark(t, vm, event);
    else if (event.console !== undefined) {
      const { port } = consolePieceOf(event.inline);
      const key = `${event.endpoint}:${port}`;
      const decoder = this.#decoders.get(key) ?? new TextDecoder();
      this.#decoders.set(key, decoder);
      const what = plain(decoder.decode(event.body, { stream: true }));
      this.#line(this.#console, { t, vm, kind: printable(event.console.label), what });
    } else if (!FRAME_KINDS.has(event.kind)) {
      if (event.kind === KIND.AUDIT) this.#lease(t, vm, client);
      this.#line(this.#events, { t, vm, kind: kindName(event.kind), what: oneLine(cut(wordsOf(client))) });
    }
    return undefined;
  }

  model(): TraceModel {
    if (this.header === undefined) {
      throw new Fault(
        "bad-argument",
        `Cannot show it: it is not a recording: ${this.defect || "it is empty"}`,
      );
    }
    return {
      header: this.header,
      durationMs: this.#lastMs,
      defect: this.defect,
      actions: this.#actions,
      events: this.#events,
      console: this.#console,
      processes: this.#processes,
      leftOut: this.#leftOut,
    };
  }

  #mark(t: number, vm: string, { mark, endpoint }: RecordedEvent): void {
    if (mark?.type === "begin") this.#begin(`${endpoint} ${mark.action}`, { t, vm, what: mark.what });
    else if (mark?.type === "end") this.#end(`${endpoint} ${mark.action}`, t, mark);
    else if (mark?.type === "processes" && this.#processes.length < MOST_LINES) {
      const list = mark.processes.map(({ pid, ppid, name }) => [pid, ppid, printable(name, 64)] as const);
      this.#processes.push({ t, vm, list });
    }
  }

  /** Of controls that mark nothing, an action is as long as their lease. */
  #lease(t: number, vm: string, event: ClientEvent): void {
    const { kind, code, principal, control, cls, token } = describeBody(event);
    if (code !== 0 || typeof cls !== "number") return;
    const key = `lease ${event.endpoint} ${cls} ${token}`;
    const name = LEASE_CLASS_NAMES[cls] ?? String(cls);
    if (kind === KIND.LEASE_GRANTED) {
      this.#begin(key, { t, vm, what: `uid ${principal} has ${name} (control ${control})` });
    } else if (kind === KIND.LEASE_RELEASED || kind === KIND.LEASE_REVOKED) {
      this.#end(key, t, { why: kind === KIND.LEASE_REVOKED ? "it was taken away" : "" });
    }
  }

  #begin(key: string, { t, vm, what }: Pick<TraceAction, "t" | "vm" | "what">): void {
    if (this.#actions.length >= MOST_LINES) {
      this.#leftOut++;
      return;
    }
    const action: TraceAction = { t, end: undefined, vm, what: oneLine(cut(what)), why: "", said: "" };
    this.#actions.push(action);
    this.#open.set(key, action);
  }

  #end(key: string, t: number, { why, said = "" }: { readonly why: string; readonly said?: string }): void {
    const action = this.#open.get(key);
    this.#open.delete(key);
    if (action === undefined) return;
    action.end = t;
    action.why = oneLine(why);
    action.said = oneLine(cut(said));
  }

  #paint(t: number, vm: string, picture: RecordedPicture): TraceFrame | undefined {
    const screen = picture.head === 0 ? vm : `${vm} head ${picture.head}`;
    let known = this.#screens.get(screen);
    if (picture.whole || known?.bytes.length !== picture.bytes) {
      // What changed in a picture that is not there shows nothing.
      if (!picture.whole) return undefined;
      known = { bytes: new Uint8Array(picture.bytes), shape: picture };
      this.#screens.set(screen, known);
    }
    if (!paintPicture(known.bytes, picture)) return undefined;
    try {
      return { t, screen, picture: toPicture(known.bytes, picture) };
    } catch (error) {
      // Sizes that do not agree with its bytes, or a format that there is not.
      if (!(error instanceof Fault)) throw error;
      return undefined;
    }
  }

  #line(list: TraceLine[], line: TraceLine): void {
    if (list.length >= MOST_LINES) this.#leftOut++;
    else if (line.what !== "" || line.kind !== "") list.push(line);
  }
}

/** They come with each picture, and say nothing beside it. */
const FRAME_KINDS: ReadonlySet<number> = new Set([
  KIND.FRAME_INFO,
  KIND.FRAME_RING,
  KIND.FRAME_DEMAND,
  KIND.CURSOR_STATE,
]);

/** A recorded event as the client's words understand it. */
function clientEvent(event: RecordedEvent): ClientEvent {
  const bytes = new Uint8Array(FRAME.body + event.body.length);
  const view = new DataView(bytes.buffer);
  view.setUint16(FRAME.kind, event.kind, true);
  bytes[FRAME.source] = event.source;
  bytes[FRAME.prio] = event.prio;
  bytes[FRAME.bodyFormat] = event.bodyFormat;
  view.setUint32(FRAME.endpoint, event.endpoint, true);
  view.setUint32(FRAME.bodyBytes, event.body.length, true);
  writeU64(view, FRAME.tsNs, event.tsNs);
  bytes.set(event.inline, FRAME.inline);
  bytes.set(event.body, FRAME.body);
  return new ClientEvent(view, 0);
}

/** Of a screen's text the lines alone: it is there to be searched, and the picture shows the rest. */
function wordsOf(event: ClientEvent): string {
  const { lines } = event.kind === KIND.SCREEN_TEXT ? describeBody(event) : {};
  if (!Array.isArray(lines)) return eventWords(event);
  return lines.filter((line) => typeof line === "string" && line.trim() !== "").join(" | ");
}

function cut(text: string): string {
  return text.length > MOST_WORDS ? `${text.slice(0, MOST_WORDS)}…` : text;
}

/** What a console said, line by line, without what a terminal would do. */
function plain(said: string): string {
  // deno-lint-ignore no-control-regex -- the sequences that terminals understand
  const text = said.replaceAll(/\x1b\[[0-9;?]*[ -/]*[@-~]/g, "");
  return text.split(/\r*\n/).map((line) => printable(line.replaceAll("\r", ""), 4096)).join("\n");
}
