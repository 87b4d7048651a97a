import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { ManualClock } from "../../../src/base/clock.ts";
import { Fault } from "../../../src/base/fault.ts";
import { Channel } from "../../../src/v2v/channel.ts";
import type { ChannelLink } from "../../../src/v2v/channel_link.ts";
import { STATE } from "../../../src/v2v/endpoint_state.ts";
import { RegionHeader } from "../../../src/v2v/region_header.ts";
import { CONNECTOR_CONTROL_AT, HEADER, regionBytes, type Role } from "../../../src/v2v/region_layout.ts";
import { BufferRegion } from "../../../src/v2v/shared_region.ts";

/** A link whose doorbells are full when it is told so. */
class SpoiltLink implements ChannelLink {
  readonly fds = undefined;
  full = false;
  closed = false;
  ringData(): boolean {
    return !this.full;
  }
  ringSpace(): boolean {
    return !this.full;
  }
  wait(): void {}
  waitAsync(): Promise<void> {
    return Promise.resolve();
  }
  peerPresent(): boolean {
    return true;
  }
  clear(): void {}
  close(): void {
    this.closed = true;
  }
}

function pair(): { channels: Record<Role, Channel>; links: Record<Role, SpoiltLink>; words: Int32Array } {
  const region = new BufferRegion(new ArrayBuffer(regionBytes(0, 0)));
  const header = new RegionHeader(region);
  const plan = { generation: 1, prodOrder: 0, consOrder: 0 };
  header.initialise(plan);
  header.join(1);
  header.setState("listener", "connected");
  const links = { listener: new SpoiltLink(), connector: new SpoiltLink() };
  const channel = (role: Role): Channel =>
    new Channel({ role, region, header, link: links[role], clock: new ManualClock(), ...plan });
  return {
    links,
    channels: { listener: channel("listener"), connector: channel("connector") },
    words: new Int32Array(region.buffer),
  };
}

Deno.test("a doorbell that is full when a message is sent crashes the channel, with one error", () => {
  const { channels, links, words } = pair();
  const { listener } = channels;
  links.listener.full = true;
  const first = assertThrows(() => listener.sendMessage(new Uint8Array(8)), Fault);
  assertEquals(first.code, "protocol-error");
  assertStrictEquals(listener.fault, first);
  assertEquals(listener.remoteState(), "crashed");
  assertEquals(words[HEADER.at.listenerState >> 2], STATE.crashed, "the other end hears of it");
  assertEquals([listener.waitReceive(1000), listener.waitSend(1000)], ["closed", "closed"]);
  // The other end asks to be rung once more: it is the same error again.
  words[(CONNECTOR_CONTROL_AT >> 2) + 1] = 17;
  const second = assertThrows(() => {
    for (;;) if (listener.sendMessage(new Uint8Array(8)) === "retry") break;
  }, Fault);
  assertStrictEquals(second, first);
  assertEquals(listener.disconnect(0), "clean");
  assert(links.listener.closed, "all is given back");
});

Deno.test("a doorbell that is full when room is given back crashes the channel as well", () => {
  const { channels, links } = pair();
  const { listener, connector } = channels;
  while (connector.sendMessage(new Uint8Array(504)) === "ok");
  links.listener.full = true;
  assert(listener.getMessage());
  assertEquals(assertThrows(() => listener.receiver.finish(), Fault).code, "protocol-error");
  assertEquals(listener.remoteState(), "crashed");
  assertEquals(connector.remoteState(), "crashed");
  links.connector.full = true;
  connector.disconnect(0); // a goodbye that cannot be rung is none the worse
  assert(links.connector.closed);
});
