/** Whose an event is, by its subject: the same the second time, and what is no subject of ours every time. */
import { assertEquals } from "@std/assert";
import { KIND } from "../../../src/event/kind.ts";
import { SOURCE } from "../../../src/event/source.ts";
import { RemoteEvents } from "../../../src/nats/reader/remote_events.ts";
import { madeFrame } from "../../../src/nats/wire/made_frames.ts";
import type { NatsLink, NatsMessage } from "../../../src/nats/wire/nats_link.ts";
import { eventSubject, NOWHERE, token } from "../../../src/nats/wire/subjects.ts";

function rig() {
  const callbacks: ((message: NatsMessage) => void)[] = [];
  const came: string[] = [];
  let unknown = 0;
  const link = {
    user: "alice",
    on: (_subject: string, callback: (message: NatsMessage) => void) => void callbacks.push(callback),
    publish: () => true,
  } as unknown as NatsLink;
  const events = new RemoteEvents({
    ...{ link, reader: "r" },
    onEvent: (host, _data, name) => came.push(`${host}/${name}`),
    onOverrun: () => came.push("overrun"),
    onUnknown: () => unknown++,
  });
  events.want(1 << SOURCE.VMHOST);
  const data = madeFrame({ kind: KIND.VM_LIFECYCLE }, () => {});
  const say = (subject: string): void => callbacks[0]?.({ subject, data });
  return { events, came, say, unknown: () => unknown };
}

Deno.test("events: a subject tells host and endpoint, each time the same; what is none is counted each time", () => {
  const { events, came, say, unknown } = rig();
  using _events = events;
  const subjects = [
    eventSubject("räck 1", token("web.1"), "VMHOST", "VM_LIFECYCLE"),
    eventSubject("rack1", NOWHERE, "VMHOST", "VM_LIFECYCLE"),
    eventSubject("rack1", token("-"), "VMHOST", "VM_LIFECYCLE"),
  ];
  for (let round = 0; round < 3; round++) for (const subject of subjects) say(subject);
  const once = ["räck 1/web.1", "rack1/undefined", "rack1/-"];
  assertEquals(came, [...once, ...once, ...once]);
  for (let round = 0; round < 3; round++) {
    for (const bad of ["vmsig.=zz.web.VMHOST.X", "vmsig.rack1.=7.VMHOST.X", "vmsig", "vmsig..a.b.c"]) {
      say(bad);
    }
  }
  assertEquals([came.length, unknown()], [9, 12]);
});

Deno.test("events: however many subjects somebody makes up, each is told as what it is", () => {
  const { events, came, say } = rig();
  using _events = events;
  for (let i = 0; i < 40_000; i++) say(eventSubject(`h${i}`, `vm${i % 7}`, "VMHOST", "VM_LIFECYCLE"));
  say(eventSubject("h1", "vm1", "VMHOST", "VM_LIFECYCLE"));
  assertEquals([came.length, came[12_345], came.at(-1)], [40_001, "h12345/vm4", "h1/vm1"]);
});
