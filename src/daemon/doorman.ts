/**
 * Who is let in, with which rights: the daemon's admission at the control socket's door. Without rules the daemon's own uid has every capability on every endpoint, and
 * nobody else is let in (contract, section 5).
 * @module
 */
import { CODE } from "../base/codes.ts";
import { fullGrant, type Grant, NO_ENDPOINTS } from "../access/grant.ts";
import type { Doorkeeper, Peer, Verdict } from "../controls/socket/socket_listener.ts";

/** Admits peers by uid. */
export class Doorman implements Doorkeeper {
  readonly #ownUid: number;

  /** @param ownUid the daemon's uid */
  constructor(ownUid: number) {
    this.#ownUid = ownUid;
  }

  /** Whether any rule admits somebody else than the daemon's own uid. */
  get admitsOthers(): boolean {
    return false;
  }

  admit(peer: Peer): Verdict {
    if (peer.uid === this.#ownUid) return { ok: true, grant: fullGrant(peer.uid) };
    return {
      ok: false,
      code: CODE["not-admitted"],
      reason: `uid ${peer.uid} is not admitted; add an [[admission]] to the daemon's config`,
    };
  }

  /** The grant of a peer that is in, as the rules and the roster are now. */
  grantOf(peer: Peer): Grant {
    const verdict = this.admit(peer);
    if (verdict.ok) return verdict.grant;
    return { principal: peer.uid, endpoints: NO_ENDPOINTS, sources: 0, caps: 0, arbPrio: 0 };
  }

  left(_peer: Peer): void {
    // Nothing is counted per uid yet.
  }
}
