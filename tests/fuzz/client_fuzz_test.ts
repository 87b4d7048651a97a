/**
 * What a client takes from whoever listens at the daemon's socket: WELCOME, REFUSED, and events with their
 * bodies, as fields for people.
 */
import { assert } from "@std/assert";
import { checkFrame } from "../../src/protocol/frame.ts";
import { ROWS } from "../../src/event/catalogue.ts";
import { LAYOUT_OF_KIND } from "../../src/event/kind_layout.ts";
import { KIND, KIND_CLASS, KIND_MAX } from "../../src/event/kind.ts";
import { fullGrant } from "../../src/access/grant.ts";
import type { ControlId } from "../../src/base/ids.ts";
import { ClientEvent } from "../../src/client/client_event.ts";
import { describeEvent, memorySegments } from "../../src/client/describe_event.ts";
import { refusalOf, welcomeOf } from "../../src/client/handshake.ts";
import { RosterView } from "../../src/client/roster_view.ts";
import type { TypedKind } from "../../src/client/typed_body.ts";
import { refusedFrame, welcomeFrame } from "../../src/protocol/opening_frame.ts";
import type { SeededRandom } from "../fixtures/seeded_random.ts";
import { type Bytes, bytesOf, fuzz } from "./harness.ts";
import { CBOR_OPENERS, CBOR_WORDS, cborBytes, withDefects } from "./structured.ts";

const HEADER_BYTES = 96;
const WELCOME = {
  proto: 1,
  control: 7,
  principal: 1000,
  endpoints: 5,
  sources: 127,
  caps: 8191,
  arb_prio: 10,
  kinds: 113,
};
const REFUSED = { code: 17, reason: "nobody lets you in" };
const AUDIT = {
  ns: 1,
  principal: 1000,
  control: 7,
  endpoint: 0,
  kind: 70,
  code: 2,
  cls: 1,
  token: 5,
  detail: "why",
};

fuzz({
  name: "WELCOME",
  corpus: () => [
    welcomeFrame({ ...fullGrant(1000), control: 7 as ControlId, kinds: 113, as: "" }).subarray(
      HEADER_BYTES,
    ),
    cborBytes(WELCOME),
  ],
  make: (random) => cborBytes(withDefects(random, WELCOME)),
  largest: 8192,
  words: [...CBOR_WORDS, ...[...Object.keys(WELCOME), "as", "token:alice"].map(cborBytes)],
  openers: CBOR_OPENERS,
  decode: (body) => {
    const welcome = welcomeOf(body);
    assert(welcome.endpoints.lo >= 0 && welcome.capNames.every((name) => typeof name === "string"));
    return "welcome";
  },
  mustMeet: ["welcome", "fault:protocol-error"],
});

fuzz({
  name: "REFUSED",
  corpus: () => [
    refusedFrame(17, "uid 1000 is not admitted; add an [[admission]]").subarray(HEADER_BYTES),
    cborBytes({ code: 18, reason: "" }),
  ],
  make: (random) => cborBytes(withDefects(random, REFUSED)),
  largest: 8192,
  words: [...CBOR_WORDS, ...Object.keys(REFUSED).map(cborBytes)],
  openers: CBOR_OPENERS,
  decode: (body) => {
    const refusal = refusalOf(body, "/run/x.sock");
    assert(refusal.message.startsWith("Cannot join the bus"));
    return refusal.code;
  },
  mustMeet: ["not-admitted", "busy", "refused", "fault:protocol-error"],
});

function frame(kind: number, format: number, body: Uint8Array): Bytes {
  const bytes = new Uint8Array(HEADER_BYTES + body.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x31475356, true);
  view.setUint16(4, kind, true);
  bytes[6] = 1 + kind % 6;
  bytes[7] = KIND_CLASS[kind] === 2 || kind === KIND.HELLO ? 1 : 0;
  bytes[8] = kind % 4;
  bytes[9] = format;
  view.setUint32(24, body.length, true);
  for (let at = 32; at < HEADER_BYTES; at++) bytes[at] = at * kind;
  bytes.set(body, HEADER_BYTES);
  return bytes;
}

const kinds = LAYOUT_OF_KIND.map((_, kind) => kind).filter((kind) =>
  kind < KIND_MAX && KIND_CLASS[kind] !== 0
);
const segments = new Uint8Array(new BigUint64Array([0n, 0n, 4096n, 0n, 2n ** 32n, 4096n, 8192n, 1n]).buffer);

function event(random: SeededRandom): Bytes {
  const body = random.oneIn(8) ? segments : cborBytes(withDefects(random, AUDIT));
  return frame(kinds[random.below(kinds.length)] as number, body === segments ? 1 : 2, body);
}

fuzz({
  name: "events, as a client describes them",
  corpus: () => [
    ...kinds.map((kind) => frame(kind, 0, new Uint8Array(0))),
    frame(KIND.AUDIT, 2, cborBytes(AUDIT)),
    frame(KIND.MEMCTX, 1, segments),
    frame(KIND.ERROR, 1, bytesOf("raw")),
  ],
  make: event,
  // Not the daemon's loop, but a client's program: only that it comes to an end.
  largest: 8192,
  words: CBOR_WORDS,
  openers: CBOR_OPENERS,
  repair: (input) => {
    if (input.length < HEADER_BYTES) return;
    const view = new DataView(input.buffer);
    view.setUint32(0, 0x31475356, true);
    view.setUint32(24, input.length - HEADER_BYTES, true);
    view.setUint32(28, 0, true);
    view.setUint16(10, 0, true);
    if (view.getUint16(4, true) >= KIND_MAX) view.setUint16(4, KIND.AUDIT, true);
  },
  decode: (input) => {
    const view = new DataView(input.buffer);
    const defect = checkFrame(view, 0, input.length, 0);
    if (defect !== "") return "no frame";
    using received = new ClientEvent(view, 0);
    const described = describeEvent(received);
    for (const [name, row] of ROWS) if (row.inline !== null) received.as(name as TypedKind);
    for (const { bytes } of memorySegments(received)) assert(bytes >= 0);
    const roster = new RosterView();
    roster.update(received);
    assert(roster.list().length <= 1 && roster.nameOf(received.endpoint) !== "");
    assert(typeof JSON.stringify(described) === "string");
    return "bodyError" in described
      ? "no CBOR"
      : received.bodyFormat === 2 && received.body.length > 0
      ? "CBOR"
      : "described";
  },
  mustMeet: ["no frame", "described", "CBOR", "no CBOR"],
});
