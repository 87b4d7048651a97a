/**
 * The playable contents of a recording: its endpoints with their seams, and its events in order, each with
 * the time at which it is due. What cannot be played is counted: answers, leases and audit lines come from
 * the core itself, and the file descriptors of events are not in the file.
 * @module
 */
import { type NotPlayed, whyNotPlayed } from "../adapters/replay/replay_seam.ts";
import { isSeam } from "../adapters/seams.ts";
import { Fault } from "../base/fault.ts";
import { MAX_ENDPOINTS, MAX_HEADS } from "../base/limits.ts";
import { FRAME_INFO, ROSTER } from "../event/body_layout.ts";
import { FRAME_SOURCE } from "../event/body_number.ts";
import { readText } from "../event/inline_text.ts";
import { KIND } from "../event/kind.ts";
import { consolePieceOf, type RecordedConsole } from "../event/recorded_console.ts";
import { decodeRecording, type RecordedEvent, type RecordingHeader } from "../event/recording.ts";
import { type Source, sourceByName } from "../event/source.ts";

const FRAME_SOURCES: ReadonlySet<number> = new Set(Object.values(FRAME_SOURCE));

/** One endpoint to play. */
export interface ReplayEndpoint {
  /** Its number in the recording. */
  readonly recorded: number;
  /** Its name. */
  readonly name: string;
  /** The VM's id on its host; 0 = none. */
  readonly vmid: number;
  /** Its seams by source; true: up when the recording began. */
  readonly seams: ReadonlyMap<Source, boolean>;
  /** Heads with recorded pictures. */
  readonly heads: ReadonlySet<number>;
  /** Consoles with recorded output, by number. */
  readonly consoles: ReadonlyMap<number, RecordedConsole>;
}

/** One event to play. */
export interface ReplayStep {
  /** Time from the beginning, at recorded speed, ns. */
  readonly dueNs: number;
  /** The event to emit. */
  readonly event: RecordedEvent;
}

/** The plan of a whole recording. */
export interface ReplayPlan {
  /** Its endpoints. */
  readonly endpoints: readonly ReplayEndpoint[];
  /** Its events, in order. */
  readonly steps: readonly ReplayStep[];
  /** Number of events that are not played. */
  readonly skipped: number;
  /** The same by kind and reason, in the order of first occurrence. */
  readonly leftOut: readonly LeftOut[];
  /** What is wrong with the end of the file; undefined if nothing is. */
  readonly defect: string | undefined;
}

/** Events of one kind that are not played, for one reason. */
export interface LeftOut {
  /** The kind. */
  readonly kind: number;
  /** The reason. */
  readonly reason: NotPlayed;
  /** Their number. */
  readonly count: number;
}

/** Counts what is not played. */
export class LeftOutCount {
  readonly #counts = new Map<string, { kind: number; reason: NotPlayed; count: number }>();

  /** Counts one event. */
  add(kind: number, reason: NotPlayed): void {
    const key = `${kind} ${reason}`;
    const entry = this.#counts.get(key) ?? { kind, reason, count: 0 };
    entry.count++;
    this.#counts.set(key, entry);
  }

  /** All counts so far. */
  list(): LeftOut[] {
    return [...this.#counts.values()];
  }
}

interface Draft {
  recorded: number;
  name: string;
  vmid: number;
  seams: Map<Source, boolean>;
  heads: Set<number>;
  consoles: Map<number, RecordedConsole>;
}

/**
 * Reads a recording.
 *
 * @param file name in messages
 * @throws {Fault} `bad-argument` when it is not a recording; a truncated file is played up to its end
 */
export function planReplay(bytes: Uint8Array, file: string): ReplayPlan {
  const drafts = new Map<number, Draft>();
  const steps: ReplayStep[] = [];
  const leftOut = new LeftOutCount();
  let skipped = 0;
  let header: RecordingHeader | undefined;
  let defect: string | undefined;
  let dueNs = 0;
  for (const item of decodeRecording(bytes)) {
    if (item.type === "defect") defect = item.why;
    else if (item.type === "header") {
      header = item.header;
      for (const entry of header.roster) addEndpoint(drafts, entry);
    } else {
      const { event } = item;
      if (event.kind === KIND.ROSTER) addLate(drafts, event);
      const draft = drafts.get(event.endpoint);
      const { source } = event;
      const reason = whyNotPlayed(event) ?? (draft === undefined ? "endpoint" : undefined);
      if (reason !== undefined || draft === undefined || !isSeam(source)) {
        leftOut.add(event.kind, reason ?? "endpoint");
        skipped++;
        continue;
      }
      if (!draft.seams.has(source)) draft.seams.set(source, false);
      if (event.console !== undefined) {
        draft.consoles.set(consolePieceOf(event.inline).port, event.console);
      }
      if (event.picture !== undefined) draft.heads.add(event.picture.head);
      // Retained events are older than the recording, and urgent ones overtake others; neither moves the time
      // back.
      dueNs = Math.max(dueNs, event.tsNs - (header?.startedNs ?? 0));
      steps.push({ dueNs, event });
    }
  }
  if (header === undefined) {
    throw new Fault(
      "bad-argument",
      `Cannot replay ${file}: ${defect ?? "it is empty"}; give a file that vmsig record wrote`,
    );
  }
  // Replayed screens emit FRAME_INFO themselves with each picture.
  const played = steps.filter(({ event }) => {
    const isTold = event.kind === KIND.FRAME_INFO &&
      drafts.get(event.endpoint)?.heads.has(headOf(event)) === true;
    if (isTold) leftOut.add(event.kind, "picture");
    return !isTold;
  });
  skipped += steps.length - played.length;
  return {
    endpoints: [...drafts.values()],
    steps: withSources(steps, played),
    skipped,
    leftOut: leftOut.list(),
    defect,
  };
}

/**
 * The steps, with each picture's origin taken from its head's FRAME_INFO: the last one before it, or else the
 * first one after it, since a picture may be recorded before its event.
 */
function withSources(all: readonly ReplayStep[], played: readonly ReplayStep[]): ReplayStep[] {
  const keyOf = (event: RecordedEvent, head: number): number => event.endpoint * MAX_HEADS + head;
  const sources = new Map<number, number>();
  for (const { event } of all.toReversed()) note(event);
  const known = new Map<RecordedEvent, number>();
  for (const { event } of all) {
    note(event);
    const { picture } = event;
    const source = picture === undefined ? undefined : sources.get(keyOf(event, picture.head));
    if (source !== undefined) known.set(event, source);
  }
  function note(event: RecordedEvent): void {
    if (event.kind !== KIND.FRAME_INFO || headOf(event) >= MAX_HEADS) return;
    const source = new DataView(event.inline.buffer, event.inline.byteOffset)
      .getUint16(FRAME_INFO.at.source, true);
    if (FRAME_SOURCES.has(source)) sources.set(keyOf(event, headOf(event)), source);
  }
  return played.map(({ dueNs, event }) => {
    const { picture } = event;
    if (picture === undefined) return { dueNs, event };
    // Also if none is known: the origin that the file claims has not been checked.
    return { dueNs, event: { ...event, picture: { ...picture, source: known.get(event) } } };
  });
}

function headOf({ inline }: RecordedEvent): number {
  return new DataView(inline.buffer, inline.byteOffset).getUint16(FRAME_INFO.at.head, true);
}

function addEndpoint(drafts: Map<number, Draft>, entry: RecordingHeader["roster"][number]): void {
  const seams = new Map<Source, boolean>();
  for (const seam of entry.seams) {
    const source = sourceByName(seam);
    // A file may contain anything: what is not a seam gets no adapter.
    if (source !== undefined && isSeam(source)) seams.set(source, true);
  }
  drafts.set(entry.endpoint, {
    recorded: entry.endpoint,
    name: entry.name,
    vmid: entry.vmid,
    seams,
    heads: new Set(),
    consoles: new Map(),
  });
}

/** An endpoint that was attached during the recording. */
function addLate(drafts: Map<number, Draft>, event: RecordedEvent): void {
  if (drafts.has(event.endpoint) || event.endpoint >= MAX_ENDPOINTS) return;
  const view = new DataView(event.inline.buffer, event.inline.byteOffset, event.inline.byteLength);
  const name = readText(event.inline, ROSTER.at.name, 32);
  const isTaken = [...drafts.values()].some((draft) => draft.name === name);
  if (name === "" || isTaken) return;
  const vmid = view.getUint32(ROSTER.at.vmid, true);
  drafts.set(event.endpoint, {
    recorded: event.endpoint,
    name,
    vmid,
    seams: new Map(),
    heads: new Set(),
    consoles: new Map(),
  });
}
