/**
 * Decides which peers are admitted to the control socket, and with which rights: by the rules of the config,
 * and within limits per uid, so that one user cannot take every place. Root and the daemon's own user have no
 * such limit, and some places are reserved for them, so that an administrator gets in when others have filled
 * the rest.
 * @module
 */
import { assert } from "../base/assert.ts";
import { CODE } from "../base/codes.ts";
import type { Clock } from "../base/clock.ts";
import { Admission, type AdmissionRule } from "../access/admission.ts";
import { type Grant, maskOf, NO_ENDPOINTS } from "../access/grant.ts";
import type { UserDatabase } from "../access/user_database.ts";
import { type Log, SILENT } from "../base/log.ts";
import type { AdmissionDecision, AdmissionPolicy, Peer, Refusal } from "../controls/socket/admission_port.ts";
import { systemUsers } from "./system_users.ts";

/** The options of admission. */
export interface PeerAdmissionOptions {
  /** The rules of the config, in order. */
  readonly rules: readonly AdmissionRule[];
  /** The daemon's uid. */
  readonly ownUid: number;
  /** Tells when the user tables are too old. */
  readonly clock: Clock;
  /** Logs that the user tables cannot be read. */
  readonly log?: Log;
  /**
   * Maximum number of controls of all users; a user other than root and the daemon's own gets at most half of
   * them.
   */
  readonly maxControls: number;
  /** The current number of an endpoint by its name. */
  readonly idOf: (name: string) => number | undefined;
}

const ROOT = 0;

/** Admits peers by rules. */
export class PeerAdmission implements AdmissionPolicy {
  /** The user database. */
  readonly users: UserDatabase;
  readonly #options: PeerAdmissionOptions;
  readonly #admission: Admission;
  /** Number of controls by uid. */
  readonly #inside = new Map<number, number>();

  /** Makes an admission with the given rules. */
  constructor(options: PeerAdmissionOptions) {
    this.#options = options;
    this.users = systemUsers(options.clock, options.log ?? SILENT);
    this.#admission = new Admission(
      options.rules,
      options.ownUid,
      this.users,
      (names) => this.#slotsOf(names),
    );
  }

  /** Whether any rule admits anybody but the daemon's own uid. */
  get admitsOthers(): boolean {
    return this.#admission.admitsOthers;
  }

  /** Takes the rules of a reloaded config; the caller then asks for every grant again. */
  replace(rules: readonly AdmissionRule[]): void {
    this.#admission.replace(rules);
  }

  screen(peer: Peer): Refusal | undefined {
    return this.#admission.admits(peer) ? undefined : notAdmitted(peer);
  }

  isPrivileged(peer: Peer): boolean {
    return peer.uid === ROOT || peer.uid === this.#options.ownUid;
  }

  admit(peer: Peer, as = ""): AdmissionDecision {
    const grant = as === "" ? this.#admission.grant(peer) : this.#admission.grantAs(peer, as);
    if (grant === undefined) return notAdmitted(peer);
    if (typeof grant === "string") return notSpokenFor(peer, as, grant);
    const inside = this.#inside.get(peer.uid) ?? 0;
    const limit = Math.max(1, Math.floor(this.#options.maxControls / 2));
    if (!this.isPrivileged(peer) && inside >= limit) {
      return { ok: false, code: CODE.busy, reason: `uid ${peer.uid} has ${inside} controls already` };
    }
    this.#inside.set(peer.uid, inside + 1);
    return { ok: true, grant, queueEvents: this.#admission.queueEventsOf(peer, as) };
  }

  /** The grant of an admitted peer, by the current rules and roster. */
  grantOf(peer: Peer, as = ""): Grant {
    const nothing = { principal: peer.uid, endpoints: NO_ENDPOINTS, sources: 0, caps: 0, arbPrio: 0 };
    if (as === "") return this.#admission.grant(peer) ?? nothing;
    const grant = this.#admission.grantAs(peer, as);
    return typeof grant === "string" ? { ...nothing, as } : grant;
  }

  left(peer: Peer): void {
    const inside = this.#inside.get(peer.uid) ?? 0;
    assert(inside >= 1, "who leaves was admitted");
    if (inside === 1) this.#inside.delete(peer.uid);
    else this.#inside.set(peer.uid, inside - 1);
  }

  #slotsOf(names: readonly string[]): ReturnType<typeof maskOf> {
    const ids: number[] = [];
    for (const name of names) {
      const id = this.#options.idOf(name);
      if (id !== undefined) ids.push(id);
    }
    return maskOf(ids);
  }
}

function notAdmitted({ uid }: Peer): Refusal {
  const reason = `uid ${uid} is not admitted; add an [[admission]] to the daemon's config`;
  return { ok: false, code: CODE["not-admitted"], reason };
}

function notSpokenFor({ uid }: Peer, as: string, why: "may-not-speak" | "no-rule"): Refusal {
  const [kind = "", name = ""] = as.split(":");
  const reason = why === "no-rule"
    ? `no [[admission]] admits ${as}; add an [[admission]] with ${kind} = "${name}" to the daemon's config`
    : `uid ${uid} may not speak for ${as}; add speaks_for = ["${kind}:*"] to its [[admission]] in the daemon's config`;
  return { ok: false, code: CODE["not-admitted"], reason };
}
