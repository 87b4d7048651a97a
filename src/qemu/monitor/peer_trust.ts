/**
 * The users whose programs may connect to a socket on which the daemon waits for a QEMU: root, the daemon's
 * own, and those of `[discovery] users`, because who connects there is believed to be the VM.
 * @module
 */

/** Decides by uid; the users may change while sockets listen. */
export class PeerTrust {
  readonly #isTrusted: (uid: number, users: readonly string[]) => boolean;
  readonly #followers = new Set<() => void>();
  #users: readonly string[];

  /**
   * Takes the users.
   *
   * @param users by name or number, besides root and the daemon's own
   * @param isTrusted whether a uid is root's, the daemon's own or that of one of these users
   */
  constructor(users: readonly string[], isTrusted: (uid: number, users: readonly string[]) => boolean) {
    this.#users = users;
    this.#isTrusted = isTrusted;
  }

  /** Whether others than root and the daemon's own user may be trusted. */
  get admitsOthers(): boolean {
    return this.#users.length > 0;
  }

  /** Whether a user is trusted now. */
  isTrusted(uid: number): boolean {
    return this.#isTrusted(uid, this.#users);
  }

  /** Replaces the users, and tells those who follow. */
  replace(users: readonly string[]): void {
    this.#users = users;
    for (const follower of this.#followers) follower();
  }

  /** Calls `follower` after each change, until {@linkcode unfollow}. */
  follow(follower: () => void): void {
    this.#followers.add(follower);
  }

  /** Ends that. */
  unfollow(follower: () => void): void {
    this.#followers.delete(follower);
  }
}
