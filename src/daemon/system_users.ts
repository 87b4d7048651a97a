/**
 * The users and groups of this machine, as the daemon looks them up.
 * @module
 */
import type { Clock } from "../base/clock.ts";
import { type Log, SILENT } from "../base/log.ts";
import { UserDatabase } from "../access/user_database.ts";

/**
 * Users and groups by /etc/passwd and /etc/group; a file that is not there has nobody in it, and one that
 * cannot be read is a failed read, of whatever kind: see `user_database.ts`.
 *
 * @param clock says when what is known is too old
 * @param log where a failed read is told
 */
export function systemUsers(clock: Clock, log: Log = SILENT): UserDatabase {
  const seen = new Set<string>();
  return new UserDatabase(
    (path) => {
      try {
        const text = Deno.readTextFileSync(path);
        seen.add(path);
        return text;
      } catch (error) {
        // A machine without such files has no users by name; one that had them is having them replaced.
        if (error instanceof Deno.errors.NotFound && !seen.has(path)) return "";
        throw error;
      }
    },
    clock,
    log,
  );
}
