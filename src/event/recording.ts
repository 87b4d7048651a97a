/**
 * The format of a recording: a CBOR sequence (RFC 8742), first a header, then one map an event. Every item
 * stands by itself, so a file that was cut off is good up to its last whole item, and any CBOR tool reads it.
 *
 * It writes and reads items; other modules handle files, sizes and time. File descriptors cannot be recorded:
 * an event says how many it had. What was kept in their place are further fields of its map
 * (recorded_picture.ts).
 * @module
 */
import type { EndpointId } from "../base/ids.ts";
import { decodeFirst, encode } from "cborg";
import { INLINE_BYTES, MAX_BODY_BYTES, MAX_ENDPOINTS } from "../base/limits.ts";
import { printable } from "../base/printable.ts";
import { CLASS, KIND, kindClass, kindName } from "./kind.ts";
import { consoleOf, type RecordedConsole } from "./recorded_console.ts";
import { markOf, type RecordedMark } from "./recorded_mark.ts";
import { memoryOf, pictureOf, type RecordedMemory, type RecordedPicture } from "./recorded_picture.ts";
import { SOURCE, SOURCE_MAX } from "./source.ts";

/** What the header's `format` says. */
const RECORDING_FORMAT = "vmsig-recording";
/** The header's `version`. */
const RECORDING_VERSION = 1;

/** One endpoint, as it was when the file was begun. */
export interface RecordedEndpoint {
  /** Its number. */
  readonly endpoint: EndpointId;
  /** Its name. */
  readonly name: string;
  /** "attaching", "up" or "down". */
  readonly state: string;
  /** Names of the seams that were up. */
  readonly seams: readonly string[];
  /** The VM's process; 0 = none. */
  readonly pid: number;
  /** The VM's number on its host; 0 = none. */
  readonly vmid: number;
}

/** The first item. */
export interface RecordingHeader {
  /** The machine's name and kernel. */
  readonly host: { readonly name: string; readonly kernel: string };
  /** Versions: vmsig, protocol, … */
  readonly versions: Readonly<Record<string, string | number>>;
  /** Wall-clock time at which the file was begun, ISO 8601. */
  readonly startedAt: string;
  /** CLOCK_MONOTONIC at that moment, ns: what the events' times are counted from. */
  readonly startedNs: number;
  /** Who was there. */
  readonly roster: readonly RecordedEndpoint[];
}

/** Every other item. */
export interface RecordedEvent {
  /** See `kind.ts`. */
  readonly kind: number;
  /** See `source.ts`. */
  readonly source: number;
  /** See `priority.ts`. */
  readonly prio: number;
  /** Its number, when it was recorded. */
  readonly endpoint: EndpointId;
  /** The core's number of it, for the control that recorded. */
  readonly seq: number;
  /** The command that it answered; 0 = none. */
  readonly corr: number;
  /** CLOCK_MONOTONIC at emit, ns. */
  readonly tsNs: number;
  /** The inline zone, 48 bytes. */
  readonly inline: Uint8Array;
  /** How the body is encoded. */
  readonly bodyFormat: number;
  /** The body; empty when there was none. */
  readonly body: Uint8Array;
  /** How many descriptors came along. */
  readonly fds: number;
  /** Of a FRAME_RING: a picture that was in it at that time. */
  readonly picture?: RecordedPicture;
  /** Of a MEMCTX: where its memory was kept; the body's segments lie in that one file. */
  readonly memory?: RecordedMemory;
  /** Of an AUDIT that a trace's recorder wrote itself: what was done. */
  readonly mark?: RecordedMark;
  /** Of a CONSOLE_OUT that the recorder read: whose bytes they are. */
  readonly console?: RecordedConsole;
}

/** What a read item is, or what is wrong with it. */
export type RecordingItem =
  | { readonly type: "header"; readonly header: RecordingHeader }
  | { readonly type: "event"; readonly event: RecordedEvent }
  | { readonly type: "defect"; readonly why: string };

/** The header as an item. */
export function encodeRecordingHeader(header: RecordingHeader): Uint8Array {
  return encode({ format: RECORDING_FORMAT, version: RECORDING_VERSION, ...header });
}

/** An event as an item. Its kind's name goes along, for whoever reads the file with another tool. */
export function encodeRecordedEvent(event: RecordedEvent): Uint8Array {
  const { kind, source, prio, endpoint, seq, corr, tsNs, inline, bodyFormat, body, fds } = event;
  const head = { kind, name: kindName(kind), source, prio, endpoint, seq, corr, tsNs, inline };
  const { picture, memory, console, mark } = event;
  if (body.length === 0 && fds === 0) return encode(mark === undefined ? head : { ...head, mark });
  return encode({
    ...{ ...head, bodyFormat, body, fds },
    ...picture === undefined ? {} : { picture },
    ...memory === undefined ? {} : { memory },
    ...console === undefined ? {} : { console },
  });
}

/**
 * Reads the items of a file.
 *
 * @param bytes the whole file
 * @returns one after another; a defect is the last one
 */
export function* decodeRecording(bytes: Uint8Array): Generator<RecordingItem> {
  let rest = bytes;
  for (let index = 0; rest.length > 0; index++) {
    let value: unknown;
    try {
      [value, rest] = decodeFirst(rest);
    } catch {
      const at = bytes.length - rest.length;
      yield { type: "defect", why: `item ${index} at byte ${at} is cut off or no CBOR` };
      return;
    }
    const item = index === 0 ? headerOf(value) : eventOf(value, index);
    yield item;
    if (item.type === "defect") return;
  }
  if (bytes.length === 0) yield { type: "defect", why: "it is empty" };
}

function headerOf(value: unknown): RecordingItem {
  const bad = (why: string): RecordingItem => ({ type: "defect", why });
  if (!isRecord(value) || value["format"] !== RECORDING_FORMAT) {
    return bad("it does not begin with a recording's header");
  }
  if (value["version"] !== RECORDING_VERSION) {
    return bad(`it is of version ${shown(value["version"])}, and ${RECORDING_VERSION} is needed`);
  }
  const { host, versions, startedAt, startedNs, roster } = value;
  if (
    !isRecord(host) || typeof host["name"] !== "string" || typeof host["kernel"] !== "string" ||
    !isRecord(versions) || typeof startedAt !== "string" || !Array.isArray(roster) ||
    !isBelow(startedNs, 2 ** 53)
  ) {
    return bad("its header is incomplete");
  }
  if (roster.length > MAX_ENDPOINTS || !roster.every(isEndpoint)) {
    return bad("its header's roster is not valid");
  }
  const header = { host, versions, startedAt, startedNs, roster } as unknown as RecordingHeader;
  return { type: "header", header };
}

/** Whatever stands in a file, in a few characters: a map's text is what the map says. */
function shown(value: unknown): string {
  return typeof value === "number" || typeof value === "string" ? printable(String(value), 32) : typeof value;
}

function isEndpoint(value: unknown): value is RecordedEndpoint {
  return isRecord(value) && isBelow(value["endpoint"], MAX_ENDPOINTS) && typeof value["name"] === "string" &&
    typeof value["state"] === "string" && Array.isArray(value["seams"]) &&
    value["seams"].every((seam) => typeof seam === "string") &&
    isBelow(value["pid"], 2 ** 32) && isBelow(value["vmid"], 2 ** 32);
}

function eventOf(value: unknown, index: number): RecordingItem {
  const bad: RecordingItem = { type: "defect", why: `item ${index} is not an event` };
  if (!isRecord(value)) return bad;
  const { kind, source, prio, endpoint, seq, corr, tsNs, inline, bodyFormat = 0, fds = 0 } = value;
  const body = value["body"] ?? new Uint8Array(0);
  const isSound = isBelow(kind, 2 ** 16) && kindClass(kind) === CLASS.UP && isBelow(source, SOURCE_MAX) &&
    isBelow(prio, 4) && isBelow(endpoint, 2 ** 32) && isBelow(seq, 2 ** 32) && isBelow(corr, 2 ** 32) &&
    isBelow(tsNs, 2 ** 53) && inline instanceof Uint8Array && inline.length === INLINE_BYTES &&
    isBelow(bodyFormat, 3) && isBelow(fds, 9) && body instanceof Uint8Array && body.length <= MAX_BODY_BYTES;
  if (!isSound) return bad;
  const event = {
    kind,
    source,
    prio,
    endpoint,
    seq,
    corr,
    tsNs,
    inline,
    bodyFormat,
    body,
    fds,
  } as RecordedEvent;
  return keptOf(event, value) ?? bad;
}

/** An event with what was kept in place of its descriptors; undefined when that is not valid. */
function keptOf(event: RecordedEvent, value: Record<string, unknown>): RecordingItem | undefined {
  if (event.kind === KIND.FRAME_RING && event.source === SOURCE.FRAME && value["picture"] !== undefined) {
    const picture = pictureOf(value["picture"]);
    return picture && { type: "event", event: { ...event, picture } };
  }
  if (event.kind === KIND.MEMCTX && event.source === SOURCE.MEMCTX && value["memory"] !== undefined) {
    const memory = memoryOf(value["memory"]);
    return memory && { type: "event", event: { ...event, memory } };
  }
  if (event.kind === KIND.CONSOLE_OUT && event.source === SOURCE.CONSOLE && value["console"] !== undefined) {
    const console = consoleOf(value["console"], event.inline, event.body.length);
    return console && { type: "event", event: { ...event, console } };
  }
  if (event.kind === KIND.AUDIT && value["mark"] !== undefined) {
    const mark = markOf(value["mark"]);
    return mark && { type: "event", event: { ...event, mark } };
  }
  return { type: "event", event };
}

function isBelow(value: unknown, limit: number): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 && value < limit;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) &&
    !(value instanceof Uint8Array);
}
