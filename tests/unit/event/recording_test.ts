import type { EndpointId } from "../../../src/base/ids.ts";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { encode } from "cborg";
import {
  decodeRecording,
  encodeRecordedEvent,
  encodeRecordingHeader,
  type RecordedEvent,
  type RecordingHeader,
  type RecordingItem,
} from "../../../src/event/recording.ts";
import { joinedBytes } from "../../../src/base/joined_bytes.ts";

const HEADER: RecordingHeader = {
  host: { name: "h", kernel: "6.1" },
  versions: { vmsig: "0.1.0", protocol: 1 },
  startedAt: "2026-01-01T00:00:00.000Z",
  startedNs: 5000,
  roster: [{ endpoint: 3 as EndpointId, name: "web", state: "up", seams: ["vmhost"], pid: 1, vmid: 2 }],
};
const EVENT: RecordedEvent = {
  kind: 49,
  source: 5,
  prio: 3,
  endpoint: 3 as EndpointId,
  seq: 9,
  corr: 0,
  tsNs: 123_456_789_012_345,
  inline: Uint8Array.from({ length: 48 }, (_, i) => i),
  bodyFormat: 0,
  body: new Uint8Array(0),
  fds: 0,
};

function read(bytes: Uint8Array): RecordingItem[] {
  return [...decodeRecording(bytes)];
}

function whyOf(bytes: Uint8Array): string {
  const last = read(bytes).at(-1);
  assert(last?.type === "defect", JSON.stringify(last));
  return last.why;
}

Deno.test("what is written is read", () => {
  const withBody = { ...EVENT, kind: 84, bodyFormat: 2, body: encode({ a: 1 }), fds: 0 };
  const withFds = { ...EVENT, kind: 77, bodyFormat: 1, body: new Uint8Array(32), fds: 2 };
  const items = read(
    joinedBytes([
      encodeRecordingHeader(HEADER),
      encodeRecordedEvent(EVENT),
      encodeRecordedEvent(withBody),
      encodeRecordedEvent(withFds),
    ]),
  );
  assertEquals(items, [
    { type: "header", header: HEADER },
    { type: "event", event: EVENT },
    { type: "event", event: withBody },
    { type: "event", event: withFds },
  ]);
});

Deno.test("a file that was cut off is good up to its last whole item", () => {
  const head = encodeRecordingHeader(HEADER);
  const event = encodeRecordedEvent(EVENT);
  const whole = joinedBytes([head, event, event]);
  for (let length = 0; length < whole.length; length++) {
    const items = read(whole.subarray(0, length));
    const good = items.filter(({ type }) => type !== "defect").length;
    const expected = length < head.length ? 0 : 1 + Math.floor((length - head.length) / event.length);
    assertEquals(good, expected, `${length} bytes`);
    const isWhole = length === head.length || length === head.length + event.length;
    assertEquals(items.at(-1)?.type === "defect", !isWhole, `${length} bytes`);
  }
});

Deno.test("what is no recording, or no event, is told", () => {
  const head = encodeRecordingHeader(HEADER);
  assertStringIncludes(whyOf(new Uint8Array(0)), "empty");
  assertStringIncludes(whyOf(new TextEncoder().encode("hello, world")), "header");
  assertStringIncludes(whyOf(encode({ format: "vmsig-recording", version: 2 })), "version 2");
  const version = (value: unknown) => whyOf(encode({ format: "vmsig-recording", version: value }));
  assertStringIncludes(version({ toString: 1, valueOf: 1 }), "of version object, and 1 is needed");
  assertStringIncludes(version([{ toString: 1 }]), "of version object");
  assertEquals(
    [version("v".repeat(60_000)), version(new Uint8Array(60_000))].map((why) => why.length < 200),
    [true, true],
  );
  assertStringIncludes(whyOf(encode({ format: "vmsig-recording", version: 1 })), "incomplete");
  const roster = [{ ...HEADER.roster[0], endpoint: 64 }];
  assertStringIncludes(
    whyOf(encode({ format: "vmsig-recording", version: 1, ...HEADER, roster })),
    "roster is not valid",
  );
  const bad: Record<string, unknown>[] = [
    { kind: 64 },
    { kind: 17 },
    { kind: -1 },
    { source: 31 },
    { prio: 4 },
    { endpoint: 2 ** 32 },
    { inline: new Uint8Array(47) },
    { inline: "x" },
    { tsNs: "soon" },
    { body: new Uint8Array(65_537) },
    { fds: 9 },
  ];
  for (const part of bad) {
    assertEquals(
      whyOf(joinedBytes([head, encode({ ...EVENT, ...part })])),
      "item 1 is not an event",
      JSON.stringify(part),
    );
  }
  assertEquals(whyOf(joinedBytes([head, encode(5)])), "item 1 is not an event");
});
