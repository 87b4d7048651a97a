/**
 * What a QEMU says on D-Bus: authentication, messages with bodies of any types, and the pictures of the
 * display's listener, onto a canvas whose every write and damage is checked to lie within it.
 * @module
 */
import { assert } from "@std/assert";
import { createMemfd } from "../../ffi/memfd.ts";
import type { OwnedFd } from "../../ffi/owned_fd.ts";
import { ClientAuth } from "../../src/dbus/client_auth.ts";
import { FIXED_HEAD_BYTES, MESSAGE, readFixedHead, readHead, writeMessage } from "../../src/dbus/message.ts";
import { endOfType } from "../../src/dbus/signature.ts";
import { WireReader } from "../../src/dbus/wire_reader.ts";
import type { WireWriter } from "../../src/dbus/wire_writer.ts";
import { MemoryCanvas } from "../../src/display/canvas.ts";
import { MappedPicture } from "../../src/display/dbus/mapped_picture.ts";
import { type PictureHead, PictureSink } from "../../src/display/dbus/picture_sink.ts";
import { joined } from "../fixtures/rfb_bytes.ts";
import { AUTH_ANSWER, properties } from "../fixtures/scripted_dbus.ts";
import type { SeededRandom } from "../fixtures/seeded_random.ts";
import { type Bytes, fuzz } from "./harness.ts";

const MAX_BODY = 65_536;

/** One message, as the peer takes it: the fixed head, the head, then a picture or values. */
function message(input: Bytes, random: SeededRandom): { used: number; outcome: string } {
  if (input.length < FIXED_HEAD_BYTES) return { used: 0, outcome: "cut" };
  const fixed = readFixedHead(input, 0, MAX_BODY);
  const end = fixed.headBytes + fixed.bodyBytes;
  if (input.length < fixed.headBytes) return { used: 0, outcome: "cut" };
  const head = readHead(input, fixed);
  if (input.length < end) return { used: 0, outcome: "cut" };
  if (head.member === "Scanout" || head.member === "Update") {
    const kind = head.member === "Scanout" ? "scanout" : "update";
    return { used: end, outcome: picture(kind, input, fixed.headBytes, end, head.isLittle, random) };
  }
  const reader = new WireReader(input, head.isLittle, fixed.headBytes, end);
  for (let at = 0; at < head.signature.length; at = endOfType(head.signature, at)) {
    reader.value(head.signature, at);
  }
  assert(reader.position <= end, "no byte is read behind the body");
  return { used: end, outcome: "values" };
}

function picture(
  kind: "scanout" | "update",
  input: Bytes,
  from: number,
  to: number,
  isLittle: boolean,
  random: SeededRandom,
): string {
  const canvas = new MemoryCanvas();
  canvas.resize(16, 8);
  let outcome = "picture left";
  const owner = {
    canvas,
    begins: ({ x, y, width, height }: PictureHead) => x + width <= 16 && y + height <= 8,
    ends: ({ x, y, width, height }: PictureHead, isPainted: boolean) => {
      if (!isPainted) return;
      canvas.damage(x, y, width, height);
      outcome = "picture";
    },
  };
  const sink = new PictureSink(owner, kind, isLittle, to - from);
  for (let at = from; at < to;) {
    const end = Math.min(to, at + 1 + random.below(random.oneIn(2) ? 8 : 4096));
    sink.take(input, at, end);
    at = end;
  }
  sink.end();
  return outcome;
}

function decode(input: Bytes, random: SeededRandom): string {
  const auth = new ClientAuth();
  let used = 0;
  for (let end = 0; end < input.length && !auth.isDone;) {
    end = Math.min(input.length, end + 1 + random.below(40));
    used += auth.feed(input, used, end);
  }
  if (!auth.isDone) return "authenticating";
  let outcome = "authenticated";
  for (let i = 0; i < 8 && used < input.length; i++) {
    const next = message(input.slice(used), random);
    outcome = next.outcome;
    if (next.used === 0) break;
    used += next.used;
  }
  return outcome;
}

const FORMATS = [0x2002_0888, 0x2008_8888, 0x1802_0888, 0x1002_0565, 0x1002_0555, 1];

function call(member: string, signature: string, body: (writer: WireWriter) => void): Bytes {
  return writeMessage({
    type: MESSAGE.CALL,
    serial: 5,
    path: "/org/qemu/Display1/Listener",
    interface: "org.qemu.Display1.Listener",
    member,
    signature,
    body,
  });
}

function aPicture(random: SeededRandom, kind: "Scanout" | "Update"): Bytes {
  const format = FORMATS[random.below(FORMATS.length)] as number;
  const [width, height] = [random.below(18), random.below(10)];
  const stride = width * Math.floor(format / 0x0800_0000) + random.below(5);
  const length = Math.max(0, stride * height - (random.oneIn(4) ? 0 : random.below(4)));
  return call(kind, kind === "Scanout" ? "uuuuay" : "iiiiuuay", (writer) => {
    if (kind === "Update") writer.u32(random.below(10)).u32(random.below(6));
    for (const each of [width, height, random.oneIn(20) ? random.u32() : stride, format]) writer.u32(each);
    writer.u32(random.oneIn(20) ? random.u32() : length).raw(new Uint8Array(length));
  });
}

const PROPERTIES = writeMessage({
  type: MESSAGE.RETURN,
  serial: 2,
  replyTo: 1,
  signature: "a{sv}",
  body: properties({ Type: "Graphic", Width: 720, Height: 400, ConsoleIDs: [0, 1] }),
});
const SIGNAL = writeMessage({
  type: MESSAGE.SIGNAL,
  serial: 9,
  path: "/a",
  interface: "b.c",
  member: "d",
  signature: "sa{sv}asa(iv)g",
  body: (writer) => {
    writer.text("x");
    properties({ Width: 3 })(writer);
    writer.array(4, () => writer.text("y")).array(8, () => writer.u32(1).signature("s").text("z")).signature(
      "ay",
    );
  },
});

fuzz({
  name: "D-Bus, what QEMU's display says",
  corpus: () => [
    AUTH_ANSWER,
    joined(AUTH_ANSWER, PROPERTIES),
    joined(AUTH_ANSWER, SIGNAL, PROPERTIES),
    joined(
      AUTH_ANSWER,
      call("Scanout", "uuuuay", (writer) => {
        for (const each of [2, 2, 8, 0x2002_0888, 16]) writer.u32(each);
        writer.raw(new Uint8Array(16));
      }),
    ),
  ],
  make: (random) =>
    joined(
      random.oneIn(50) ? "REJECTED EXTERNAL\r\n" : AUTH_ANSWER,
      ...Array.from({ length: 1 + random.below(3) }, () => {
        switch (random.below(4)) {
          case 0:
            return PROPERTIES;
          case 1:
            return SIGNAL;
          default:
            return aPicture(random, random.oneIn(2) ? "Scanout" : "Update");
        }
      }),
    ),
  largest: 32_768,
  words: ["OK ", "AGREE_UNIX_FD\r\n", "REJECTED", "ERROR", "a{sv}", "aaaa", "((((", [0x6c, 1, 0, 1], [
    0x42,
    1,
    0,
    1,
  ], "uuuuay"],
  decode,
  mustMeet: [
    "authenticating",
    "authenticated",
    "values",
    "picture",
    "picture left",
    "cut",
    "fault:protocol-error",
    "fault:too-large",
    "fault:refused",
    "fault:not-supported",
  ],
});

/** What a ScanoutMap says and one UpdateMap, as ten words, of a file of one page. */
function mapped(input: Bytes): string {
  if (input.length < 36) return "cut";
  const view = new DataView(input.buffer, input.byteOffset, input.length);
  const [offset = 0, width = 0, height = 0, stride = 0, format = 0] = Array.from(
    { length: 5 },
    (_, i) => view.getUint32(4 * i, true),
  );
  using picture = MappedPicture.open(sharedFd(), { offset, width, height, stride, format });
  const canvas = new MemoryCanvas();
  canvas.resize(width, height);
  picture.paint(canvas, { x: 0, y: 0, width, height });
  const x = view.getUint32(20, true) % width;
  const y = view.getUint32(24, true) % height;
  picture.paint(canvas, {
    x,
    y,
    width: view.getUint32(28, true) % (width - x + 1),
    height: view.getUint32(32, true) % (height - y + 1),
  });
  return "painted";
}

let shared: OwnedFd | undefined;
function sharedFd(): number {
  return (shared ??= createMemfd("displaysurface", 4096)).fd;
}

fuzz({
  name: "D-Bus, a picture of QEMU's in shared memory",
  corpus: () => [
    new Uint8Array(new Uint32Array([0, 16, 8, 64, 0x2002_0888, 1, 2, 3, 4]).buffer),
    new Uint8Array(new Uint32Array([32, 5, 9, 20, 0x1802_0888, 0, 0, 5, 9]).buffer),
  ],
  make: (random) => {
    const words = [random.below(4096), random.below(40), random.below(30), random.below(200)];
    const format = FORMATS[random.below(FORMATS.length)] as number;
    const area = Array.from({ length: 4 }, () => random.oneIn(9) ? random.u32() : random.below(40));
    return new Uint8Array(new Uint32Array([...words, format, ...area]).buffer);
  },
  largest: 64,
  decode: mapped,
  share: 300,
  after: () => {
    shared?.close();
    shared = undefined;
  },
  mustMeet: ["cut", "painted", "fault:protocol-error", "fault:not-supported", "fault:too-large"],
});
