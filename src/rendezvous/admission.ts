/**
 * Who may be at the other end of a channel. The kernel tells who connected (SO_PEERCRED); this asks the rule that the
 * config gives, and without one lets in our own user and root, and nobody else.
 * @module
 */
import type { PeerCredentials } from "../../ffi/unix_socket.ts";

/** Whether a peer may be the other end. */
export type PeerRule = (peer: PeerCredentials) => boolean;

/** The rule without a config: our own user, and root. */
export function ownUserRule(): PeerRule {
  const own = Deno.uid();
  return (peer) => peer.uid === own || peer.uid === 0;
}

/** A rule that lets in these users besides our own and root. */
export function usersRule(uids: readonly number[]): PeerRule {
  const own = ownUserRule();
  return (peer) => own(peer) || uids.includes(peer.uid);
}
