/**
 * What comes over NATS, from whoever may publish there: envelopes with frames, roster entries, wants,
 * pictures, subjects. Whatever it is, it is understood or it is nothing.
 */
import { assert, assertEquals } from "@std/assert";
import type { EndpointId } from "../../src/base/ids.ts";
import { KIND } from "../../src/event/kind.ts";
import { checkFrame } from "../../src/protocol/frame.ts";
import { KeptAnswers } from "../../src/nats/join/kept_answers.ts";
import { Wants } from "../../src/nats/join/wants.ts";
import { OP, opened, sealed } from "../../src/nats/wire/envelope.ts";
import { readHostEntry, writeHostEntry } from "../../src/nats/wire/host_entry.ts";
import { ackFrame, refusalFrames, rosterFrame } from "../../src/nats/wire/made_frames.ts";
import { PictureAssembler, pictureParts } from "../../src/nats/wire/picture_parts.ts";
import { isName, nameOfToken, requesterOf, requestSubject, token } from "../../src/nats/wire/subjects.ts";
import { readWant, writeWant } from "../../src/nats/wire/want.ts";
import { bytesOf, fuzz } from "./harness.ts";

const READER = "0123456789abcdef0123456789abcdef";
const endpoint = {
  ...{
    endpoint: 3 as EndpointId,
    life: 2,
    name: "web",
    state: "up",
    seams: ["frame", "input"],
    pid: 9,
    vmid: 0,
  },
  ...{ run: "running", display: "vram", leases: { input: "nats:alice" } },
};
const entry = {
  v: 1,
  vmsig: "0.1.0",
  host: "rack1",
  run: "r",
  machine: "m",
  pid: 4,
  isUp: true,
  endpoints: [endpoint],
};
const about = {
  ...{
    endpoint: 1 as EndpointId,
    head: 0,
    width: 16,
    height: 8,
    stride: 64,
    format: 1,
    frameId: 5,
    timestampNs: 6,
  },
  ...{ flags: 0, source: 3, device: "vga" },
};

fuzz({
  name: "nats envelopes and their frames",
  corpus: () => {
    const frame = ackFrame({ endpoint: 1 as EndpointId, corr: 2, code: 0, cmdKind: KIND.CMD_VM });
    return [
      sealed(OP.COMMAND, { seq: 1, atMs: 5, life: 1 }, frame),
      sealed(OP.ASK, { seq: 3 }),
      sealed(OP.OPEN, {}, bytesOf('{"v":1,"name":"x"}')),
      sealed(
        OP.ANSWER,
        { seq: 9 },
        refusalFrames({ endpoint: 1 as EndpointId, corr: 4, code: 10, words: "no" })[0],
      ),
      sealed(
        OP.EVENT,
        {},
        rosterFrame({ endpoint: 1 as EndpointId, state: 2, seams: 3, pid: 0, vmid: 0, name: "a/b" }),
      ),
    ];
  },
  largest: 70_000,
  decode(input) {
    const envelope = opened(input);
    if (envelope === undefined) return "none";
    const kept = new KeptAnswers();
    // A session's first request may have any number.
    if (envelope.seq > 0) {
      if (kept.look(envelope.seq).is === "new") kept.begin(envelope.seq);
      assertEquals(kept.look(envelope.seq).is, "fate");
    }
    const { body } = envelope;
    const view = new DataView(body.buffer, body.byteOffset, body.length);
    return checkFrame(view, 0, body.length, 0) === "" ? "frame" : "envelope";
  },
  mustMeet: ["none", "frame", "envelope"],
});

fuzz({
  name: "nats roster entries",
  corpus: () => [
    writeHostEntry(entry),
    writeHostEntry({ ...entry, endpoints: [] }),
    writeHostEntry({
      ...entry,
      isUp: false,
      endpoints: [endpoint, { ...endpoint, endpoint: 4 as EndpointId, leases: {} }],
    }),
  ],
  largest: 140_000,
  words: ['"endpoints":[', '"leases":{', '"__proto__":{', "null", "1e999", "-1", '"\\ud800"'],
  openers: ["[", "{", '{"a":'],
  decode(input) {
    const found = readHostEntry(input);
    if (found === undefined) return "none";
    assert(found.endpoints.length <= 64 && found.host !== "");
    assertEquals(readHostEntry(writeHostEntry(found)), found);
    return found.endpoints.length === 0 ? "empty" : "entry";
  },
  mustMeet: ["none", "entry", "empty"],
});

fuzz({
  name: "nats wants",
  corpus: () => [
    writeWant({ reader: READER, sources: 0x1f0, ttlMs: 30_000 }),
    writeWant({ reader: READER, sources: 0, ttlMs: 0 }),
  ],
  largest: 4096,
  words: ['"CORE"', '"sources":[', '"ttlMs":'],
  openers: ["[", "{"],
  decode(input) {
    const want = readWant(input);
    if (want === undefined) return "none";
    const wants = new Wants();
    wants.take("a", want, 0);
    assertEquals(wants.sources, want.ttlMs > 0 ? want.sources : 0);
    wants.expire(want.ttlMs + 1);
    assertEquals(wants.sources, 0);
    return want.sources === 0 ? "nothing" : "want";
  },
  mustMeet: ["none", "want", "nothing"],
});

fuzz({
  name: "nats pictures",
  corpus: () => pictureParts(1, about, new Uint8Array(512).map((_, i) => i)),
  largest: 300_000,
  words: ['"width":16', '"bytes":512', '"bytes":99999999', '"height":8'],
  decode(input) {
    const picture = new PictureAssembler().take(input);
    if (picture === undefined) return "none";
    assertEquals(picture.pixels.length, picture.about.stride * picture.about.height);
    return "picture";
  },
  mustMeet: ["none", "picture"],
});

fuzz({
  name: "nats subjects",
  corpus: () => [token("a.b"), token("req"), token("ü"), requestSubject("h", "alice", READER), "="],
  largest: 600,
  words: ["=41", "=2E", ".req.", ".cmd", "=", "*", ">"],
  decode(input) {
    const text = new TextDecoder().decode(input);
    const who = requesterOf(text);
    if (who !== undefined) {
      assert(isName(who.user) && token(who.user) === who.userToken);
      return "request";
    }
    const name = nameOfToken(text);
    if (name === undefined) return "none";
    assertEquals(token(name), text);
    return "name";
  },
  mustMeet: ["none", "name", "request"],
});
