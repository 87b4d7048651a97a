/**
 * The users and groups of this machine, as the daemon looks them up.
 * @module
 */
import type { Clock } from "../base/clock.ts";
import { UserDatabase } from "../access/user_database.ts";

/**
 * Users and groups by /etc/passwd and /etc/group; a file that is absent or may not be read has nobody in it.
 *
 * @param clock says when what is known is too old
 */
export function systemUsers(clock: Clock): UserDatabase {
  return new UserDatabase(readText, clock);
}

function readText(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.PermissionDenied) return "";
    throw error;
  }
}
