/**
 * Admission: decides which user gets which grant. Rules are tried in order, and the first match decides. A
 * peer that matches none is refused, except for the daemon's own uid, which gets every capability on every
 * endpoint (it could change the rules anyway).
 *
 * Rules name endpoints, whose numbers depend on the roster. So the rule is remembered, and its grant is
 * computed again whenever the roster or the config changes: if another endpoint later gets the same number,
 * the old grant does not cover it.
 *
 * Names of users and groups are looked up in the current user tables, so that adding a user to a group needs
 * no reload. The rule of a user is cached until the rules or those tables change, since a user that may
 * connect can cause the lookup as often as it likes.
 *
 * A process may also speak for a principal that is not a user of this host ("token:alice"), if a rule of its
 * user lists that name in `speaks_for`. Then only the rule of that name applies: none of the user's own
 * rights are added, and the daemon's own user needs such a rule like any other. A rule that has nothing but
 * `speaks_for` leaves the user's own rights to the rules after it.
 *
 * Errors never lead to admission. Until the tables have been read, a rule that depends on them can be neither
 * applied nor skipped, because the rules after it may allow more. So such a rule, and all after it, admit
 * only the daemon's own user.
 * @module
 */
import type { EndpointMask, Grant } from "./grant.ts";
import { ALL_ENDPOINTS, fullGrant } from "./grant.ts";
import { speaksFor } from "../base/principal_name.ts";

/** Whom a rule applies to. */
export type AdmissionSubject =
  | { readonly kind: "uid"; readonly uid: number }
  | { readonly kind: "user"; readonly name: string }
  | { readonly kind: "gid"; readonly gid: number }
  | { readonly kind: "group"; readonly name: string }
  /** A principal by name, "token:alice". */
  | { readonly kind: "principal"; readonly name: string };

/** One rule. */
export interface AdmissionRule {
  /** Whom it applies to. */
  readonly subject: AdmissionSubject;
  /** Names of endpoints; "all" includes future ones. */
  readonly endpoints: "all" | readonly string[];
  /** Sources, bit 1 << source. */
  readonly sources: number;
  /** Capabilities. */
  readonly caps: number;
  /** Lease arbitration priority: a strictly higher one pre-empts. */
  readonly arbPrio: number;
  /** Queue limit of each of its controls, events; omitted: the default. */
  readonly queueEvents?: number;
  /** Principals for whom the user may speak, "token:alice" or "token:*"; omitted: none. */
  readonly speaksFor?: readonly string[];
  /** Whether the rule has nothing but `speaks_for` and decides nothing else. Omitted: no. */
  readonly onlySpeaks?: boolean;
}

/** A peer's credentials from the kernel (SO_PEERCRED). */
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
  /** False while the tables have never been read: then the other answers mean nothing. Omitted: true. */
  readonly isKnown?: boolean;
  /** Changes whenever the tables change. Omitted: their answers are never cached. */
  readonly generation?: number;
}

/** The current numbers of endpoints by name. Unknown names are omitted. */
export type SlotsOf = (names: readonly string[]) => EndpointMask;

/** Size of the cache of users' rules; a user that is asked for with several groups counts once for each. */
const MOST_REMEMBERED = 1024;

/** The cached lookup of a peer. */
interface Match {
  /** Its rule, that there is none, or that this cannot be decided now. */
  readonly rule: AdmissionRule | "none" | "unknown";
  /** The principals for whom it may speak. */
  readonly speaksFor: readonly string[];
}

/** Decides who is admitted, and with which grant. */
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
   * @param ownUid the daemon's uid, which is admitted unless a rule says otherwise
   * @param users the user database
   * @param slotsOf the roster
   */
  constructor(rules: readonly AdmissionRule[], ownUid: number, users: UserLookup, slotsOf: SlotsOf) {
    this.#rules = rules;
    this.#ownUid = ownUid;
    this.#users = users;
    this.#slotsOf = slotsOf;
  }

  /** Replaces the rules (config reload); the caller then asks for every connected peer's grant again. */
  replace(rules: readonly AdmissionRule[]): void {
    this.#rules = rules;
    this.#remembered.clear();
  }

  /**
   * Whether anybody but the daemon's own uid can be admitted; then the socket must be accessible to others.
   */
  get admitsOthers(): boolean {
    return this.#rules.some(({ subject }) => {
      // A principal's name does not open the socket to anybody: the user that speaks for it has a rule of its
      // own.
      if (subject.kind === "principal") return false;
      if (subject.kind === "uid") return subject.uid !== this.#ownUid;
      return subject.kind !== "user" || this.#users.uidOf(subject.name) !== this.#ownUid;
    });
  }

  /**
   * The grant of a peer by the current rules and roster.
   *
   * @returns undefined when the peer is not admitted
   */
  grant(peer: AdmissionPeer): Grant | undefined {
    const { rule } = this.#matchOf(peer);
    if (typeof rule === "string") return peer.uid === this.#ownUid ? fullGrant(peer.uid) : undefined;
    return this.#grantBy(rule, peer.uid);
  }

  /**
   * The grant of a principal for whom a peer speaks, by the current rules and roster.
   *
   * @param as "token:alice"
   * @returns the grant, or why there is none: the peer may not speak for it, or no rule names it
   */
  grantAs(peer: AdmissionPeer, as: string): Grant | "may-not-speak" | "no-rule" {
    if (!speaksFor(this.#matchOf(peer).speaksFor, as)) return "may-not-speak";
    const rule = this.#ruleOf(as);
    return rule === undefined ? "no-rule" : { ...this.#grantBy(rule, peer.uid), as };
  }

  /** Queue limit of a peer's control by its rule, events; undefined: the default. */
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

  /** Whether any rule applies to a peer, or it is the daemon's own user. Cheap: computes no grant. */
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
