/**
 * D-Bus values and messages: by the bytes that libdbus writes, there and back, and what is wrong.
 * @module
 */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import { hexOfBytes } from "../../../src/base/hex.ts";
import { MESSAGE, readFixedHead, readHead, writeMessage } from "../../../src/dbus/message.ts";
import { checkSignature } from "../../../src/dbus/signature.ts";
import { type DBusValue, MAX_VALUES, WireReader } from "../../../src/dbus/wire_reader.ts";
import { WireWriter } from "../../../src/dbus/wire_writer.ts";

function read(bytes: readonly number[], signature: string, isLittle = true): DBusValue {
  checkSignature(signature);
  const reader = new WireReader(Uint8Array.from(bytes), isLittle, 0, bytes.length);
  const value = reader.value(signature);
  assertEquals(reader.position, bytes.length, signature);
  return value;
}

Deno.test("D-Bus values in both orders of bytes", () => {
  assertEquals(read([7], "y"), 7);
  assertEquals(read([1, 0, 0, 0], "b"), true);
  assertEquals(read([0xfe, 0xff], "n"), -2);
  assertEquals(read([0xff, 0xfe], "q", false), 0xfffe);
  assertEquals(read([0xff, 0xff, 0xff, 0xff], "i"), -1);
  assertEquals(read([1, 2, 3, 4], "u", false), 0x01020304);
  assertEquals(read([0xfb, 255, 255, 255, 255, 255, 255, 255], "x"), -5);
  assertEquals(read([0, 0, 0, 0, 0, 1, 0, 0], "t"), 2 ** 40);
  assertEquals(read([0, 0, 0, 0, 0, 0, 0xf8, 0x3f], "d"), 1.5);
  assertEquals(read([3, 0, 0, 0, 0x61, 0xc3, 0xbc, 0], "s"), "aü");
  assertEquals(read([2, 0x61, 0x79, 0], "g"), "ay");
  assertEquals(read([1, 0x75, 0, 0, 9, 0, 0, 0], "v"), 9);
  assertEquals(read([3, 0, 0, 0, 1, 2, 3], "ay"), Uint8Array.from([1, 2, 3]));
  // The length of an array does not count the padding before its first element.
  assertEquals(read([8, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 6, 0, 0, 0], "a(uu)"), [[5, 6]]);
  assertEquals(
    read([10, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0x6b, 0, 1, 0x79, 0, 4], "a{sv}"),
    new Map([["k", 4]]),
  );
  assertEquals(read([0, 0, 0, 0], "as"), []);
});

const WRONG: readonly [what: string, bytes: readonly number[], signature: string, says: string][] = [
  ["cut", [1, 2, 3], "u", "ends within"],
  ["text without end", [1, 0, 0, 0, 0x61, 1], "s", "zero"],
  ["zero in a text", [2, 0, 0, 0, 0x61, 0, 0], "s", "zero"],
  ["no UTF-8", [1, 0, 0, 0, 0xff, 0], "s", "UTF-8"],
  ["endless text", [0xff, 0xff, 0xff, 0xff, 0x61, 0], "s", "ends within"],
  ["endless array", [0xff, 0xff, 0xff, 0x7f, 0, 0, 0, 0], "ay", "longer than"],
  ["array cut in an element", [5, 0, 0, 0, 1, 0, 0, 0, 2], "au", "ends within"],
  ["neither true nor false", [2, 0, 0, 0], "b", "neither"],
  ["padding", [1, 1, 0, 0, 0, 0, 0, 0], "(yu)", "padding"],
  ["variant of two", [2, 0x79, 0x79, 0, 1, 2], "v", "one type"],
  ["variant of none", [0, 0], "v", "one type"],
  ["variant of nonsense", [1, 0x7a, 0, 1], "v", "does not begin a type"],
];

Deno.test("wrong D-Bus values are a protocol error, whatever they claim", () => {
  for (const [what, bytes, signature, says] of WRONG) {
    assertEquals(assertThrows(() => read(bytes, signature), Fault, says, what).code, "protocol-error", what);
  }
  const variants = Array.from({ length: 40 }, () => [1, 0x76, 0]).flat();
  assertThrows(() => read(variants, "v"), Fault, "nested");
  const many = new Uint8Array(8 + MAX_VALUES * 4);
  new DataView(many.buffer).setUint32(0, many.length - 4, true);
  assertThrows(() => read([...many], "au"), Fault, "too many values");
});

Deno.test("signatures: what is one, and what is not", () => {
  for (const good of ["", "iiiiuuay", "a{sv}", "a{s(ii)}", "(a(yy)v)", "aaaas", "a".repeat(32) + "y"]) {
    checkSignature(good);
  }
  const bad = [
    "z",
    "a",
    "(",
    "()",
    "(i",
    "i)",
    "{sv}",
    "a{vs}",
    "a{s}",
    "a{sii}",
    "a".repeat(33) + "y",
    "y".repeat(256),
  ];
  for (const each of [...bad, "(".repeat(33) + "y" + ")".repeat(33)]) {
    assertEquals(assertThrows(() => checkSignature(each), Fault, "signature", each).code, "protocol-error");
  }
});

Deno.test("a message is as libdbus writes it, and is read back", () => {
  const bytes = writeMessage({
    type: MESSAGE.CALL,
    serial: 3,
    path: "/a",
    interface: "b.c",
    member: "D",
    signature: "s",
    body: (writer) => writer.text("xy"),
  });
  // By dbus_message_marshal of libdbus 1.14.
  const libdbus =
    "6c01000107000000030000003700000001016f00020000002f610000000000000201730003000000622e630000000000" +
    "03017300010000004400000000000000080167000173000002000000787900";
  assertEquals(hexOfBytes(bytes), libdbus);
  const fixed = readFixedHead(bytes, 0, 100);
  const head = readHead(bytes, fixed);
  assertEquals([head.type, head.serial, head.path, head.interface, head.member], [1, 3, "/a", "b.c", "D"]);
  assertEquals([head.signature, head.wantsReply, head.fds, fixed.bodyBytes], ["s", true, 0, 7]);
  const reader = new WireReader(bytes, head.isLittle, fixed.headBytes, bytes.length);
  assertEquals(reader.text(), "xy");
});

Deno.test("a message's head: what is wrong with it", () => {
  const good = writeMessage({ type: MESSAGE.RETURN, serial: 1, replyTo: 9, wantsReply: false });
  const head = readHead(good, readFixedHead(good, 0, 0));
  assertEquals([head.replyTo, head.wantsReply, head.path], [9, false, undefined]);
  const faults: readonly [at: number, value: number, code: string][] = [
    [0, 0x6d, "protocol-error"],
    [3, 2, "protocol-error"],
    [4, 1, "too-large"],
    [8, 0, "protocol-error"],
    [14, 1, "too-large"],
    [18, 0x73, "protocol-error"],
  ];
  for (const [at, value, code] of faults) {
    const bytes = good.slice();
    bytes[at] = value;
    const fault = assertThrows(() => readHead(bytes, readFixedHead(bytes, 0, 0)), Fault, "D-Bus", `${at}`);
    assertEquals(fault.code, code, `${at}`);
  }
  const bodied = writeMessage({
    type: MESSAGE.RETURN,
    serial: 1,
    replyTo: 9,
    body: (writer) => writer.u32(1),
  });
  assertThrows(() => readHead(bodied, readFixedHead(bodied, 0, 9)), Fault, "without a signature");
});

Deno.test("what the writer writes the reader reads, however long it grows", () => {
  const writer = new WireWriter();
  writer.u8(1).u32(7).text("x".repeat(1000)).signature("a{sv}").array(8, () => {
    for (let i = 0; i < 100; i++) writer.align(8).u32(i);
  });
  const { bytes } = writer;
  const reader = new WireReader(bytes, true, 0, bytes.length);
  assertEquals([reader.u8(), reader.u32(), reader.text().length, reader.signature()], [1, 7, 1000, "a{sv}"]);
  const list = reader.value("a(u)") as number[][];
  assertEquals([list.length, list[99]], [100, [99]]);
});

Deno.test("D-Bus: a value that begins where the room ends is written whole", () => {
  for (let length = 1; length <= 1024; length++) {
    const before = new Uint8Array(length).fill(0x55);
    const byte = new WireWriter().raw(before).u8(7);
    assertEquals([byte.length, byte.bytes[length]], [length + 1, 7]);
    const word = new WireWriter().raw(before).u32(0x01020304);
    assertEquals([...word.bytes.subarray(word.length - 4)], [4, 3, 2, 1]);
  }
});

Deno.test("messages: a signature that was sent as a text is checked like one", () => {
  const bytes = writeMessage({ type: MESSAGE.CALL, serial: 1, path: "/", member: "Update" });
  const at = bytes.findIndex((byte, i) => byte === 3 && bytes[i + 1] === 1 && bytes[i + 2] === 0x73);
  assert(at > 0, "the member is a text");
  bytes[at] = 8;
  assertThrows(
    () => readHead(bytes, readFixedHead(bytes, 0, 0)),
    Fault,
    'Cannot read a D-Bus signature: "U" does not begin a type',
  );
});
