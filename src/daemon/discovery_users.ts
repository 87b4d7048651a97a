/**
 * Whose VMs the probe attaches: `[discovery] users`, names or numbers; root's and the daemon's own unless the
 * config says otherwise. Names are looked up anew at each whole look, so that a user who was added needs no
 * reload.
 * @module
 */
import type { Log } from "../base/log.ts";
import type { UserLookup } from "../access/admission.ts";

/** Finds the numbers of users. */
export class DiscoveryUsers {
  readonly #lookup: UserLookup;
  readonly #ownUid: number;
  readonly #log: Log;
  readonly #unknown = new Set<string>();
  #users: readonly string[] | undefined;

  /**
   * Knows who counts.
   *
   * @param users as the config has them; undefined = root and the daemon's own
   * @param lookup who is who
   * @param ownUid the daemon's
   */
  constructor(users: readonly string[] | undefined, lookup: UserLookup, ownUid: number, log: Log) {
    this.#users = users;
    this.#lookup = lookup;
    this.#ownUid = ownUid;
    this.#log = log;
  }

  /** Takes the users of a reloaded config. */
  replace(users: readonly string[] | undefined): void {
    this.#users = users;
    this.#unknown.clear();
  }

  /** Their numbers as they are now; a name that nobody has is told once. */
  uids(): ReadonlySet<number> {
    if (this.#users === undefined) return new Set([0, this.#ownUid]);
    const uids = new Set<number>();
    for (const user of this.#users) {
      const uid = /^[0-9]+$/.test(user) ? Number(user) : this.#lookup.uidOf(user);
      if (uid !== undefined) uids.add(uid);
      else if (!this.#unknown.has(user)) {
        this.#unknown.add(user);
        this.#log.warn("no such user; its VMs are not attached", { key: "discovery.users", user });
      }
    }
    return uids;
  }
}
