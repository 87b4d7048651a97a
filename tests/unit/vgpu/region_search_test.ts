// The search: slices, the wait between the two phases, late heartbeats, restarts.
import { assert, assertEquals } from "@std/assert";
import { MS, SECOND } from "../../../src/base/clock.ts";
import { RegionSearch, type SearchState } from "../../../src/vgpu/region_search.ts";
import { RegionBytes } from "../../fixtures/vgpu_bytes.ts";
import { TestGuest } from "../../fixtures/vgpu_guest.ts";

const GVA = 0x7f00_0000_0000;

/** Steps until it wants to wait or has found something. */
function settle(search: RegionSearch, nowNs: number): SearchState {
  for (let n = 0; n < 10_000; n++) {
    const state = search.step(nowNs);
    if (state !== "looking") return state;
  }
  throw new Error("it looks for ever");
}

function rig() {
  const guest = new TestGuest();
  const process = guest.addProcess(5);
  const [header] = guest.place(process.root, GVA, new RegionBytes({ producerPid: 5 }).bytes);
  return { guest, process, beat: (n: number) => guest.ram.put32(header! + 0x40, n) };
}

Deno.test("a region is found no sooner than REGION.md's wait, and only if its heartbeat moved", () => {
  const { guest, beat } = rig();
  const search = new RegionSearch(guest.os());
  assertEquals(settle(search, 0), "waiting");
  assertEquals(search.candidates.length, 1);
  assert(search.nextNs >= 100 * MS, `${search.nextNs}`);
  beat(1);
  assertEquals(settle(search, 99 * MS), "waiting");
  assertEquals(settle(search, search.nextNs), "found");
  assertEquals(search.found?.process.pid, 5);
});

Deno.test("a guest that beats late is waited for; one that does not beat is given up, and tried again when it does", () => {
  const { guest, beat } = rig();
  const late = new RegionSearch(guest.os());
  let nowNs = 0;
  assertEquals(settle(late, nowNs), "waiting");
  for (; nowNs < 500 * MS; nowNs += 50 * MS) assertEquals(settle(late, nowNs), "waiting");
  beat(1);
  assertEquals(settle(late, nowNs), "found");

  const dead = new RegionSearch(guest.os());
  for (nowNs = 0; nowNs < SECOND; nowNs += 50 * MS) assertEquals(settle(dead, nowNs), "waiting");
  assertEquals([dead.cameUpEmpty, dead.candidates.length], [true, 0]);
  beat(2);
  const seen: number[] = [];
  for (; nowNs < 12 * SECOND; nowNs += 50 * MS) {
    if (settle(dead, nowNs) === "found") break;
    if (dead.candidates.length > 0) {
      seen.push(nowNs);
      beat(2 + seen.length);
    }
  }
  assertEquals(dead.found?.process.pid, 5);
  assert(nowNs < 11.5 * SECOND, "the next look at everything finds it");
});

Deno.test("a producer that starts later is found within about a second", () => {
  const guest = new TestGuest();
  for (let pid = 1; pid < 10; pid++) guest.addProcess(pid);
  const search = new RegionSearch(guest.os());
  let nowNs = 0;
  for (; nowNs < 3 * SECOND; nowNs += 100 * MS) assertEquals(settle(search, nowNs), "waiting");
  const late = guest.addProcess(50);
  const [header] = guest.place(late.root, GVA, new RegionBytes({ producerPid: 50 }).bytes);
  const startNs = nowNs;
  let beat = 0;
  while (settle(search, nowNs) !== "found") {
    guest.ram.put32(header! + 0x40, ++beat);
    nowNs += 50 * MS;
    assert(nowNs < startNs + 2 * SECOND, "it is found soon");
  }
});

Deno.test("after again() everything is looked through at once", () => {
  const { guest, beat } = rig();
  const search = new RegionSearch(guest.os());
  settle(search, 0);
  beat(1);
  assertEquals(settle(search, search.nextNs), "found");
  search.again();
  assertEquals(search.found, undefined);
  assertEquals(settle(search, 200 * MS), "waiting");
  assertEquals(search.candidates.length, 1);
});

/** A guest that counts how often its process list is read. */
function counted(guest: TestGuest) {
  const os = guest.os();
  const count = { lists: 0 };
  const processes = (): ReturnType<typeof os.processes> => {
    count.lists++;
    return os.processes();
  };
  return { os: { ...os, processes }, count };
}

Deno.test("while no process starts the list is left alone; after one has, it is read until it has settled", () => {
  const guest = new TestGuest();
  guest.addProcess(1);
  guest.births = 40;
  const { os, count } = counted(guest);
  const search = new RegionSearch(os);
  let nowNs = 0;
  const lists = (seconds: number): number => {
    const before = count.lists;
    for (const endNs = nowNs + seconds * SECOND; nowNs < endNs; nowNs += 100 * MS) settle(search, nowNs);
    return count.lists - before;
  };
  assertEquals(lists(4), 3, "the first look, and two more");
  assertEquals(lists(5), 0);
  guest.births++;
  assertEquals(lists(5), 3);
  guest.births = undefined;
  assertEquals(lists(5), 5, "a system that keeps no count is listed each time");
});

Deno.test("all processes are looked through more and more seldom, and as soon as at first when one has started", () => {
  const guest = new TestGuest();
  const process = guest.addProcess(1);
  guest.place(process.root, GVA, new Uint8Array(4096));
  const search = new RegionSearch(guest.os());
  /** When a look went through pages that were looked through before, s. */
  const looks: number[] = [];
  let tables = 0;
  const locate = guest.memory.locate.bind(guest.memory);
  guest.memory.locate = (frame) => {
    if (frame === process.root / 4096) tables++;
    return locate(frame);
  };
  const run = (fromS: number, toS: number): void => {
    for (let s = fromS; s < toS; s++) {
      tables = 0;
      settle(search, s * SECOND);
      if (tables > 0) looks.push(s);
    }
  };
  run(0, 200);
  assertEquals(looks, [0, 10, 30, 70, 130, 190]);
  looks.length = 0;
  guest.addProcess(2);
  run(200, 240);
  assertEquals(looks, [210, 230]);
});
