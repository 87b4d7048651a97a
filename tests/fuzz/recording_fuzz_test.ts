/** Recordings: a file of somebody's, read whole and planned to be played. */
import { assert } from "@std/assert";
import { planReplay } from "../../src/daemon/replay_plan.ts";
import { KIND } from "../../src/event/kind.ts";
import { decodeRecording, encodeRecordedEvent, encodeRecordingHeader } from "../../src/event/recording.ts";
import { SOURCE } from "../../src/event/source.ts";
import type { SeededRandom } from "../fixtures/seeded_random.ts";
import { type Bytes, fuzz } from "./harness.ts";
import { CBOR_OPENERS, CBOR_WORDS, cborBytes, withDefects } from "./structured.ts";

const HEADER = {
  host: { name: "h", kernel: "6.1" },
  versions: { vmsig: "0.1.0", protocol: 1 },
  startedAt: "2026-01-01T00:00:00Z",
  startedNs: 1e12,
  roster: [{ endpoint: 0, name: "web", state: "up", seams: ["vmhost", "input"], pid: 7, vmid: 100 }],
};
const EVENT = {
  kind: KIND.VM_LIFECYCLE as number,
  source: SOURCE.VMHOST as number,
  prio: 3,
  endpoint: 0,
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
  endpoint: 3,
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

function file(...items: readonly Uint8Array[]): Bytes {
  const out = new Uint8Array(items.reduce((sum, item) => sum + item.length, 0));
  let at = 0;
  for (const item of items) {
    out.set(item, at);
    at += item.length;
  }
  return out;
}

function made(random: SeededRandom): Bytes {
  const header: unknown = { format: "vmsig-recording", version: 1, ...HEADER };
  const items: unknown[] = [header, random.oneIn(3) ? ROSTER : random.oneIn(2) ? MEMCTX : EVENT];
  const at = random.below(items.length);
  items[at] = withDefects(random, items[at]);
  return file(...items.map(cborBytes));
}

/** A defect is told in one line. */
const MOST_CHARACTERS = 500;

function items(input: Bytes): string {
  let end = "whole";
  let index = 0;
  for (const item of decodeRecording(input)) {
    assert(end === "whole", "a defect is the last item");
    assert(item.type !== "header" || index === 0);
    if (item.type === "defect") {
      end = "defect";
      assert(item.why.length < MOST_CHARACTERS, `a defect told in ${item.why.length} characters`);
    }
    index++;
  }
  return end;
}

fuzz({
  name: "recording",
  corpus: () => [
    file(encodeRecordingHeader(HEADER), encodeRecordedEvent(EVENT), encodeRecordedEvent(ROSTER)),
    file(
      encodeRecordingHeader({ ...HEADER, roster: [] }),
      encodeRecordedEvent(MEMCTX),
      encodeRecordedEvent(EVENT),
    ),
    encodeRecordingHeader(HEADER),
  ],
  make: made,
  largest: 8192,
  words: [...CBOR_WORDS, ...Object.keys({ ...HEADER, ...EVENT, format: 0, version: 0 }).map(cborBytes)],
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
