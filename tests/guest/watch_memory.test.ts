/**
 * Values in a real guest's memory, watched: each is told first, and then when the guest changes it; a process
 * that ends, a symbol and a process that are not there are told; a reset ends the epoch, and the next one
 * begins anew; a reader that does not read is told how many looks it has missed, and still gets the last
 * value.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { openFdCount } from "../../ffi/owned_fd.ts";
import { Fault } from "../../src/base/fault.ts";
import { connect } from "../../src/client/connect.ts";
import type { MemoryEvent } from "../../src/client/memory_event.ts";
import type { MemoryWatcher } from "../../src/client/memory_watch.ts";
import { DaemonProcess } from "../fixtures/daemon_process.ts";
import { runHere } from "../unit/cli/command_world.ts";
import { patternWord } from "./pattern.ts";
import { startSavedGuest } from "./saved_guest.ts";

type Value = Extract<MemoryEvent, { what: "value" }>;
type Rate = Extract<MemoryEvent, { what: "rate" }>;

/** Changes that are made while nobody reads, more than the reader may leave unread. */
const POKES = 200;

/** Reads until an event fits; what it throws names those that did not. */
async function until<E extends MemoryEvent>(
  watch: MemoryWatcher,
  fits: (event: MemoryEvent) => event is E,
): Promise<E> {
  for (;;) {
    const { done, value } = await watch.next();
    assert(!done, "the watch goes on");
    if (fits(value)) return value;
    if (value.what === "ended") throw new Error(`epoch ${value.epoch} has ended: ${value.reason}`);
  }
}

const isValue = (index: number, value?: bigint) => (event: MemoryEvent): event is Value =>
  event.what === "value" && event.index === index && (value === undefined || event.value === value);
const isUnreadable = (index: number) =>
(
  event: MemoryEvent,
): event is Extract<MemoryEvent, { what: "unreadable" }> =>
  event.what === "unreadable" && event.index === index;

Deno.test("values of a real guest are told when they change, across processes' ends and resets", async (t) => {
  await using daemon = await DaemonProcess.start();
  await using vm = await startSavedGuest({ ramMiB: 512, programs: ["pattern"] });
  daemon.drop("vm", `name = "vm"\nqmp = "${vm.qmpPath}"\ninput = "qmp"\n`);
  const socket = ["--socket", daemon.socket];
  const info = await runHere(["wait", "vm", "--process", "init", ...socket]);
  assertEquals(info.code, 0, info.err);
  const pattern = await vm.agent.start("pattern", "4", "7");
  const [, pidText = "", baseText = ""] = await pattern.lineMatching(/^ready (\d+) (0x[0-9a-f]+) \d+/);
  const [pid, base] = [Number(pidText), Number(baseText)];
  const values = [
    { endpoint: "vm", pid, address: base, sizeBytes: 8 },
    { endpoint: "vm", pid, address: base + 0x1006, sizeBytes: 1 },
    { endpoint: "vm", pid, address: base + 0x2ffa, sizeBytes: 12 },
    { endpoint: "vm", address: "jiffies", sizeBytes: 8 },
    { endpoint: "vm", address: "no_such_symbol", sizeBytes: 8 },
    { endpoint: "vm", pid: 99_999, address: base, sizeBytes: 8 },
    { endpoint: "vm", pid, address: 0x10, sizeBytes: 4 },
    { endpoint: "vm", address: "init_task", offset: 4, sizeBytes: 4 },
  ];
  const before = openFdCount();
  {
    await using client = await connect({
      socket: daemon.socket,
      name: "watches",
      sub: { sources: ["core", "memctx"] },
    });
    await using watch = await client.watchMemory(values, { rateHz: 50 });
    await t.step("each is told first", async () => {
      const first = new Map<number, MemoryEvent>();
      while (first.size < values.length) {
        const event = await until(
          watch,
          (one): one is MemoryEvent => one.what === "value" || one.what === "unreadable",
        );
        if ((event.what === "value" || event.what === "unreadable") && !first.has(event.index)) {
          first.set(event.index, event);
        }
      }
      const word = (i: number) => BigInt(patternWord(7, i));
      const told = (index: number) => first.get(index) as Value;
      assertEquals([told(0).value, told(0).isFirst], [word(1) << 32n | word(0), true]);
      assertEquals(told(1).value, (word(0x1004 / 4) >> 16n) & 0xffn);
      assertEquals(told(2).bytes.length, 12);
      assertEquals(told(2).value, undefined);
      const across = new Uint8Array(
        new Uint32Array([0x2ff8, 0x2ffc, 0x3000, 0x3004].map((at) => patternWord(7, at / 4))).buffer,
      );
      assertEquals(told(2).bytes, across.slice(2, 14));
      const reason = (index: number) => (first.get(index) as { reason?: string }).reason;
      assertEquals([reason(4), reason(5), reason(6)], ["no-symbol", "no-process", "not-present"]);
    });
    await t.step("and then when the guest changes it, whatever its size and place", async () => {
      await pattern.write("poke 0 1122334455667788\n");
      const whole = await until(watch, isValue(0, 0x8877665544332211n));
      assert(!whole.isFirst);
      const odd = ((Number(patternWord(7, 0x401) >> 16) & 0xff) ^ 1).toString(16).padStart(2, "0");
      await pattern.write(`poke ${0x1006} ${odd}\n`);
      await until(watch, isValue(1));
      await pattern.write(`poke ${0x3000} ff00ff00\n`);
      const across = await until(watch, isValue(2));
      assertEquals([...across.bytes.slice(6, 10)], [0xff, 0, 0xff, 0]);
      const one = await until(watch, isValue(3));
      const two = await until(watch, isValue(3));
      assert((two.value as bigint) > (one.value as bigint) && two.tsNs > one.tsNs, "jiffies go on");
    });
    await t.step("a reader that does not read misses looks, and still gets the last value", async () => {
      let rate: Rate | undefined;
      // On a busy machine fewer pokes are seen than the reader may leave unread; then there are more of them.
      for (let round = 1; rate === undefined; round++) {
        assert(round <= 30, "a reader that does not read is told that it missed looks");
        for (let i = 1; i <= POKES; i++) {
          await pattern.write(`poke 0 ${(i + round % 2).toString(16).padStart(2, "0")}\n`);
          await pattern.lineMatching(/^poked/);
          await new Promise((resolve) => setTimeout(resolve, 25));
        }
        const isLast = isValue(0, 0x8877665544332200n + BigInt(POKES + round % 2));
        await until(watch, (one): one is Value => {
          // Looking may have been too slow as well.
          if (one.what === "rate" && one.because === "reader") rate = one;
          return isLast(one);
        });
      }
      assertEquals(rate.askedHz, 50);
      assert(rate.missed > 0);
    });
    await t.step("a page that the process unmaps, and its end", async () => {
      await pattern.write(`unmap ${0x2000} ${0x1000}\n`);
      assertEquals((await until(watch, isUnreadable(2))).reason, "not-present");
      await pattern.kill(9);
      assertMatch((await until(watch, isUnreadable(0))).reason, /^(process-ended|not-present)$/);
    });
    await t.step("a reset ends the epoch, and the next boot begins anew", async () => {
      await using power = await client.acquire("vm", "power");
      await client.vm("vm", "reset");
      await power.release();
      const ended = await until(
        watch,
        (one): one is Extract<MemoryEvent, { what: "ended" }> => one.what === "ended",
      );
      assertEquals(ended.reason, "reset");
      const began = await until(
        watch,
        (one): one is Extract<MemoryEvent, { what: "began" }> =>
          one.what === "began" && one.epoch > ended.epoch,
      );
      const again = await until(watch, isValue(3));
      assert(again.isFirst && again.epoch >= began.epoch);
    });
  }
  assertEquals(openFdCount(), before, "no descriptor is left");
  await t.step("the command prints them, plain and as JSON", async () => {
    await vm.agent.ready(2);
    const words = ["watch", "--memory", "vm::jiffies:8", "--memory", "vm::init_task+0x10:4"];
    const plain = await runHere([...words, "--rate", "20", "--count", "4", ...socket]);
    assertEquals(plain.code, 0, plain.err);
    assertMatch(plain.out, /^SECONDS .*VALUE\n.*vm .*epoch \d+ begins\n/);
    assertMatch(plain.out, / vm +kernel +jiffies +0x[0-9a-f]+ \(\d+\)\n/);
    const folder = Deno.makeTempDirSync({ prefix: "vmsig-watch-" });
    try {
      Deno.writeTextFileSync(`${folder}/list`, "# counts\nvm::jiffies:8\n\nvm:1:0x10:4\n");
      const json = await runHere([
        "watch",
        "--memory",
        `@${folder}/list`,
        "--json",
        "--count",
        "3",
        ...socket,
      ]);
      const objects = json.out.trim().split("\n").map((text) => JSON.parse(text));
      assertEquals(objects[0].what, "began");
      const value = objects.find((one) => one.what === "value");
      assertEquals([value.address, value.first, value.pid, value.size], ["jiffies", true, null, 8]);
      const bad = objects.find((one) => one.what === "unreadable");
      assertEquals([bad.pid, bad.address, bad.reason], [1, "0x10", "not-present"]);
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  });
  await t.step("who has no context of it is told", async () => {
    await using client = await connect({
      socket: daemon.socket,
      name: "late",
      sub: { sources: ["core", "memctx"] },
    });
    await using taker = client.events({ kinds: ["MEMCTX"] });
    await client.barrier();
    assert(taker.buffered > 0);
    const fault = await assertRejects(() => client.watchMemory(values), Fault);
    assertEquals(fault.code, "busy");
  });
});
