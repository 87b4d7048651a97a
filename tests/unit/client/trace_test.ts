/** A trace that was cut at any byte is read up to the cut; what is in it stays data in the page. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import { type EndpointId, NO_ENDPOINT } from "../../../src/base/ids.ts";
import { joinedBytes } from "../../../src/base/joined_bytes.ts";
import { eventOfMark } from "../../../src/event/mark_event.ts";
import { packRects } from "../../../src/event/recorded_picture.ts";
import { encodeRecordedEvent, encodeRecordingHeader } from "../../../src/event/recording.ts";
import { KIND } from "../../../src/event/kind.ts";
import { SOURCE } from "../../../src/event/source.ts";
import { readTrace, type TraceFrame, type TraceModel } from "../../../src/client/trace/trace_model.ts";
import { filmSize, GifFilm } from "../../../src/client/trace/trace_film.ts";
import { TracePage } from "../../../src/client/trace/trace_page.ts";

const endpoint = 0 as EndpointId;
const START = 1e12;
const at = (ms: number) => START + ms * 1e6;
const pixels = new Uint8Array(128).map((_, i) => i);
const shape = {
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
const event = {
  source: SOURCE.FRAME,
  prio: 1,
  endpoint,
  seq: 0,
  corr: 0,
  inline: new Uint8Array(48),
  bodyFormat: 0,
  body: new Uint8Array(0),
  fds: 1,
};
const picture = (ms: number, rects: [number, number, number, number], whole: boolean) =>
  encodeRecordedEvent({
    ...event,
    kind: KIND.FRAME_RING,
    tsNs: at(ms),
    picture: { ...shape, whole, rects, data: packRects(pixels, 16, [rects]) },
  });

function recording(): Uint8Array {
  return joinedBytes([
    encodeRecordingHeader({
      host: { name: "h</script>", kernel: "6.1" },
      versions: { vmsig: "1" },
      startedAt: "2026-01-01T00:00:00Z",
      startedNs: START,
      roster: [{ endpoint, name: "web", state: "up", seams: [], pid: 1, vmid: 0 }],
    }),
    picture(1, [0, 0, 16, 8], true),
    encodeRecordedEvent(
      eventOfMark(endpoint, at(2), { type: "begin", action: 1, what: "type </script><b>\u202e" }),
    ),
    picture(3, [4, 2, 8, 3], false),
    encodeRecordedEvent(eventOfMark(endpoint, at(4), { type: "end", action: 1, why: "timed-out: no" })),
    encodeRecordedEvent(
      eventOfMark(endpoint, at(5), {
        type: "processes",
        processes: [{ pid: 1, ppid: 0, name: "init\x1b[2J" }],
      }),
    ),
  ]);
}

function read(bytes: Uint8Array): { frames: TraceFrame[]; model: TraceModel } {
  const frames: TraceFrame[] = [];
  const reading = readTrace(bytes);
  for (;;) {
    const { done, value } = reading.next();
    if (done) return { frames, model: value };
    frames.push(value);
  }
}

Deno.test("trace: actions, pictures and processes with their times", () => {
  const { frames, model } = read(recording());
  assertEquals(frames.map(({ t, screen }) => [t, screen]), [[1, "web"], [3, "web"]]);
  const [action] = model.actions;
  assertEquals([action?.t, action?.end, action?.vm, action?.why], [2, 4, "web", "timed-out: no"]);
  assertEquals(model.processes.length, 1);
  assertEquals(model.defect, "");
  assertEquals(model.durationMs, 5);
  const page = new TracePage();
  for (const frame of frames) page.add(frame);
  const text = [...page.parts(model, "run</title>.vmsig")].join("");
  assertEquals(text.split("</script>").length, 3);
  assert(!text.includes("\u202e") && !text.includes("\u001b"));
  assert(!text.includes("</title>.vmsig"));
});

Deno.test("trace: what an action answered is told beside it, shortened and in one line", () => {
  const mark = (mark: Parameters<typeof eventOfMark>[2], ms: number) =>
    encodeRecordedEvent(eventOfMark(endpoint, at(ms), mark));
  const { model } = read(joinedBytes([
    recording(),
    mark({ type: "begin", action: 2, what: "wait" }, 6),
    mark({ type: "end", action: 2, why: "", said: `seen\n${"x".repeat(3000)}\u202e` }, 7),
  ]));
  const [before, action] = model.actions;
  assertEquals(before?.said, "");
  assertEquals([action?.why, action?.said.startsWith("seen"), action?.said.includes("\n")], [
    "",
    true,
    false,
  ]);
  assert((action?.said.length ?? 0) <= 1100 && !action?.said.includes("\u202e"));
  // One that is not a text spoils the recording from there on, like every other field.
  const wrong = { type: "end", action: 1, why: "", said: 5 } as never;
  assert(read(joinedBytes([recording(), mark(wrong, 8)])).model.defect !== "");
});

Deno.test("trace: what is of no VM names none", () => {
  const audit = { ...event, kind: KIND.AUDIT, source: SOURCE.CORE, fds: 0 };
  const { model } = read(joinedBytes([
    recording(),
    encodeRecordedEvent({ ...audit, endpoint: NO_ENDPOINT, tsNs: at(6) }),
    encodeRecordedEvent({ ...audit, endpoint: 7 as EndpointId, tsNs: at(7) }),
  ]));
  assertEquals(model.events.filter(({ kind }) => kind === "AUDIT").map(({ vm }) => vm), ["", "7"]);
});

Deno.test("trace: cut at any byte it is read up to there", () => {
  const whole = recording();
  let most = 0;
  for (let length = 0; length < whole.length; length++) {
    const cut = whole.subarray(0, length);
    try {
      const { model, frames } = read(cut);
      const found = model.actions.length + model.processes.length + frames.length;
      assert(found >= most, "a longer part has no less in it");
      most = found;
    } catch (error) {
      assert(error instanceof Fault && error.code === "bad-argument", String(error));
      assertEquals(most, 0);
    }
  }
  assertEquals(most, 3);
  assertThrows(() => read(new Uint8Array(0)), Fault);
});

Deno.test("trace: a film of its pictures, and none without", async () => {
  const film = new GifFilm(filmSize(recording()));
  for (const frame of read(recording()).frames) film.add({ ...frame, t: frame.t * 100 });
  const bytes = await film.finish();
  assertEquals(new TextDecoder().decode(bytes.subarray(0, 6)), "GIF89a");
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  assertEquals([view.getUint16(6, true), view.getUint16(8, true)], [4, 8]);
  assertThrows(() => new GifFilm({ width: 1, height: 1 }).finish(), Fault, "no pictures");
});
