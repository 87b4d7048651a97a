/**
 * Admission: which user gets which grant. Rules are tried in order and the first that matches decides. A peer
 * that matches none is refused, except the daemon's own uid, which has every capability on every endpoint (it
 * could change the rules anyway).
 *
 * Rules name endpoints; numbers come and go with the roster. So a rule is kept, and its grant computed anew
 * whenever the roster or the config has changed: the endpoint that has a name's number tomorrow is not
 * covered by what was granted to the name today.
 *
 * Names of users and groups are looked up as the tables of users are now, so that a user who was added to a
 * group needs no reload. Which rule a user gets is remembered until the rules or those tables change: a user
 * that may connect can cause this question as often as it likes.
 *
 * A process may also speak for somebody who is not a user of this host ("token:alice"), when a rule of its
 * user lists that name in `speaks_for`. Then the rule of the name alone says what may be done: nothing of
 * what the user itself may is added, and the daemon's own user needs such a rule like any other. A rule that
 * says nothing but whom a user speaks for leaves it to the others what the user itself may.
 *
 * Nothing fails open. While the tables were never read, a rule that depends on them can neither match nor be
 * passed over: the rules behind it may allow more. So neither it nor a rule behind it admits anybody except
 * the daemon's own user.
 * @module
 */
import type { EndpointMask, Grant } from "./grant.ts";
import { ALL_ENDPOINTS, fullGrant } from "./grant.ts";
import { speaksFor } from "../base/principal_name.ts";

/** Whom a rule is for. */
export type AdmissionSubject =
  | { readonly kind: "uid"; readonly uid: number }
  | { readonly kind: "user"; readonly name: string }
  | { readonly kind: "gid"; readonly gid: number }
  | { readonly kind: "group"; readonly name: string }
  /** A principal by name, "token:alice". */
  | { readonly kind: "principal"; readonly name: string };

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
  /** How many events may wait for each of its controls; left out: as many as for any other. */
  readonly queueEvents?: number;
  /** Principals for whom a user may join, "token:alice" or "token:*"; left out: none. */
  readonly speaksFor?: readonly string[];
  /** Whether that is all it says: it decides nothing else. Left out: no. */
  readonly onlySpeaks?: boolean;
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

/** What is known of a peer. */
interface Match {
  /** Its rule, that there is none, or that it cannot be known now. */
  readonly rule: AdmissionRule | "none" | "unknown";
  /** For whom it may speak. */
  readonly speaksFor: readonly string[];
}

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
      // A name opens the socket to nobody: the user that speaks for it has a rule of its own.
      if (subject.kind === "principal") return false;
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
    const { rule } = this.#matchOf(peer);
    if (typeof rule === "string") return peer.uid === this.#ownUid ? fullGrant(peer.uid) : undefined;
    return this.#grantBy(rule, peer.uid);
  }

  /**
   * The grant of a principal for whom a peer speaks, as the rules and the roster are now.
   *
   * @param as "token:alice"
   * @returns or why there is none: the peer may not speak for it, or no rule is for it
   */
  grantAs(peer: AdmissionPeer, as: string): Grant | "may-not-speak" | "no-rule" {
    if (!speaksFor(this.#matchOf(peer).speaksFor, as)) return "may-not-speak";
    const rule = this.#ruleOf(as);
    return rule === undefined ? "no-rule" : { ...this.#grantBy(rule, peer.uid), as };
  }

  /** How many events may wait for a control of a peer, by its rule; undefined: as many as for any other. */
  queueEventsOf(peer: AdmissionPeer, as: string): number | undefined {
    const rule = as === "" ? this.#matchOf(peer).rule : this.#ruleOf(as);
    return typeof rule === "object" ? rule.queueEvents : undefined;
  }

  #ruleOf(as: string): AdmissionRule | undefined {
    return this.#rules.find(({ subject }) => subject.kind === "principal" && subject.name === as);
  }

  #grantBy(rule: AdmissionRule, uid: number): Grant {
    return {
      principal: uid,
      endpoints: rule.endpoints === "all" ? ALL_ENDPOINTS : this.#slotsOf(rule.endpoints),
      sources: rule.sources,
      caps: rule.caps,
      arbPrio: rule.arbPrio,
    };
  }

  /** Whether any rule is for a peer, or it is the daemon's own user. Cheap, and computes no grant. */
  admits(peer: AdmissionPeer): boolean {
    const { rule, speaksFor } = this.#matchOf(peer);
    return typeof rule !== "string" || speaksFor.length > 0 || peer.uid === this.#ownUid;
  }

  #matchOf(peer: AdmissionPeer): Match {
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
    let found: Match["rule"] = "none";
    let names: readonly string[] | undefined;
    for (const rule of this.#rules) {
      const { subject } = rule;
      if (subject.kind === "principal") continue;
      const decides = found === "none" && rule.onlySpeaks !== true;
      const says = names === undefined ? rule.speaksFor : undefined;
      if (!decides && says === undefined) continue;
      if (!isKnown && !(subject.kind === "uid" || (subject.kind === "gid" && subject.gid === peer.gid))) {
        if (decides) found = "unknown";
        if (says !== undefined) names = [];
      } else if (this.#matches(subject, peer)) {
        if (decides) found = rule;
        if (says !== undefined) names = says;
      }
    }
    return { rule: found, speaksFor: names ?? [] };
  }

  #matches(subject: Exclude<AdmissionSubject, { readonly kind: "principal" }>, peer: AdmissionPeer): boolean {
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
