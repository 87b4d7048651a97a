/** Recordings: a file of somebody's, read whole and planned to be played. */
import type { EndpointId } from "../../src/base/ids.ts";
import { assert } from "@std/assert";
import { packRects, paintPicture } from "../../src/event/recorded_picture.ts";
import { planReplay } from "../../src/daemon/replay_plan.ts";
import { KIND } from "../../src/event/kind.ts";
import { consolePieceOf, MAX_RECORDED_CONSOLES } from "../../src/event/recorded_console.ts";
import {
  decodeRecording,
  encodeRecordedEvent,
  encodeRecordingHeader,
  type RecordedEvent,
} from "../../src/event/recording.ts";
import { SOURCE } from "../../src/event/source.ts";
import type { SeededRandom } from "../fixtures/seeded_random.ts";
import { Fault } from "../../src/base/fault.ts";
import { readTrace } from "../../src/client/trace/trace_model.ts";
import { TracePage } from "../../src/client/trace/trace_page.ts";
import { eventOfMark } from "../../src/event/mark_event.ts";
import { type Bytes, fuzz } from "./harness.ts";
import { CBOR_OPENERS, CBOR_WORDS, cborBytes, withDefects } from "./structured.ts";
import { joinedBytes } from "../../src/base/joined_bytes.ts";

const HEADER = {
  host: { name: "h", kernel: "6.1" },
  versions: { vmsig: "0.1.0", protocol: 1 },
  startedAt: "2026-01-01T00:00:00Z",
  startedNs: 1e12,
  roster: [{
    endpoint: 0 as EndpointId,
    name: "web",
    state: "up",
    seams: ["vmhost", "input"],
    pid: 7,
    vmid: 100,
  }],
};
const EVENT = {
  kind: KIND.VM_LIFECYCLE as number,
  source: SOURCE.VMHOST as number,
  prio: 3,
  endpoint: 0 as EndpointId,
  seq: 1,
  corr: 0,
  tsNs: 1e12 + 5,
  inline: new Uint8Array(48).fill(1),
  bodyFormat: 0,
  body: new Uint8Array(0),
  fds: 0,
};
const ROSTER = {
  ...EVENT,
  kind: KIND.ROSTER,
  source: SOURCE.CORE,
  endpoint: 3 as EndpointId,
  inline: new Uint8Array(48).fill(0x61),
};
const MEMCTX = {
  ...EVENT,
  kind: KIND.MEMCTX,
  source: SOURCE.MEMCTX,
  bodyFormat: 1,
  body: new Uint8Array(32),
  fds: 1,
};

/** A picture of 8 rows of 16 bytes, whole, and one that changes a part of it. */
const SHAPE = {
  head: 0,
  width: 4,
  height: 8,
  stride: 16,
  format: 1,
  flags: 0,
  frameId: 1,
  timestampNs: 5,
  bytes: 128,
};
const PIXELS = new Uint8Array(128).map((_, i) => i);
const FRAME = { ...EVENT, kind: KIND.FRAME_RING, source: SOURCE.FRAME, fds: 1 };
const WHOLE = {
  ...FRAME,
  picture: { ...SHAPE, whole: true, rects: [0, 0, 16, 8], data: packRects(PIXELS, 16, [[0, 0, 16, 8]]) },
};
const PART = {
  ...FRAME,
  picture: {
    ...SHAPE,
    frameId: 2,
    whole: false,
    rects: [4, 2, 8, 3],
    data: packRects(PIXELS, 16, [[4, 2, 8, 3]]),
  },
};
const COPY = { ...MEMCTX, memory: { file: "a.cbor.web.ram", bytes: 1 << 20, moving: true } };
const SAID = {
  ...EVENT,
  kind: KIND.CONSOLE_OUT as number,
  source: SOURCE.CONSOLE as number,
  // Console 1, place 0x101.
  inline: new Uint8Array(48).fill(1, 0, 1).fill(1, 8, 10),
  bodyFormat: 1,
  body: new TextEncoder().encode("login: "),
  console: { label: "serial0", role: "serial" },
};
const BEGUN = eventOfMark(0 as EndpointId, 1e12 + 6, { type: "begin", action: 1, what: 'type "a"' });
const ENDED = eventOfMark(0 as EndpointId, 1e12 + 7, {
  type: "end",
  action: 1,
  why: "timed-out",
  said: "seen",
});
const LISTED = eventOfMark(0 as EndpointId, 1e12 + 8, {
  type: "processes",
  processes: [{ pid: 1, ppid: 0, name: "init" }],
});

function made(random: SeededRandom): Bytes {
  const header: unknown = { format: "vmsig-recording", version: 1, ...HEADER };
  const one = [ROSTER, MEMCTX, EVENT, WHOLE, PART, COPY, SAID, BEGUN, ENDED, LISTED][
    random.below(10)
  ] as typeof EVENT & {
    mark?: unknown;
    picture?: unknown;
    memory?: unknown;
    console?: unknown;
  };
  const items: unknown[] = [header, one];
  // What was kept beside an event is where its defects do most: a name that leads elsewhere, a shape.
  if (one.picture !== undefined && random.oneIn(2)) {
    items[1] = { ...one, picture: withDefects(random, one.picture) };
  } else if (one.memory !== undefined && random.oneIn(2)) {
    items[1] = { ...one, memory: withDefects(random, one.memory) };
  } else if (one.mark !== undefined && random.oneIn(2)) {
    items[1] = { ...one, mark: withDefects(random, one.mark) };
  } else if (one.console !== undefined && random.oneIn(2)) {
    items[1] = { ...one, console: withDefects(random, one.console) };
  }
  const at = random.below(items.length);
  items[at] = withDefects(random, items[at]);
  return joinedBytes(items.map(cborBytes));
}

/** A defect is told in one line. */
const MOST_CHARACTERS = 500;

/** What a replay does with what was kept: painted whole, or not at all; a name that stays in its folder. */
function kept({ picture, memory, console, inline, body }: RecordedEvent, end: string): string {
  if (console !== undefined) {
    const { port, offset } = consolePieceOf(inline);
    assert(port < MAX_RECORDED_CONSOLES && body.length > 0 && Number.isSafeInteger(offset + body.length));
    assert(console.label.length <= 64 && ["serial", "virtio-console"].includes(console.role));
    return end;
  }
  if (memory !== undefined) {
    assert(memory.file !== "" && !/[/\0]/.test(memory.file) && memory.file !== "." && memory.file !== "..");
    assert(Number.isSafeInteger(memory.bytes) && memory.bytes > 0);
    return end;
  }
  // A large frame costs what it costs a replay; it is no other code.
  if (picture === undefined || picture.bytes > 1 << 16) return end;
  const frame = new Uint8Array(picture.bytes).fill(7);
  if (!paintPicture(frame, picture)) {
    assert(frame.every((byte) => byte === 7), "a refused picture paints nothing");
  }
  return end;
}

function items(input: Bytes): string {
  let end = "whole";
  let index = 0;
  for (const item of decodeRecording(input)) {
    assert(end === "whole", "a defect is the last item");
    assert(item.type !== "header" || index === 0);
    if (item.type === "defect") {
      end = "defect";
      assert(item.why.length < MOST_CHARACTERS, `a defect told in ${item.why.length} characters`);
    } else if (item.type === "event") end = kept(item.event, end);
    index++;
  }
  trace(input);
  return end;
}

/** What `vmsig trace` makes of it: a page, or one Fault; and nothing in the page ends its data early. */
function trace(input: Bytes): void {
  for (const item of decodeRecording(input)) {
    if (item.type === "event" && (item.event.picture?.bytes ?? 0) > 1 << 16) return;
  }
  const page = new TracePage();
  const frames = readTrace(input);
  try {
    for (;;) {
      const { done, value } = frames.next();
      if (!done) {
        page.add(value);
        continue;
      }
      const text = [...page.parts(value, "x")].join("");
      assert(text.split("</script>").length === 3, "the data ends where it ends");
      return;
    }
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    assert(error.code === "bad-argument", error.message);
  }
}

fuzz({
  name: "recording",
  corpus: () => [
    joinedBytes([encodeRecordingHeader(HEADER), encodeRecordedEvent(EVENT), encodeRecordedEvent(ROSTER)]),
    joinedBytes([
      encodeRecordingHeader({ ...HEADER, roster: [] }),
      encodeRecordedEvent(MEMCTX),
      encodeRecordedEvent(EVENT),
    ]),
    joinedBytes([encodeRecordingHeader(HEADER), encodeRecordedEvent(WHOLE), encodeRecordedEvent(PART)]),
    joinedBytes([encodeRecordingHeader(HEADER), encodeRecordedEvent(COPY)]),
    joinedBytes([
      encodeRecordingHeader(HEADER),
      ...[BEGUN, WHOLE, ENDED, PART, LISTED].map((event) => encodeRecordedEvent(event)),
    ]),
    joinedBytes([encodeRecordingHeader(HEADER), encodeRecordedEvent(SAID), encodeRecordedEvent(SAID)]),
    encodeRecordingHeader(HEADER),
  ],
  make: made,
  largest: 8192,
  words: [
    ...CBOR_WORDS,
    ...Object.keys({
      ...HEADER,
      ...EVENT,
      ...WHOLE.picture,
      ...COPY.memory,
      ...SAID.console,
      console: 0,
      picture: 0,
      memory: 0,
      format: 0,
      version: 0,
    }).map(cborBytes),
  ],
  openers: CBOR_OPENERS,
  decode: (input, random) => {
    if (random.oneIn(2)) return items(input);
    const { steps, endpoints, defect } = planReplay(input, "it");
    for (const { dueNs } of steps) assert(dueNs >= 0 && Number.isFinite(dueNs));
    for (const { name, recorded } of endpoints) assert(typeof name === "string" && recorded < 64);
    assert(defect === undefined || defect.length < MOST_CHARACTERS);
    return steps.length > 0 ? "plan" : "plan of nothing";
  },
  mustMeet: ["whole", "defect", "plan", "plan of nothing", "fault:bad-argument"],
});
