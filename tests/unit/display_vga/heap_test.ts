// A process's heap out of /proc/PID/maps, where the kernel tells it in one line or in several.
import { assertEquals } from "@std/assert";
import { heapOf } from "../../../src/display/vga/video_memory.ts";
import { parseHostMaps } from "../../../src/ram/process_maps.ts";

function heap(...lines: readonly string[]): readonly [string, string] {
  const { start, end } = heapOf(parseHostMaps(`${lines.join("\n")}\n`));
  return [start.toString(16), end.toString(16)];
}

Deno.test("a heap is what its lines make together, the largest piece without a gap, and what can be written", () => {
  const code = "558e23000000-558e24000000 r-xp 00000000 fd:00 77 /usr/bin/qemu-system-x86_64";
  // As QEMU 7.2 has it behind -daemonize.
  const [first, second] = [
    "558e25410000-558e254b5000 rw-p 00000000 00:00 0 [heap]",
    "558e254b5000-558e2683e000 rw-p 00000000 00:00 0 [heap]",
  ];
  const far = "558e27000000-558e27001000 rw-p 00000000 00:00 0 [heap]";
  assertEquals(heap(code), ["0", "0"]);
  assertEquals(heap(code, first), ["558e25410000", "558e254b5000"]);
  assertEquals(heap(code, first, second), ["558e25410000", "558e2683e000"]);
  assertEquals(heap(code, first, second, far), ["558e25410000", "558e2683e000"]);
  assertEquals(heap(first, far.replace("rw-p", "---p")), ["558e25410000", "558e254b5000"]);
  assertEquals(heap(far, code), ["558e27000000", "558e27001000"]);
});
