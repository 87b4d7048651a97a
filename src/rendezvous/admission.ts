/**
 * Who may be at the other end of a channel. The kernel reports the peer's credentials (SO_PEERCRED), and the
 * config's rule decides; without a rule, only our own user and root are admitted.
 * @module
 */
import type { PeerCredentials } from "../../ffi/unix_socket.ts";

/** Whether a peer may be the other end. */
export type PeerRule = (peer: PeerCredentials) => boolean;

/** Whether a peer runs as our own user, or root. */
export function isOwnUser(peer: PeerCredentials): boolean {
  return peer.uid === Deno.uid() || peer.uid === 0;
}

/** The default rule: our own user, and root. */
export function ownUserRule(): PeerRule {
  return isOwnUser;
}

/** A rule that admits these users besides our own and root. */
export function usersRule(uids: readonly number[]): PeerRule {
  const own = ownUserRule();
  return (peer) => own(peer) || uids.includes(peer.uid);
}
