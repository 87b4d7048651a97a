/**
 * Who may be at the other end of a channel. The kernel tells who connected (SO_PEERCRED); this asks the rule
 * that the config gives, and without one lets in our own user and root, and nobody else.
 * @module
 */
import type { PeerCredentials } from "../../ffi/unix_socket.ts";

/** Whether a peer may be the other end. */
export type PeerRule = (peer: PeerCredentials) => boolean;

/** Whether a peer is of our own user, or root. */
export function isOwnUser(peer: PeerCredentials): boolean {
  return peer.uid === Deno.uid() || peer.uid === 0;
}

/** The rule without a config: our own user, and root. */
export function ownUserRule(): PeerRule {
  return isOwnUser;
}

/** A rule that lets in these users besides our own and root. */
export function usersRule(uids: readonly number[]): PeerRule {
  const own = ownUserRule();
  return (peer) => own(peer) || uids.includes(peer.uid);
}
