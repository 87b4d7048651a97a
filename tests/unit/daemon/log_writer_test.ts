import { assert, assertEquals, assertMatch } from "@std/assert";
import { monotonicClock } from "../../../ffi/clock.ts";
import { OPEN, reopen } from "../../../ffi/memfd.ts";
import { readInto } from "../../../ffi/stream.ts";
import { pipe, setSendBufferBytes, SOCKET, socketPair } from "../../../ffi/unix_socket.ts";
import { ManualClock, NEVER, SECOND } from "../../../src/base/clock.ts";
import { SILENT } from "../../../src/base/log.ts";
import { Loop } from "../../../src/core/loop.ts";
import { LEASE_CLASS } from "../../../src/event/body_number.ts";
import { KIND } from "../../../src/event/kind.ts";
import { RepeatFilter } from "../../../src/daemon/repeat_filter.ts";
import { LogWriter } from "../../../src/daemon/log_writer.ts";
import { RawControl } from "../../bench/raw_control.ts";
import { DaemonProcess, until } from "../../fixtures/daemon_process.ts";
import "../ffi/loaded_shim.ts";

function textIn(fd: number): string {
  const bytes = new Uint8Array(1 << 20);
  let text = "";
  for (let n = readInto(fd, bytes, 0, bytes.length); n > 0; n = readInto(fd, bytes, 0, bytes.length)) {
    text += new TextDecoder().decode(bytes.subarray(0, n));
  }
  return text;
}

Deno.test("what a pipe has no room for waits, in order, and goes when there is room", () => {
  const [read, write] = pipe();
  using loop = new Loop({ clock: monotonicClock, log: SILENT });
  const lines = Array.from({ length: 2000 }, (_, i) => `info  line ${i} ${"x".repeat(100)}`);
  {
    using writer = new LogWriter(write.fd, false);
    for (const line of lines.slice(0, 1000)) writer.write(line);
    assertEquals(loop.watched, 0);
    writer.watchOn(loop);
    for (const line of lines.slice(1000)) writer.write(line);
    assertEquals([writer.lost, loop.watched], [0, 1]);
    let text = "";
    for (let turn = 0; loop.watched > 0 && turn < 200; turn++) {
      text += textIn(read.fd);
      loop.turn(0);
    }
    text += textIn(read.fd);
    assertEquals(text, lines.join("\n") + "\n");
    assertEquals(loop.watched, 0);
    writer.write("info  after");
    assertEquals(textIn(read.fd), "info  after\n");
    writer.write("y".repeat(10_000));
    assertMatch(textIn(read.fd), /^y{4095}\n$/);
    for (const line of lines.slice(0, 1000)) writer.write(line);
    assertEquals(loop.watched, 1);
    read.close();
    // The reader has gone: nothing is thrown, nothing is watched, nothing waits.
    loop.turn(0);
    assertEquals(loop.watched, 0);
    writer.write("to nobody");
    writer.write("to nobody");
    assertEquals(loop.watched, 0);
  }
  write.close();
});

Deno.test("a socket that takes half a line gets the other half first", () => {
  const [near, far] = socketPair(SOCKET.STREAM);
  setSendBufferBytes(near.fd, 4608);
  using loop = new Loop({ clock: monotonicClock, log: SILENT });
  {
    using writer = new LogWriter(near.fd, false);
    writer.watchOn(loop);
    const lines = Array.from({ length: 60 }, (_, i) => `info  line ${i} ${"x".repeat(3000)}`);
    let text = "";
    for (const line of lines) writer.write(line);
    for (let turn = 0; loop.watched > 0 && turn < 500; turn++) {
      text += textIn(far.fd);
      loop.turn(0);
    }
    assertEquals(text + textIn(far.fd), lines.join("\n") + "\n");
    assertEquals(writer.lost, 0);
  }
  near.close();
  far.close();
});

Deno.test("beyond what may wait lines are lost, counted and told in their place; it never waits", () => {
  const [read, write] = pipe();
  using loop = new Loop({ clock: monotonicClock, log: SILENT });
  {
    using writer = new LogWriter(write.fd, false);
    writer.watchOn(loop);
    for (let i = 0; i < 6000; i++) writer.write(`info  line ${i} ${"x".repeat(100)}`);
    const { lost } = writer;
    assert(lost > 2000 && lost < 4000, `${lost}`);
    let text = textIn(read.fd);
    loop.turn(0);
    writer.write("info  after");
    for (let turn = 0; loop.watched > 0 && turn < 200; turn++) {
      text += textIn(read.fd);
      loop.turn(0);
    }
    const seen = (text + textIn(read.fd)).trimEnd().split("\n");
    assertEquals(seen.length, 6000 - lost + 2);
    assertEquals(seen.slice(-2), [
      `warn  log: ${lost} lines were lost: the reader of this log was too slow`,
      "info  after",
    ]);
  }
  read.close();
  write.close();
});

Deno.test("what waits when the daemon ends is written as far as there is room, and no further", () => {
  const [read, write] = pipe();
  using loop = new Loop({ clock: monotonicClock, log: SILENT });
  let before = "";
  {
    using writer = new LogWriter(write.fd, false);
    writer.watchOn(loop);
    for (let i = 0; i < 2000; i++) writer.write(`info  line ${i} ${"x".repeat(100)}`);
    before = textIn(read.fd);
  }
  const after = textIn(read.fd);
  assert(after.length > 32_768, `${after.length}`);
  assertEquals(
    (before + after).split("\n").slice(0, -1).map((line) => line.split(" ")[3]),
    Array.from((before + after).matchAll(/\n/g), (_, i) => `${i}`),
  );
  assertEquals(loop.watched, 0);
  read.close();
  write.close();
});

Deno.test("a file takes every line; a full disk is not an error", () => {
  const path = Deno.makeTempFileSync();
  try {
    using file = reopen(path, OPEN.READ_WRITE);
    using writer = new LogWriter(file.fd, true);
    for (let i = 0; i < 100; i++) writer.write(`<6>line ${i}`);
    assertEquals(Deno.readTextFileSync(path).trimEnd().split("\n").length, 100);
    using full = reopen("/dev/full", OPEN.READ_WRITE);
    using toFull = new LogWriter(full.fd, true);
    toFull.write("<6>line");
    assertEquals(toFull.lost, 1);
  } finally {
    Deno.removeSync(path);
  }
});

Deno.test("a log that nobody reads holds up nobody on the bus", async () => {
  await using daemon = await DaemonProcess.start({ stubs: 1 });
  // Nothing is read from its standard error while this loop runs: a lease that a control gets and leaves
  // behind is two lines that nothing limits; all of them are more than a pipe holds and than may wait.
  for (let i = 0; i < 8000; i++) {
    using passing = new RawControl(daemon.socket, 0);
    passing.ask(passing.frameOf(KIND.CMD_ACQUIRE, 0, (event) => event.words[0] = LEASE_CLASS.INPUT));
  }
  // It is told with the first line for which there is room: whoever comes before the pipe is empty again is
  // lost, too.
  await until("the loss is told", async () => {
    await using _late = await daemon.connect("late");
    return /lines were lost: the reader of this log was too slow/.test(daemon.logText);
  });
});

Deno.test("a line that is said again and again is written once, and then once a second with its number", () => {
  const fold = new RepeatFilter();
  const written: string[] = [];
  const say = (line: string, nowNs: number): void => {
    fold.sweep(nowNs, (each) => written.push(each));
    if (fold.admits(line, nowNs)) written.push(line);
  };
  for (let i = 0; i < 10; i++) {
    say("a", i);
    say("b x=1", i);
    say(`b x=${i + 2}`, i);
  }
  assertEquals(written.filter((line) => line === "a").length, 1);
  assertEquals(written.length, 12, "those that differ pass");
  assertEquals(fold.deadlineNs, SECOND);
  say("a", SECOND + 1);
  assertEquals(written.slice(12), ["a repeated=9", "b x=1 repeated=9"]);
  fold.sweep(2 * SECOND + 2, (each) => written.push(each));
  assertEquals(written.slice(14), ["a repeated=1"]);
  assertEquals(fold.deadlineNs, NEVER);
  // After a second of silence it is news again.
  say("a", 4 * SECOND);
  assertEquals(written.slice(15), ["a"]);
  // More different lines than it remembers: each is written.
  for (let i = 0; i < 100; i++) say(`flood ${i}`, 4 * SECOND + i);
  for (let i = 0; i < 100; i++) say(`flood ${i}`, 4 * SECOND + i);
  const floods = (i: number) => written.filter((line) => line === `flood ${i}`).length;
  assertEquals([floods(0), floods(99)], [1, 2]);
});

Deno.test("records are never folded, and find room when other lines have used up theirs", () => {
  const [read, write] = pipe();
  const clock = new ManualClock();
  using writer = new LogWriter(write.fd, false, clock);
  try {
    for (let i = 0; i < 5; i++) writer.write("info  audit: the same", true);
    for (let i = 0; i < 5; i++) writer.write("info  other: the same");
    for (let i = 0; i < 6000; i++) writer.write(`info  line ${i} ${"x".repeat(100)}`);
    const { lost } = writer;
    assert(lost > 0);
    writer.write("info  audit: a reset", true);
    writer.write("info  audit: a release", true);
    assertEquals(writer.lost, 0, "the loss is told before them");
    let text = "";
    for (let i = 0; i < 10_000 && !text.includes("a release"); i++) {
      text += textIn(read.fd);
      writer.onReady();
    }
    const lines = text.split("\n");
    assertEquals(lines.filter((line) => line === "info  audit: the same").length, 5);
    assertEquals(lines.filter((line) => line === "info  other: the same").length, 1);
    assertEquals(lines.slice(-4, -1), [
      `warn  log: ${lost} lines were lost: the reader of this log was too slow`,
      "info  audit: a reset",
      "info  audit: a release",
    ]);
    clock.advance(SECOND);
    writer.write("info  other: the next");
    assertEquals(textIn(read.fd), "info  other: the same repeated=4\ninfo  other: the next\n");
  } finally {
    read.close();
    write.close();
  }
});

Deno.test("records that come together are written together, in order, and each is counted when it is lost", () => {
  const [near, far] = socketPair(SOCKET.SEQPACKET);
  let n = 0;
  using writer = new LogWriter(near.fd, false, new ManualClock(), () => `T${++n} `);
  try {
    const records = Array.from({ length: 100 }, (_, i) => `info  audit: ${i} ${"x".repeat(i)}`);
    records.forEach((line, i) => writer.write(line, true, i < 99));
    writer.write("z".repeat(5000), true, true);
    writer.write("info  other: behind them");
    const packets: string[] = [];
    const bytes = new Uint8Array(1 << 16);
    for (let i = 0; i < 5; i++) {
      const length = readInto(far.fd, bytes, 0, bytes.length);
      if (length > 0) packets.push(new TextDecoder().decode(bytes.subarray(0, length)));
    }
    assertEquals(packets.length, 4, "two of records, the one that is too long, and the other line");
    assert(packets.every((packet) => packet.length <= 4096 && packet.endsWith("\n")));
    const lines = packets.join("").split("\n");
    assertEquals(lines.slice(0, 100), records.map((line, i) => `T${i + 1} ${line}`));
    assertEquals(lines.slice(101), ["T102 info  other: behind them", ""]);
  } finally {
    near.close();
    far.close();
  }
  using full = reopen("/dev/full", OPEN.READ_WRITE);
  using toFull = new LogWriter(full.fd, true);
  for (let i = 0; i < 3; i++) toFull.write("<6>record", true, i < 2);
  assertEquals(toFull.lost, 3);
});

Deno.test("lines begin with a time that is not part of them: equal ones fold, and what was lost has one, too", () => {
  const [read, write] = pipe();
  const clock = new ManualClock();
  let n = 0;
  using writer = new LogWriter(write.fd, false, clock, () => `T${++n} `);
  try {
    for (let i = 0; i < 5; i++) writer.write("info  a: the same");
    clock.advance(SECOND);
    writer.write("info  a: another");
    assertEquals(
      textIn(read.fd),
      "T1 info  a: the same\nT2 info  a: the same repeated=4\nT3 info  a: another\n",
    );
    for (let i = 0; i < 6000; i++) writer.write(`info  line ${i} ${"x".repeat(100)}`);
    writer.write("info  audit: a reset", true);
    let text = "";
    for (let i = 0; i < 10_000 && !text.includes("a reset"); i++) {
      text += textIn(read.fd);
      writer.onReady();
    }
    assert(
      /\nT(\d+) warn {2}log: \d+ lines were lost.*\nT\1 info {2}audit: a reset\n/.test(text),
      text.slice(-300),
    );
  } finally {
    read.close();
    write.close();
  }
});

Deno.test("a daemon's lines have times, unless journald gives them its own", async () => {
  const stamped = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d (debug|info |warn |error) \S/;
  await using plain = await DaemonProcess.start({ stubs: 1, env: { JOURNAL_STREAM: "" } });
  await plain.says(/attached/);
  for (const line of plain.logText.split("\n").slice(0, -1)) assert(stamped.test(line), line);
  await using journal = await DaemonProcess.start({ stubs: 1, env: { JOURNAL_STREAM: "8:1234" } });
  await journal.says(/attached/);
  for (const line of journal.logText.split("\n").slice(0, -1)) assert(/^<[3-7]>\S/.test(line), line);
});
