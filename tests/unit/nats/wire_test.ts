/** What travels: envelopes, entries of the roster, wants, pictures, credentials. */
import { assertEquals, assertThrows } from "@std/assert";
import { nkeys } from "@nats-io/nats-core";
import type { EndpointId } from "../../../src/base/ids.ts";
import { Fault } from "../../../src/base/fault.ts";
import { SOURCE } from "../../../src/event/source.ts";
import { credentialsOf, readCredentials } from "../../../src/nats/wire/credentials.ts";
import { ENVELOPE_BYTES, OP, opened, sealed } from "../../../src/nats/wire/envelope.ts";
import { type HostEntry, readHostEntry, writeHostEntry } from "../../../src/nats/wire/host_entry.ts";
import { serversOf } from "../../../src/nats/wire/nats_link.ts";
import { PictureAssembler, pictureParts } from "../../../src/nats/wire/picture_parts.ts";
import { readWant, writeWant } from "../../../src/nats/wire/want.ts";
import { Wants } from "../../../src/nats/join/wants.ts";
import { isInboxOf } from "../../../src/nats/join/session_desk.ts";

const READER = "0123456789abcdef0123456789abcdef";

Deno.test("an envelope comes back as it went; one of another version is not opened", () => {
  const bytes = sealed(OP.COMMAND, { seq: 7, atMs: 12.5, life: 3 }, Uint8Array.of(1, 2));
  assertEquals(opened(bytes), { op: OP.COMMAND, seq: 7, atMs: 12.5, life: 3, body: Uint8Array.of(1, 2) });
  for (const [at, value] of [[0, 2], [2, 1], [20, 1]] as const) {
    const other = bytes.slice();
    other[at] = value;
    assertEquals(opened(other), undefined);
  }
  const never = sealed(OP.COMMAND, { atMs: NaN });
  assertEquals([opened(never), opened(bytes.subarray(0, ENVELOPE_BYTES - 1))], [undefined, undefined]);
});

const ENTRY: HostEntry = {
  ...{ v: 1, vmsig: "0.1.0", host: "rack1", run: "r", machine: "m", pid: 4, isUp: true },
  endpoints: [{
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
  }],
};

Deno.test("an entry of the roster comes back; keys that are new are left out, and what is none is none", () => {
  assertEquals(readHostEntry(writeHostEntry(ENTRY)), ENTRY);
  const json = (value: object) => new TextEncoder().encode(JSON.stringify(value));
  assertEquals(readHostEntry(json({ ...ENTRY, newer: [1] })), ENTRY);
  const [each] = ENTRY.endpoints;
  for (
    const bad of [
      { ...ENTRY, host: "" },
      { ...ENTRY, endpoints: Array(65).fill(each) },
      { ...ENTRY, endpoints: [{ ...each, endpoint: 64 as EndpointId }] },
      { ...ENTRY, endpoints: [{ ...each, seams: [1] }] },
      { ...ENTRY, endpoints: [[]] },
    ]
  ) assertEquals(readHostEntry(json(bad)), undefined);
  assertEquals(readHostEntry(new TextEncoder().encode("[".repeat(1000))), undefined);
});

Deno.test("wants: together, until they are not said again", () => {
  const want = { reader: READER, sources: 1 << SOURCE.CORE, ttlMs: 100 };
  assertEquals(readWant(writeWant(want)), want);
  assertEquals(readWant(new TextEncoder().encode('{"reader":"short","sources":[]}')), undefined);
  const wants = new Wants();
  wants.take("a", want, 0);
  wants.take("b", { ...want, sources: 1 << SOURCE.VMHOST, ttlMs: 500 }, 0);
  assertEquals(wants.sources, 1 << SOURCE.CORE | 1 << SOURCE.VMHOST);
  wants.expire(200);
  assertEquals([wants.sources, wants.readers], [1 << SOURCE.VMHOST, 1]);
  wants.take("b", { ...want, sources: 0 }, 300);
  assertEquals([wants.sources, wants.readers], [0, 0]);
});

Deno.test("a picture travels in parts; what does not fit together is none", () => {
  const about = {
    ...{
      endpoint: 1 as EndpointId,
      head: 0,
      width: 640,
      height: 480,
      stride: 2560,
      format: 1,
      frameId: 5,
      timestampNs: 6,
    },
    ...{ flags: 0, source: 3, device: "vga" },
  };
  const pixels = crypto.getRandomValues(new Uint8Array(65_536));
  const whole = new Uint8Array(2560 * 480);
  for (let at = 0; at < whole.length; at += pixels.length) {
    whole.set(pixels.subarray(0, whole.length - at), at);
  }
  for (const format of [1, 2]) {
    const parts = pictureParts(9, { ...about, format }, whole);
    const assembler = new PictureAssembler();
    const pictures = parts.map((part) => assembler.take(part)).filter((each) => each !== undefined);
    assertEquals(pictures.length, 1);
    assertEquals(pictures[0]?.about, { ...about, format });
    assertEquals(pictures[0]?.pixels, whole);
    // One part missing, or twice: nothing.
    assertEquals(parts.slice(1).map((part) => assembler.take(part)).filter((each) => each).length, 0);
  }
  const lie = pictureParts(1, { ...about, height: 481 }, whole);
  const assembler = new PictureAssembler();
  assertEquals(lie.map((part) => assembler.take(part)).filter((each) => each).length, 0);
});

Deno.test("credentials: three forms, by their own words; others must not read them", () => {
  const seed = new TextDecoder().decode(nkeys.createUser().getSeed());
  assertEquals(credentialsOf(`${seed}\n`, "f").user.startsWith("U"), true);
  assertEquals(credentialsOf("alice:a:b\n", "f").user, "alice");
  const claims = btoa(JSON.stringify({ name: "bob", exp: 1_700_000_000 })).replaceAll("=", "");
  const jwt = `-----BEGIN NATS USER JWT-----\nx.${claims}.y\n------END NATS USER JWT------\n`;
  const found = credentialsOf(jwt, "f");
  assertEquals([found.user, found.untilMs], ["bob", 1_700_000_000_000]);
  for (const text of ["", "secret", "SUNOTASEED", "a b:c"]) {
    assertThrows(() => credentialsOf(text, "f"), Fault, "holds neither");
  }
  const path = Deno.makeTempFileSync();
  try {
    Deno.writeTextFileSync(path, "a:b");
    Deno.chmodSync(path, 0o644);
    assertThrows(() => readCredentials(path), Fault, "chmod 600");
  } finally {
    Deno.removeSync(path);
  }
  assertThrows(() => readCredentials(`${path}.not`), Fault, "no such file");
});

Deno.test("addresses: nats or tls, and no secrets in them", () => {
  assertEquals(serversOf("nats://a:1, tls://b"), ["nats://a:1", "tls://b"]);
  assertThrows(() => serversOf("nats://u:p@a"), Fault, "holds credentials");
  assertThrows(() => serversOf("http://a"), Fault, "neither nats:// nor tls://");
  assertThrows(() => serversOf("a b"), Fault, "not a valid address");
  assertThrows(() => serversOf(""), Fault, "empty");
});

Deno.test("answers go to the asker's inbox and nowhere else", () => {
  assertEquals(isInboxOf("_INBOX.alice.r.s.h", "alice"), true);
  for (
    const reply of [
      ...[undefined, "", "vmsig.rack2.req.bob.x.cmd", "_INBOX.alicex.r", "_INBOX.bob.r", "_INBOX.alice."],
      ...[
        "_INBOX.alice.*",
        "_INBOX.alice.>",
        "_INBOX.alice.a b",
        `_INBOX.alice.${"x".repeat(300)}`,
        "$JS.ACK.x",
      ],
    ]
  ) assertEquals(isInboxOf(reply, "alice"), false, reply);
});
