import { assertEquals } from "@std/assert";
import { encodeHeldRecord, MAX_HELD_RECORD_BYTES } from "../../../src/adapters/input/held_record.ts";
import { heldEntry } from "../../../src/adapters/input/held_set.ts";
import { Log } from "../../../src/base/log.ts";
import { heldPath } from "../../../src/adapters/input/held_file.ts";
import { sweepHeld } from "../../../src/daemon/held_sweep.ts";
import { INPUT_KIND } from "../../../src/event/body_number.ts";

const SHIFT = heldEntry(INPUT_KIND.KEY, 42);
const NOBODY = 2 ** 22 + 1;

Deno.test("what is down in a guest that runs is kept for its endpoint, the rest goes, and what is not ours is not touched", () => {
  const folder = Deno.makeTempDirSync({ prefix: "vmsig-sweep-" });
  const lines: string[] = [];
  const log = new Log("test", "debug", (line) => lines.push(line), false);
  const record = (name: string, pid: number, entries: readonly number[]) => {
    const bytes = new Uint8Array(MAX_HELD_RECORD_BYTES);
    Deno.writeFileSync(heldPath(folder, name), bytes.subarray(0, encodeHeldRecord(bytes, pid, entries)));
  };
  try {
    record("runs", Deno.pid, [SHIFT]);
    record("unknown", 0, [SHIFT]);
    record("ended", NOBODY, [SHIFT]);
    record("neutral", Deno.pid, []);
    Deno.writeTextFileSync(heldPath(folder, "damaged"), "no record");
    Deno.symlinkSync(heldPath(folder, "ended"), heldPath(folder, "link"));
    Deno.writeTextFileSync(`${folder}/vmsigd.toml`, "");
    Deno.mkdirSync(`${folder}/held-folder.bin`);
    sweepHeld(folder, log);
    assertEquals([...Deno.readDirSync(folder)].map((entry) => entry.name).sort(), [
      "held-damaged.bin",
      "held-folder.bin",
      "held-link.bin",
      "held-runs.bin",
      "held-unknown.bin",
      "vmsigd.toml",
    ]);
    sweepHeld(`${folder}/not-there`, log);
    assertEquals(lines, []);
    sweepHeld(`${folder}/vmsigd.toml`, log);
    assertEquals(lines.length, 1);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});
