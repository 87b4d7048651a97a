/**
 * Sixteen VNC sources on one thread, as perception runs them: waits in epoll, steps them, and prints the
 * processor time of the whole process once each has had its pictures.
 *
 *   deno run -A tests/bench/display_vnc_child.ts PATH SOURCES PICTURES
 *
 * @module
 */
import { cpuUsage } from "node:process";
import { monotonicClock } from "../../ffi/clock.ts";
import { Poller } from "../../ffi/poller.ts";
import { MemoryCanvas } from "../../src/display/canvas.ts";
import { VncSource } from "../../src/display/vnc/vnc_source.ts";

const [path = "", sources = "16", pictures = "50"] = Deno.args;
const poller = new Poller(64);
const all = Array.from({ length: Number(sources) }, () => {
  const canvas = new MemoryCanvas();
  const listener = {
    onLost: (_code: number, why: string) => {
      throw new Error(why);
    },
    onPicture: () => {},
  };
  const source = new VncSource({
    address: { kind: "unix", path },
    canvas,
    listener,
    nowNs: monotonicClock.nowNs(),
  });
  source.demand(60);
  return { source, canvas, events: 0 };
});
all.forEach((each, i) => poller.add(each.source.fd, each.events = each.source.events, i));

/** Runs until each has had so many pictures. */
function until(count: number): void {
  while (all.some(({ canvas }) => canvas.commits < count)) {
    const next = Math.min(...all.map(({ source }) => source.nextNs));
    const ready = poller.waitNs(next - monotonicClock.nowNs());
    const nowNs = monotonicClock.nowNs();
    for (let i = 0; i < ready; i++) all[poller.tag(i)]?.source.step(nowNs);
    all.forEach((each, i) => {
      if (each.source.nextNs <= nowNs) each.source.step(nowNs);
      if (each.events !== each.source.events) {
        poller.modify(each.source.fd, each.events = each.source.events, i);
      }
    });
  }
}

// The compiler's time is not a picture's.
until(10);
const before = cpuUsage();
until(10 + Number(pictures));
const { user, system } = cpuUsage(before);
console.log((user + system) * 1000);
Deno.exit(0);
