// The main thread's way into the loop's inbox: nothing is lost, nothing overtakes but what is urgent, and a
// config comes whole or not at all.
import "../ffi/loaded_shim.ts";
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { EventFd } from "../../../ffi/event_fd.ts";
import { Fault } from "../../../src/base/fault.ts";
import { SharedRing } from "../../../src/context/shared_ring.ts";
import { parseConfig } from "../../../src/daemon/config.ts";
import { ConfigAssembler, configMessages, oversizedPart } from "../../../src/daemon/config_messages.ts";
import { InboxWriter } from "../../../src/daemon/inbox_writer.ts";
import { INBOX } from "../../../src/daemon/plan.ts";
import { readConfig } from "../../../src/daemon/serve_plan.ts";
import { until } from "../../fixtures/daemon_process.ts";

function rules(count: number): string {
  let text = '[[endpoint]]\nname = "web"\n[daemon]\nqueue_events = 4096\n';
  for (let i = 0; i < count; i++) {
    text += `[[admission]]\nuid = ${i}\nendpoints = ["*"]\ncaps = ["observe"]\n`;
  }
  return text;
}

Deno.test("what finds no room waits in order; what is urgent goes ahead, once; newer news replace older", async () => {
  using bell = EventFd.create();
  const ring = SharedRing.create(4096, bell.fd);
  using writer = new InboxWriter(ring);
  const got: string[] = [];
  const drain = () => ring.drain((tag, bytes) => got.push(`${tag}:${bytes[0] ?? ""}`), 1);
  const message = (n: number) => new Uint8Array(ring.maxMessageBytes).fill(n);
  for (let n = 1; n <= 5; n++) writer.send(10, message(n));
  writer.replace([[11, message(6)], [12, message(6)]]);
  writer.replace([[11, message(7)], [12, message(7)]]);
  writer.sendFirst(13);
  writer.sendFirst(13);
  assert(writer.waiting > 0);
  await until("all are read", () => {
    drain();
    return got.length === 8;
  });
  assertEquals(writer.waiting, 0);
  assertEquals(got.filter((each) => each.startsWith("13")).length, 1);
  assert(got.indexOf("13:") <= 3, `it went ahead: ${got}`);
  assertEquals(got.filter((each) => !each.startsWith("13")), [
    "10:1",
    "10:2",
    "10:3",
    "10:4",
    "10:5",
    "11:7",
    "12:7",
  ]);
});

Deno.test("a config of ten thousand rules goes through a small ring whole, in small pieces", async () => {
  using bell = EventFd.create();
  const ring = SharedRing.create(1 << 16, bell.fd);
  using writer = new InboxWriter(ring);
  const intake = new ConfigAssembler();
  const config = parseConfig(rules(10_000), "x");
  // A reload that was overtaken on its way leaves nothing behind.
  writer.replace(configMessages(parseConfig(rules(9000), "x"), 1));
  ring.drain((tag, bytes) => tag === INBOX.CONFIG_PIECE && intake.piece(bytes), 3);
  writer.replace(configMessages(config, 2));
  const taken: unknown[] = [];
  await until("it has come", () => {
    ring.drain((tag, bytes) => {
      assert(bytes.length < 20_000, `${bytes.length}`);
      if (tag === INBOX.CONFIG_PIECE) intake.piece(bytes);
      else {
        const whole = intake.whole(bytes);
        if (whole !== undefined) taken.push(whole);
      }
    }, 16);
    return taken.length > 0;
  });
  assertEquals(taken.length, 1);
  assertEquals(JSON.stringify(taken[0]), JSON.stringify(JSON.parse(JSON.stringify(orderOf(config)))));
});

/** The same value with its lists last, as it is put together. */
function orderOf(
  { endpoints, channels, admission, policy, write, ...rest }: ReturnType<typeof parseConfig>,
): unknown {
  return { ...rest, endpoints, channels, admission, policy, write };
}

Deno.test("a config whose last piece comes without the others is not taken", () => {
  const intake = new ConfigAssembler();
  const messages = configMessages(parseConfig(rules(2000), "x"), 7);
  const [, last] = messages.at(-1) as [number, Uint8Array];
  for (const [, bytes] of messages.slice(1, -1)) intake.piece(bytes);
  assertEquals(intake.whole(last), undefined);
  for (const [, bytes] of messages.slice(0, -1)) intake.piece(bytes);
  assertEquals(intake.whole(last)?.admission.length, 2000);
});

Deno.test("one entry that is too large for the way is refused with the part that it is in", async () => {
  const users = Array.from({ length: 20_000 }, (_, i) => `"user${i}"`).join();
  const text = `[[channel]]\nname = "c"\nusers = [${users}]\n`;
  assertEquals(oversizedPart(parseConfig(text, "x")), "channels");
  assertEquals(oversizedPart(parseConfig(rules(10), "x")), undefined);
  const file = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(file, text);
    const error = assertThrows(() => readConfig(file, true), Fault);
    assertMatch(error.message, /an entry of channels is larger than 128 KiB/);
  } finally {
    await Deno.remove(file);
  }
});
