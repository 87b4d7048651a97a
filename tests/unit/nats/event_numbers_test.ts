/** Events are numbered as they leave, and a reader finds what is missing, what came twice, and a new run. */
import { assertEquals } from "@std/assert";
import { EventNumbers } from "../../../src/nats/join/event_numbers.ts";
import { EventGaps } from "../../../src/nats/reader/event_gaps.ts";
import { FRAME } from "../../../src/protocol/frame.ts";

const numberOf = (frame: Uint8Array<ArrayBuffer>): number =>
  new DataView(frame.buffer).getUint32(FRAME.seq, true);

Deno.test("a subject's events are numbered on, whoever asks for it; others have their own numbers", () => {
  const numbers = new EventNumbers("rack1");
  const [a, again, other] = [
    numbers.outlet("web", "VMHOST", "VM_LIFECYCLE"),
    numbers.outlet("web", "VMHOST", "VM_LIFECYCLE"),
    numbers.outlet("db", "VMHOST", "ERROR"),
  ];
  assertEquals(
    [a.subject, other.subject],
    ["vmsig.rack1.web.VMHOST.VM_LIFECYCLE", "vmsig.rack1.db.VMHOST.ERROR"],
  );
  const [first = 0, second, , third] = [a, again, other, a].map((outlet) => {
    const frame = new Uint8Array(FRAME.body);
    outlet.stamp(frame, 0);
    return numberOf(frame);
  });
  assertEquals([second, third], [(first + 1) >>> 0, (first + 2) >>> 0]);
});

Deno.test("a gap is counted, what came already is not taken, a far number is another run's", () => {
  const gaps = new EventGaps();
  const take = (number: number, stream = "web.VMHOST", host = "rack1") =>
    gaps.take(host, stream, number >>> 0);
  assertEquals([take(0xffff_fffe), take(0xffff_ffff), take(0), take(5)], [0, 0, 0, 4]);
  assertEquals([take(5), take(3), take(0xffff_ffff)], [-1, -1, -1], "twice, and out of order");
  assertEquals([take(6), take(7, "db.VMHOST"), take(7, "web.VMHOST", "rack2"), take(7)], [0, 0, 0, 0]);
  assertEquals([take(0x7000_0000), take(0x7000_0002)], [0, 1], "another run");
  gaps.forget("rack1");
  assertEquals([take(2), take(4), take(8, "web.VMHOST", "rack2")], [0, 1, 0]);
});
