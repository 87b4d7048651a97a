/**
 * Lists of users, as several tables of a config have them.
 * @module
 */
import type { TableReader } from "./table_reader.ts";

/** The largest uid and gid: the one above it means "none". */
export const MAX_UID: number = 2 ** 32 - 2;

/**
 * Reads the key `users`: names or numbers of users.
 *
 * @throws {Fault} `bad-argument` with file, line and key
 */
export function readUsers(table: TableReader): readonly string[] {
  const users = table.texts("users") ?? [];
  for (const user of users) {
    if (/^[0-9]+$/.test(user) ? Number(user) > MAX_UID : !/^[^\s:/,\0]{1,256}$/.test(user)) {
      throw table.fault("users", `has ${JSON.stringify(user)}, which is neither a user's name nor a number`);
    }
  }
  return users;
}
