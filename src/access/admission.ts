/**
 * Admission: which user gets which grant. Rules are tried in order and the first that matches decides; who
 * matches none is not let in, but for the daemon's own uid, which has every capability on every endpoint (it
 * could change the rules anyway).
 *
 * Rules name endpoints; numbers come and go with the roster. So a rule is kept, and its grant computed anew
 * whenever the roster or the config has changed: who holds a name's number tomorrow gets nothing that was
 * granted to the name today.
 *
 * Names of users and groups are looked up as the tables of users are now, so that a user who was added to a
 * group needs no reload. Which rule a user gets is remembered until the rules or those tables change: whoever
 * may connect makes this be asked as often as it likes.
 *
 * Nothing fails open. While the tables were never read, a rule that depends on them can neither match nor be
 * passed over: the rules behind it may allow more. So nobody is let in by it or by one behind it, but for the
 * daemon's own user.
 * @module
 */
import type { EndpointMask, Grant } from "./grant.ts";
import { ALL_ENDPOINTS, fullGrant } from "./grant.ts";

/** Whom a rule is for. */
export type AdmissionSubject =
  | { readonly kind: "uid"; readonly uid: number }
  | { readonly kind: "user"; readonly name: string }
  | { readonly kind: "gid"; readonly gid: number }
  | { readonly kind: "group"; readonly name: string };

/** One rule. */
export interface AdmissionRule {
  /** Whom it is for. */
  readonly subject: AdmissionSubject;
  /** Names of endpoints; "all" for every one, also those to come. */
  readonly endpoints: "all" | readonly string[];
  /** Sources, bit 1 << source. */
  readonly sources: number;
  /** Capabilities. */
  readonly caps: number;
  /** Lease arbitration: strictly higher pre-empts. */
  readonly arbPrio: number;
}

/** Who asks, as the kernel tells (SO_PEERCRED). */
export interface AdmissionPeer {
  /** Effective user. */
  readonly uid: number;
  /** Effective group. */
  readonly gid: number;
}

/** The user database, injected: see `user_database.ts`. */
export interface UserLookup {
  /** The uid of a user's name; undefined when there is none. */
  uidOf(user: string): number | undefined;
  /** The gid of a group's name; undefined when there is none. */
  gidOf(group: string): number | undefined;
  /** Whether a user is a member of a group, by its primary group or by the group's list. */
  isMember(uid: number, gid: number): boolean;
  /** False while the tables could not be read at all: what the others say means nothing. Left out: true. */
  readonly isKnown?: boolean;
  /** Another number when the tables have changed. Left out: what they say is never remembered. */
  readonly generation?: number;
}

/** Names of endpoints to their numbers, as the roster has them now. Names that are not there are left out. */
export type SlotsOf = (names: readonly string[]) => EndpointMask;

/** Users whose rule is remembered; a user of many groups counts once for each. */
const MOST_REMEMBERED = 1024;

/** What is known of a peer: its rule, that there is none, or that it cannot be known now. */
type Match = AdmissionRule | "none" | "unknown";

/** Which rule admits whom, and with what. */
export class Admission {
  #rules: readonly AdmissionRule[];
  readonly #ownUid: number;
  readonly #users: UserLookup;
  readonly #slotsOf: SlotsOf;
  readonly #remembered = new Map<string, Match>();
  #generation: number | undefined;

  /**
   * Admits by rules.
   *
   * @param rules in order
   * @param ownUid the daemon's uid, which is let in when no rule says otherwise
   * @param users who is who
   * @param slotsOf the roster
   */
  constructor(rules: readonly AdmissionRule[], ownUid: number, users: UserLookup, slotsOf: SlotsOf) {
    this.#rules = rules;
    this.#ownUid = ownUid;
    this.#users = users;
    this.#slotsOf = slotsOf;
  }

  /** Replaces the rules (config reload); ask for every live peer's grant anew afterwards. */
  replace(rules: readonly AdmissionRule[]): void {
    this.#rules = rules;
    this.#remembered.clear();
  }

  /** Whether anybody but the daemon's own uid can be let in: then the socket has to be open to others. */
  get admitsOthers(): boolean {
    return this.#rules.some(({ subject }) => {
      if (subject.kind === "uid") return subject.uid !== this.#ownUid;
      return subject.kind !== "user" || this.#users.uidOf(subject.name) !== this.#ownUid;
    });
  }

  /**
   * The grant of a peer as the rules and the roster are now.
   *
   * @returns undefined when it is not let in
   */
  grant(peer: AdmissionPeer): Grant | undefined {
    const rule = this.#ruleOf(peer);
    if (typeof rule === "string") return peer.uid === this.#ownUid ? fullGrant(peer.uid) : undefined;
    return {
      principal: peer.uid,
      endpoints: rule.endpoints === "all" ? ALL_ENDPOINTS : this.#slotsOf(rule.endpoints),
      sources: rule.sources,
      caps: rule.caps,
      arbPrio: rule.arbPrio,
    };
  }

  /** Whether any rule is for a peer, or it is the daemon's own user. Cheap, and computes no grant. */
  admits(peer: AdmissionPeer): boolean {
    return typeof this.#ruleOf(peer) !== "string" || peer.uid === this.#ownUid;
  }

  #ruleOf(peer: AdmissionPeer): Match {
    const { generation } = this.#users;
    if (generation === undefined) return this.#find(peer);
    if (generation !== this.#generation) {
      this.#generation = generation;
      this.#remembered.clear();
    }
    const key = `${peer.uid}:${peer.gid}`;
    let match = this.#remembered.get(key);
    if (match === undefined) {
      match = this.#find(peer);
      if (this.#remembered.size >= MOST_REMEMBERED) this.#remembered.clear();
      this.#remembered.set(key, match);
    }
    return match;
  }

  #find(peer: AdmissionPeer): Match {
    const isKnown = this.#users.isKnown ?? true;
    for (const rule of this.#rules) {
      const { subject } = rule;
      if (!isKnown && !(subject.kind === "uid" || (subject.kind === "gid" && subject.gid === peer.gid))) {
        return "unknown";
      }
      if (this.#matches(subject, peer)) return rule;
    }
    return "none";
  }

  #matches(subject: AdmissionSubject, peer: AdmissionPeer): boolean {
    switch (subject.kind) {
      case "uid":
        return subject.uid === peer.uid;
      case "user":
        return this.#users.uidOf(subject.name) === peer.uid;
      case "gid":
        return this.#inGroup(subject.gid, peer);
      case "group": {
        const gid = this.#users.gidOf(subject.name);
        return gid !== undefined && this.#inGroup(gid, peer);
      }
    }
  }

  #inGroup(gid: number, peer: AdmissionPeer): boolean {
    return peer.gid === gid || this.#users.isMember(peer.uid, gid);
  }
}
