/**
 * Removes records of held keys that no daemon will need: a daemon that was killed left them, and the VMs that
 * they are of have ended since. What may still be down in a guest that runs is kept, for when its endpoint is
 * attached.
 * @module
 */
import { decodeHeldRecord } from "../adapters/input/held_record.ts";
import { messageOf } from "../base/fault.ts";
import type { Log } from "../base/log.ts";
import { hasEnded } from "../ram/process_end.ts";

const NAME = /^held-.*\.bin$/;

/**
 * Looks through a runtime directory, before anything is attached.
 *
 * @param runtimeDir where records are kept
 * @param log told of what cannot be looked at
 */
export function sweepHeld(runtimeDir: string, log: Log): void {
  try {
    for (const { name, isFile } of Deno.readDirSync(runtimeDir)) {
      if (!isFile || !NAME.test(name)) continue;
      const path = `${runtimeDir}/${name}`;
      const record = decodeHeldRecord(Deno.readFileSync(path));
      // What cannot be read is told when its endpoint is attached; a pid that is not known may be anybody's.
      if (record === undefined) continue;
      const { entries, pid } = record;
      if (entries.length === 0 || hasEnded(pid)) Deno.removeSync(path);
    }
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    // Not made yet: nothing was ever kept there.
    if (error instanceof Deno.errors.NotFound) return;
    log.warn("cannot read the records of held keys", { path: runtimeDir, why: messageOf(error) });
  }
}
