/**
 * The users whose VMs the probe attaches: `[discovery] users`, names or numbers; by default root and the
 * daemon's own user. Names are looked up again at each probe, so that adding a user needs no reload.
 * @module
 */
import type { Log } from "../base/log.ts";
import type { UserLookup } from "../access/admission.ts";

/** Resolves users to uids. */
export class DiscoveryUsers {
  readonly #lookup: UserLookup;
  readonly #ownUid: number;
  readonly #log: Log;
  readonly #unknown = new Set<string>();
  #users: readonly string[] | undefined;

  /**
   * Takes the configured users.
   *
   * @param users from the config; undefined = root and the daemon's own
   * @param lookup the user database
   * @param ownUid the daemon's uid
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

  /** Their current uids; a name that does not exist is logged once. */
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
