/**
 * Removes records of held keys that no daemon will need: those left by a daemon that was killed, of VMs that
 * have ended since. Records of running guests are kept until their endpoint is attached.
 * @module
 */
import { decodeHeldRecord } from "../adapters/input/held_record.ts";
import { messageOf } from "../base/fault.ts";
import type { Log } from "../base/log.ts";
import { hasEnded } from "../ram/process_end.ts";

const NAME = /^held-.*\.bin$/;

/**
 * Checks a runtime directory, before anything is attached.
 *
 * @param runtimeDir where records are kept
 * @param log reports what cannot be read
 */
export function sweepHeld(runtimeDir: string, log: Log): void {
  try {
    for (const { name, isFile } of Deno.readDirSync(runtimeDir)) {
      if (!isFile || !NAME.test(name)) continue;
      const path = `${runtimeDir}/${name}`;
      const record = decodeHeldRecord(Deno.readFileSync(path));
      // A record that cannot be read is reported when its endpoint is attached; one without a pid may belong
      // to any VM.
      if (record === undefined) continue;
      const { entries, pid } = record;
      if (entries.length === 0 || hasEnded(pid)) Deno.removeSync(path);
    }
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    // The directory does not exist yet, so nothing was ever kept there.
    if (error instanceof Deno.errors.NotFound) return;
    log.warn("cannot read the records of held keys", { path: runtimeDir, why: messageOf(error) });
  }
}
