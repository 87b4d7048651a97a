/**
 * The D-Bus source against a QEMU in the test's hands: which console, when it listens, pictures in pieces,
 * text without a Scanout, the one picture, hostile messages, the end.
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { createMemfd, ftruncate } from "../../../ffi/memfd.ts";
import { openFdCount, type OwnedFd } from "../../../ffi/owned_fd.ts";
import { pwriteFrom } from "../../../ffi/stream.ts";
import { pipe } from "../../../ffi/unix_socket.ts";
import { MS, NEVER, SECOND } from "../../../src/base/clock.ts";
import { CODE } from "../../../src/base/codes.ts";
import { MESSAGE } from "../../../src/dbus/message.ts";
import { AUTH_ANSWER, properties, ScriptedDBus } from "../../fixtures/scripted_dbus.ts";
import { u32 } from "../../fixtures/rfb_bytes.ts";

Deno.test("a D-Bus source finds the first graphic console, and listens only while pictures are wanted", () => {
  const before = openFdCount();
  {
    using qemu = new ScriptedDBus();
    assertEquals(qemu.main.heard.slice(0, 3), ["AUTH EXTERNAL 31323334", "NEGOTIATE_UNIX_FD", "BEGIN"]);
    assertEquals(qemu.main.calls("GetAll").map(({ path }) => path), [
      "/org/qemu/Display1/VM",
      "/org/qemu/Display1/Console_3",
      "/org/qemu/Display1/Console_5",
      // Once more: of the keyboard's lights.
      "/org/qemu/Display1/Console_5",
    ]);
    assertEquals([qemu.main.calls("RegisterListener").length, qemu.source.nextNs], [0, NEVER]);
    qemu.source.demand(10);
    qemu.settle();
    assertEquals(qemu.main.calls("RegisterListener").map(({ path, fds }) => [path, fds]), [[
      "/org/qemu/Display1/Console_5",
      1,
    ]]);
    qemu.scanout(8, 4, 0x112233);
    qemu.settle();
    assertEquals([qemu.canvas.width, qemu.canvas.height, qemu.canvas.commits], [8, 4, 1]);
    assertEquals(new Set(qemu.canvas.words), new Set([0x112233]));
    // Each call is answered.
    assertEquals(qemu.display!.heard.filter((each) => typeof each !== "string").length, 1);
    qemu.source.demand(0);
    assertEquals(qemu.display!.socket.closed, false);
    qemu.settle();
    assertEquals(qemu.source.nextNs, NEVER);
  }
  assertEquals(openFdCount(), before);
});

Deno.test("the lights of the keyboard are known from the start, where QEMU tells them", () => {
  for (const lights of [0, 4, undefined]) {
    using qemu = new ScriptedDBus(false);
    qemu.lights = lights;
    qemu.settle();
    assertEquals(qemu.canvas.lights, lights);
  }
});

Deno.test("a listener that QEMU does not take, because it has not noticed the end of the last one, is registered anew", () => {
  using qemu = new ScriptedDBus();
  qemu.refusals = 2;
  qemu.source.demand(10);
  qemu.settle();
  for (let i = 0; i < 5; i++) qemu.settle(SECOND);
  assertEquals([qemu.lost, qemu.main.calls("RegisterListener").length], [undefined, 3]);
  qemu.scanout(8, 4, 5);
  qemu.settle();
  assertEquals(qemu.canvas.commits, 1);
});

Deno.test("what comes is painted at once and shown at the pace that is wanted", () => {
  using qemu = new ScriptedDBus();
  qemu.source.demand(10);
  qemu.settle();
  qemu.scanout(8, 4, 1);
  qemu.settle();
  qemu.update(2, 1, 3, 2, 7);
  qemu.update(0, 0, 1, 1, 9);
  qemu.settle(10 * MS);
  assertEquals([qemu.canvas.commits, qemu.canvas.words[0], qemu.source.nextNs], [1, 9, qemu.nowNs + 90 * MS]);
  qemu.settle(90 * MS);
  assertEquals([qemu.canvas.commits, qemu.canvas.lastDamage], [2, [0, 0, 5, 3]]);
  assertEquals(qemu.canvas.words.slice(8, 16), Int32Array.from([1, 1, 7, 7, 7, 1, 1, 1]));
});

Deno.test("one picture: QEMU has answered, looked again, and answered again", () => {
  using qemu = new ScriptedDBus();
  qemu.source.once();
  qemu.settle();
  assertEquals(qemu.main.calls("RegisterListener").length, 1);
  qemu.settle(SECOND);
  assertEquals(qemu.pictures, 0);
  qemu.scanout(8, 4, 1);
  qemu.settle();
  qemu.update(0, 0, 1, 1, 2);
  qemu.settle(30 * MS);
  assertEquals([qemu.pictures, qemu.canvas.commits], [0, 0]);
  qemu.settle(40 * MS);
  qemu.settle(5 * MS);
  assertEquals([qemu.pictures, qemu.canvas.commits, qemu.canvas.words[0]], [1, 1, 2]);
  // Nobody looks any more: the listener is gone.
  qemu.settle(SECOND);
  assertEquals([qemu.source.nextNs, qemu.lost], [NEVER, undefined]);
});

Deno.test("into text there is no Scanout: the console's size, or an Update that does not fit, has it listen anew", () => {
  using qemu = new ScriptedDBus();
  qemu.source.demand(240);
  qemu.settle();
  qemu.scanout(8, 4, 1);
  qemu.settle();
  const registered = () => qemu.main.calls("RegisterListener").length;
  assertEquals(registered(), 1);
  // An Update outside.
  qemu.update(0, 0, 9, 1, 5);
  qemu.settle();
  qemu.settle(20 * MS);
  assertEquals([registered(), qemu.canvas.width, qemu.lost], [2, 8, undefined]);
  qemu.tellSize(9, 2);
  qemu.scanout(9, 2, 6);
  qemu.settle(5 * MS);
  assertEquals([registered(), qemu.canvas.width, qemu.canvas.words[17]], [2, 9, 6]);
  // A size that is told, and an Update that would fit the old picture.
  qemu.tellSize(4, 2);
  qemu.settle();
  qemu.update(0, 0, 4, 1, 8);
  qemu.settle();
  qemu.settle(20 * MS);
  assertEquals([registered(), qemu.canvas.words[0]], [3, 6]);
  qemu.scanout(4, 2, 9);
  qemu.settle(5 * MS);
  assertEquals([qemu.canvas.width, qemu.canvas.words[7]], [4, 9]);
  // A size that is told, and nothing after it.
  qemu.tellSize(5, 5);
  qemu.settle();
  qemu.settle(50 * MS);
  qemu.settle(20 * MS);
  assertEquals(registered(), 4);
});

Deno.test("the cursor is told where it is, and its shape when it fits", () => {
  using qemu = new ScriptedDBus();
  qemu.source.demand(10);
  qemu.settle();
  qemu.scanout(8, 4, 1);
  const define = (width: number, height: number) =>
    qemu.call("CursorDefine", "iiiiay", (writer) => {
      for (const each of [width, height, 1, 2]) writer.u32(each);
      writer.u32(width * height * 4).raw(new Uint8Array(width * height * 4).map((_, i) => i));
    });
  define(300, 300);
  qemu.call("MouseSet", "iii", (writer) => writer.u32(3).u32(2).u32(1));
  qemu.settle();
  assertEquals(qemu.canvas.pointer, { x: 3, y: 2, visible: true, shape: undefined });
  define(16, 17);
  qemu.settle();
  assertEquals(qemu.canvas.pointer?.shape, { width: 16, height: 17, hotX: 1, hotY: 2 });
  const shown = qemu.canvas.shape;
  assertEquals([shown?.width, shown?.height, shown?.hotX, shown?.words.length], [16, 17, 1, 16 * 17]);
  assertEquals(shown?.words[1], 0x07060504);
  qemu.call("Disable", "", () => {});
  qemu.call("Whatever", "", () => {});
  qemu.settle();
  const replies = qemu.display!.heard.filter((each) => typeof each !== "string");
  assertEquals(replies.length, 6);
  assertEquals(replies.at(-1)?.error, "org.freedesktop.DBus.Error.UnknownMethod");
  assertEquals(qemu.lost, undefined);
});

Deno.test("a listener that QEMU lets go is offered again, and not for ever", () => {
  using qemu = new ScriptedDBus();
  qemu.source.demand(10);
  qemu.settle();
  qemu.display!.socket.close();
  qemu.settle(20 * MS);
  qemu.settle(20 * MS);
  assertEquals([qemu.lost, qemu.main.calls("RegisterListener").length], [undefined, 2]);
  for (let i = 0; i < 400 && qemu.lost === undefined; i++) {
    if (!qemu.display!.socket.closed) qemu.display!.socket.close();
    qemu.settle(20 * MS);
  }
  assertEquals(qemu.lost?.code, CODE.busy);
});

Deno.test("a QEMU that is silent, at each place, is timed out; one that has ended, told", () => {
  using mute = new ScriptedDBus(false);
  mute.step(10 * SECOND - 1);
  assertEquals(mute.lost, undefined);
  mute.step(1);
  assertEquals(mute.lost?.code, CODE["timed-out"]);
  using late = new ScriptedDBus();
  late.source.demand(5);
  late.settle();
  late.settle(11 * SECOND);
  assertEquals(late.lost?.code, CODE["timed-out"]);
  using gone = new ScriptedDBus();
  gone.settle(3600 * SECOND);
  assertEquals(gone.lost, undefined);
  gone.main.socket.close();
  gone.step();
  assertEquals(gone.lost?.code, CODE["seam-down"]);
  assertStringIncludes(gone.lost?.why ?? "", "another client");
  gone.source.once();
  gone.source.demand(3);
  gone.source.step(gone.nowNs);
});

const HOSTILE: readonly [what: string, code: number, does: (qemu: ScriptedDBus) => void][] = [
  ["another protocol", CODE["protocol-error"], (qemu) => qemu.sayDisplay("HTTP/1.1 200 OK\r\n")],
  [
    "an endless message",
    CODE["too-large"],
    (qemu) => qemu.sayDisplay("l\x01\0\x01", u32(-1), u32(-1), u32(0)),
  ],
  [
    "an endless head",
    CODE["too-large"],
    (qemu) => qemu.sayDisplay("l\x01\0\x01", u32(0), u32(0x01000000), u32(0x7fff_0000), u32(-1)),
  ],
  [
    "another version",
    CODE["protocol-error"],
    (qemu) => qemu.sayDisplay("l\x01\0\x09", u32(0), u32(1), u32(0)),
  ],
  ["other arguments", CODE["protocol-error"], (qemu) => qemu.call("Scanout", "u", (writer) => writer.u32(1))],
  [
    "a cut Scanout",
    CODE["protocol-error"],
    (qemu) => qemu.call("Scanout", "uuuuay", (writer) => writer.u32(1)),
  ],
  ["rows that do not fit", CODE["protocol-error"], (qemu) =>
    qemu.call("Scanout", "uuuuay", (writer) => {
      for (const each of [9, 9, 4, 0x2002_0888, 4]) writer.u32(each);
      writer.u32(0);
    })],
  ["a length that is another", CODE["protocol-error"], (qemu) =>
    qemu.call("Scanout", "uuuuay", (writer) => {
      for (const each of [1, 1, 4, 0x2002_0888, 400]) writer.u32(each);
      writer.u32(0);
    })],
  ["an Update at -1", CODE["protocol-error"], (qemu) => qemu.update(-1, 0, 1, 1, 0)],
  ["another format", CODE["not-supported"], (qemu) => qemu.scanout(2, 2, 0, 0x1234)],
  [
    "a picture in the graphics card",
    CODE["not-supported"],
    (qemu) => qemu.call("ScanoutDMABUF", "", () => {}),
  ],
  [
    "descriptors that do not come",
    CODE["protocol-error"],
    (qemu) => qemu.sayDisplay(qemu.display!.message({ type: MESSAGE.CALL, member: "X", fds: 3 })),
  ],
  ["a cursor like a wall", CODE["protocol-error"], (qemu) =>
    qemu.call("CursorDefine", "iiiiay", (writer) => {
      for (const each of [5000, 1, 0, 0, 0]) writer.u32(each);
    })],
  ["a console of no size", CODE["protocol-error"], (qemu) => qemu.tellSize(1e6, 1)],
  [
    "a large message that nobody wants",
    CODE["too-large"],
    (qemu) => qemu.call("Whatever", "ay", (writer) => writer.u32(70_000).raw(new Uint8Array(70_000))),
  ],
];

Deno.test("a hostile QEMU ends the source with a code and a line that can be shown", () => {
  const before = openFdCount();
  for (const [what, code, does] of HOSTILE) {
    using qemu = new ScriptedDBus();
    qemu.source.demand(30);
    qemu.settle();
    does(qemu);
    qemu.step();
    assertEquals([what, qemu.lost?.code], [what, code]);
    // deno-lint-ignore no-control-regex
    assert(!/[\x00-\x1f\x7f]/.test(qemu.lost?.why ?? ""), what);
  }
  assertEquals(openFdCount(), before);
});

Deno.test("who is not let in, passes no descriptors, or has no graphic console is told so", () => {
  for (
    const [answer, code] of [
      ["REJECTED EXTERNAL\r\n", CODE.refused],
      ["OK 1\r\nERROR no\r\n", CODE["not-supported"]],
      ["x".repeat(300), CODE["protocol-error"]],
    ] as const
  ) {
    using qemu = new ScriptedDBus(false);
    qemu.sayMain(answer);
    qemu.step();
    assertEquals(qemu.lost?.code, code);
  }
  using none = new ScriptedDBus(false);
  none.sayMain(AUTH_ANSWER);
  none.step();
  none.main.listen();
  const [call] = none.main.calls("GetAll");
  none.sayMain(
    none.main.message({
      type: MESSAGE.RETURN,
      replyTo: call!.serial,
      signature: "a{sv}",
      body: properties({ ConsoleIDs: [] }),
    }),
  );
  none.step();
  assertEquals(none.lost?.code, CODE["not-supported"]);
});

/** A picture of 8x4 in shared memory, from byte 32 on, in rows of 40 bytes; all pixels of one colour. */
class SharedPicture implements Disposable {
  readonly file: OwnedFd = createMemfd("displaysurface", 4096);

  constructor(colour: number) {
    this.fill(colour);
  }

  fill(colour: number): void {
    const row = new Uint8Array(new Uint32Array(8).fill(colour).buffer);
    for (let y = 0; y < 4; y++) pwriteFrom(this.file.fd, row, 0, row.length, 32 + 40 * y);
  }

  [Symbol.dispose](): void {
    this.file.close();
  }
}

const MAPPED = [0, 32, 8, 4, 40, 0x2002_0888] as const;

Deno.test("a picture in shared memory is painted from there, updated from there, and dropped at a plain Scanout", () => {
  const before = openFdCount();
  {
    using qemu = new ScriptedDBus();
    using shared = new SharedPicture(0x112233);
    qemu.source.demand(240);
    qemu.settle();
    qemu.callMap("ScanoutMap", MAPPED, [shared.file.fd]);
    qemu.settle();
    assertEquals([qemu.canvas.width, qemu.canvas.height, qemu.canvas.commits, qemu.lost], [
      8,
      4,
      1,
      undefined,
    ]);
    assertEquals(new Set(qemu.canvas.words), new Set([0x112233]));
    shared.fill(5);
    qemu.callMap("UpdateMap", [2, 1, 3, 2]);
    qemu.settle(5 * MS);
    assertEquals([qemu.canvas.commits, qemu.canvas.lastDamage], [2, [2, 1, 3, 2]]);
    assertEquals(
      qemu.canvas.words.slice(8, 16),
      Int32Array.from([1, 1, 5, 5, 5, 1, 1, 1].map((each) => each === 1 ? 0x112233 : 5)),
    );
    assertEquals(
      qemu.display!.heard.filter((each) => typeof each !== "string").length,
      2,
      "both were answered",
    );
    // Into graphics: what was mapped is stale, and QEMU does not say so.
    qemu.scanout(8, 4, 7);
    qemu.settle(5 * MS);
    assertEquals(new Set(qemu.canvas.words), new Set([7]));
    const registered = () => qemu.main.calls("RegisterListener").length;
    assertEquals(registered(), 1);
    qemu.callMap("UpdateMap", [0, 0, 1, 1]);
    qemu.settle();
    qemu.settle(20 * MS);
    assertEquals([registered(), qemu.lost, new Set(qemu.canvas.words)], [2, undefined, new Set([7])]);
  }
  assertEquals(openFdCount(), before);
});

Deno.test("the listener's property tells that it takes pictures in shared memory; a part outside has it listen anew", () => {
  using qemu = new ScriptedDBus();
  using shared = new SharedPicture(1);
  qemu.source.demand(240);
  qemu.settle();
  const heard = qemu.display!.heard.length;
  qemu.sayDisplay(qemu.display!.message({
    type: MESSAGE.CALL,
    path: "/org/qemu/Display1/Listener",
    interface: "org.freedesktop.DBus.Properties",
    member: "GetAll",
    signature: "s",
    body: (writer) => writer.text("org.qemu.Display1.Listener"),
    wantsReply: true,
  }));
  qemu.settle();
  const answer = qemu.display!.heard[heard];
  assert(answer !== undefined && typeof answer !== "string");
  assertEquals([answer.type, answer.signature], [MESSAGE.RETURN, "a{sv}"]);
  assert(answer.bodyBytes > 40, "it is not empty");
  for (const area of [[7, 0, 2, 1], [0, 4, 1, 1], [-1, 0, 1, 1], [0, 0, -1, 1], [0, 0, 0x7fff_ffff, 1]]) {
    const registered = qemu.main.calls("RegisterListener").length;
    qemu.callMap("ScanoutMap", MAPPED, [shared.file.fd]);
    qemu.callMap("UpdateMap", area);
    qemu.settle();
    qemu.settle(20 * MS);
    assertEquals(
      [qemu.main.calls("RegisterListener").length, qemu.lost],
      [registered + 1, undefined],
      `${area}`,
    );
  }
});

Deno.test("a hostile picture in shared memory ends the source: no file, no memory, too little of it, cut, absurd numbers", () => {
  const before = openFdCount();
  {
    using shared = new SharedPicture(1);
    const [read, write] = pipe();
    const file = shared.file.fd;
    const cases: readonly (readonly [readonly number[], readonly number[], string])[] = [
      [MAPPED, [], "it came without a file"],
      [[1, ...MAPPED.slice(1)], [file], "it came without a file"],
      [MAPPED, [read.fd], "it is not a file in memory"],
      [[0, 4000, 8, 4, 40, 0x2002_0888], [file], "do not fit 4096"],
      [[0, 0xffff_f000, 8, 4, 40, 0x2002_0888], [file], "do not fit 4096"],
      [[0, 0, 8, 4, 31, 0x2002_0888], [file], "rows of 31 bytes"],
      [[0, 0, 8, 4, 0xffff_ffff, 0x2002_0888], [file], "rows of 4294967295 bytes"],
      [[0, 0, 0, 4, 40, 0x2002_0888], [file], "0x4 pixels"],
      [[0, 0, 40_000, 4, 160_000, 0x2002_0888], [file], "40000x4 pixels"],
      [[0, 0, 8, 4, 40, 0x1234], [file], "pixman's format 0x1234"],
    ];
    for (const [numbers, fds, why] of cases) {
      using qemu = new ScriptedDBus();
      qemu.source.demand(240);
      qemu.settle();
      qemu.callMap("ScanoutMap", numbers, fds);
      qemu.settle();
      assertStringIncludes(qemu.lost?.why ?? "", why);
    }
    using qemu = new ScriptedDBus();
    qemu.source.demand(240);
    qemu.settle();
    qemu.callMap("ScanoutMap", MAPPED, [file]);
    qemu.settle();
    ftruncate(file, 0);
    qemu.callMap("UpdateMap", [0, 0, 8, 4]);
    qemu.settle();
    assertStringIncludes(qemu.lost?.why ?? "", "its memory was truncated");
    read.close();
    write.close();
  }
  assertEquals(openFdCount(), before);
});
