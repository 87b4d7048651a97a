import { assert, assertEquals, assertMatch } from "@std/assert";
import { OPEN, reopen } from "../../../ffi/memfd.ts";
import { readInto } from "../../../ffi/stream.ts";
import { pipe } from "../../../ffi/unix_socket.ts";
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

Deno.test("a pipe that nobody empties loses lines, which are counted and told; it never waits", () => {
  const [read, write] = pipe();
  using writer = new LogWriter(write.fd, false);
  for (let i = 0; i < 2000; i++) writer.write(`info  line ${i} ${"x".repeat(100)}`);
  assert(writer.lost > 1000, `${writer.lost}`);
  const lost = writer.lost;
  const lines = textIn(read.fd).trimEnd().split("\n");
  assertEquals(lines.length, 2000 - lost);
  writer.write("info  after");
  assertEquals(
    textIn(read.fd),
    `warn  log: ${lost} lines were lost: whoever reads this log was too slow\ninfo  after\n`,
  );
  writer.write("y".repeat(10_000));
  assertMatch(textIn(read.fd), /^y{4095}\n$/);
  read.close();
  // The reader has gone: nothing is thrown.
  writer.write("to nobody");
  writer.write("to nobody");
  write.close();
});

Deno.test("a file takes every line; a full disk is no error", () => {
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
  // Nothing is read from its standard error while this loop runs: a line of audit a control is twice what a pipe holds.
  for (let i = 0; i < 1800; i++) {
    using _passing = new RawControl(daemon.socket, 0);
  }
  // It is told with the first line for which there is room: whoever comes before the pipe is empty again is lost, too.
  await until("the loss is told", async () => {
    await using _late = await daemon.connect("late");
    return /lines were lost: whoever reads this log was too slow/.test(daemon.logText);
  });
});
