/**
 * The layer check finds what the ranks forbid, and nothing else.
 * @module
 */
import { assertEquals } from "@std/assert";
import { circles, rankFaults } from "../../../scripts/build/layers.ts";

function graph(imports: Record<string, string[]>): Map<string, Set<string>> {
  return new Map(Object.entries(imports).map(([file, targets]) => [file, new Set(targets)]));
}

Deno.test("layers: downwards and within a folder is allowed", () => {
  const imports = graph({
    "src/base/a.ts": [],
    "src/base/b.ts": ["src/base/a.ts"],
    "src/core/loop.ts": ["src/base/a.ts", "src/event/kinds.ts", "ffi/poller.ts"],
    "src/client/cli/ls.ts": ["src/client/client.ts", "src/daemon/daemon.ts"],
    "main.ts": ["src/client/cli/ls.ts"],
  });
  assertEquals(rankFaults(imports), []);
  assertEquals(circles(imports), []);
});

Deno.test("layers: upwards, sideways, outside and unranked are each told", () => {
  const imports = graph({
    "src/base/a.ts": ["src/event/kinds.ts"],
    "src/qemu/qmp.ts": ["ffi/poller.ts"],
    "src/core/loop.ts": ["tests/guest/qemu.ts"],
    "src/stuff/x.ts": [],
    "src/basement/x.ts": [],
  });
  assertEquals(rankFaults(imports), [
    "src/base/a.ts (rank 0) imports src/event/kinds.ts (rank 1)",
    "src/qemu/qmp.ts (rank 1) imports ffi/poller.ts (rank 1)",
    "src/core/loop.ts imports tests/guest/qemu.ts, which is outside the checkout",
    "src/stuff/x.ts: its folder has no rank; add it to scripts/build/layers.ts",
    "src/basement/x.ts: its folder has no rank; add it to scripts/build/layers.ts",
  ]);
});

Deno.test("layers: a circle is told with its way round", () => {
  const imports = graph({ "a.ts": ["b.ts"], "b.ts": ["c.ts"], "c.ts": ["b.ts"], "d.ts": ["a.ts"] });
  assertEquals(circles(imports), ["circle: b.ts -> c.ts -> b.ts"]);
});
