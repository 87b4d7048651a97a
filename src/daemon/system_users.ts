/**
 * The users and groups of this machine, as the daemon looks them up.
 * @module
 */
import type { Clock } from "../base/clock.ts";
import { type Log, SILENT } from "../base/log.ts";
import { UserDatabase } from "../access/user_database.ts";

/**
 * Users and groups from /etc/passwd and /etc/group. A file that does not exist is empty; any error in reading
 * one is a failed read: see `user_database.ts`.
 *
 * @param clock tells when the tables are too old
 * @param log logs a failed read
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
        // A machine that never had these files has no named users; if they existed before, they are being
        // replaced.
        if (error instanceof Deno.errors.NotFound && !seen.has(path)) return "";
        throw error;
      }
    },
    clock,
    log,
  );
}
