/**
 * Watched values: what 10,000 of them cost at 100 looks per second, in this process all together (the
 * Worker's looks, its messages, this thread's events), in per cent of one processor's time.
 *
 * The values lie at random in 64 MiB of a process of a real guest, in 4 KiB pages; a hundred of them in its
 * kernel, some of which change at each look.
 * @module
 */
import { connect } from "../../src/client/connect.ts";
import type { WatchedValue } from "../../src/client/memory_event.ts";
import { startGuest } from "../guest/qemu.ts";
import { type Bench, type BenchResult, resultOf } from "./bench.ts";
import { serveStubs } from "./served.ts";

const VALUES = 10_000;
const KERNEL_VALUES = 100;
const RATE_HZ = 100;
const PATTERN_MIB = 64;
const ROUNDS = 5;
const ROUND_MS = 3000;
const TICKS_PER_SECOND = 100;

/** Processor time of this process, s. */
function cpuSeconds(): number {
  const stat = Deno.readTextFileSync("/proc/self/stat");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

async function watch(): Promise<BenchResult> {
  await using vm = await startGuest({ programs: ["pattern"], ramMiB: 512 });
  const pattern = await vm.agent.start("pattern", `${PATTERN_MIB}`, "3");
  const [, pid = "", base = ""] = await pattern.lineMatching(/^ready (\d+) (0x[0-9a-f]+)/);
  const path = await Deno.makeTempFile({ prefix: "vmsig-bench-", suffix: ".toml" });
  try {
    const config = `[[endpoint]]\nname = "vm"\nqmp = "${vm.qmpPath}"\ninput = "none"\n`;
    await Deno.writeTextFile(path, `${config}[discovery]\nprobe = false\n`);
    await using daemon = await serveStubs(0, ["--config", path]);
    await using client = await connect({
      socket: daemon.socket,
      name: "bench",
      sub: { sources: ["core", "memctx"] },
    });
    const values: WatchedValue[] = Array.from(
      { length: VALUES },
      (_, i) =>
        i < KERNEL_VALUES ? { endpoint: "vm", address: "init_task", offset: 8 * i, sizeBytes: 8 } : {
          endpoint: "vm",
          pid: Number(pid),
          address: Number(base) + 8 * Math.floor(Math.random() * PATTERN_MIB * 2 ** 17),
          sizeBytes: 8,
        },
    );
    values[0] = { endpoint: "vm", address: "jiffies", sizeBytes: 8 };
    await using memory = await client.watchMemory(values, { rateHz: RATE_HZ });
    const figures: number[] = [];
    let told = 0;
    let missed = 0;
    let startedMs = 0;
    let startedCpu = 0;
    for await (const event of memory) {
      if (event.what === "rate") missed += event.missed;
      if (event.what === "unreadable") {
        throw new Error(`value ${event.index} cannot be read: ${event.reason}`);
      }
      // The first look tells all of them; jiffies changes at each one after that.
      if (++told < VALUES) continue;
      const nowMs = performance.now();
      if (startedMs > 0 && nowMs - startedMs < ROUND_MS) continue;
      const nowCpu = cpuSeconds();
      if (startedMs > 0) figures.push(100 * (nowCpu - startedCpu) / ((nowMs - startedMs) / 1000));
      [startedMs, startedCpu] = [nowMs, nowCpu];
      if (figures.length === ROUNDS) break;
    }
    if (missed > RATE_HZ) console.error(`mem.watch: ${missed} rounds were skipped`);
    return resultOf("mem.watch", "% of a core", "lower", figures, null, null);
  } finally {
    await Deno.remove(path);
  }
}

/** What it measures. */
export const benches: readonly Bench[] = [{ name: "mem.watch", run: watch }];
