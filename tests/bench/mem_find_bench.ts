/**
 * The search of 1 GiB that is all resident, against memmem in C over the same bytes in one piece.
 * @module
 */
import { findLinux } from "../../src/guest/linux/find_linux.ts";
import { searchMemory } from "../../src/guest/memory_search.ts";
import { openQemuRam } from "../../src/ram/qemu_ram.ts";
import { startGuest } from "../guest/qemu.ts";
import { type Bench, type BenchResult, resultOf } from "./bench.ts";

const MIB = 2 ** 20;
const SEARCHED_MIB = 1024;
const ROUNDS = 5;
/** None of these is in the pattern; of the lengths of what a person types, a pointer, a name, a line. */
const TEXTS = {
  "mem.find1g": "no such text here",
  "mem.find1g.4": "zq#8",
  "mem.find1g.6": "zq#8%W",
  "mem.find1g.8": "zq#8%W.!",
  "mem.find1g.32": "no such text here, and none there",
} as const;

const LIBC = {
  memmem: { parameters: ["buffer", "usize", "buffer", "usize"], result: "pointer" },
} as const;

/** Both figures, on one guest. */
export const benches: readonly Bench[] = [{
  name: "mem.find1g",
  names: Object.keys(TEXTS),
  async run(): Promise<BenchResult[]> {
    await using vm = await startGuest({
      ramMiB: SEARCHED_MIB + 512,
      memory: "memfd",
      kernel: "cloud",
      programs: ["pattern"],
    });
    const pattern = await vm.agent.start("pattern", `${SEARCHED_MIB}`, "5");
    const ready = /^ready (\d+) 0x([0-9a-f]+)/.exec((await pattern.line()) ?? "");
    using ram = openQemuRam(vm.pid);
    ram.memory.refresh();
    const found = findLinux(ram.memory);
    if (!found.found || ready === null) throw new Error("the bench's guest is not what it should be");
    const process = found.os.process(Number(ready[1]));
    if (process === undefined) throw new Error("the pattern program is not in the process list");
    const space = found.os.spaceOf(process);
    const base = parseInt(ready[2] ?? "", 16);
    const end = base + SEARCHED_MIB * MIB;
    vm.kill("SIGSTOP");
    const libc = Deno.dlopen("libc.so.6", LIBC);
    try {
      const copy = new Uint8Array(SEARCHED_MIB * MIB);
      if (space.read(base, copy) !== copy.length) throw new Error("the pattern is not all resident");
      return Object.entries(TEXTS).map(([name, text]) => {
        const needle = new TextEncoder().encode(text);
        const [ours, theirs]: [number[], number[]] = [[], []];
        const gbps = (work: () => boolean): number => {
          const start = performance.now();
          if (work()) throw new Error("it was found");
          return copy.length / 1e6 / (performance.now() - start);
        };
        for (let round = 0; round < ROUNDS; round++) {
          ours.push(gbps(() => searchMemory(space, needle, base, end).addresses.length > 0));
          theirs.push(
            gbps(() =>
              libc.symbols.memmem(copy, BigInt(copy.length), needle, BigInt(needle.length)) !== null
            ),
          );
        }
        return resultOf(name, "GB/s", "higher", ours, theirs, "memmem in C");
      });
    } finally {
      vm.kill("SIGCONT");
      libc.close();
    }
  },
}];
