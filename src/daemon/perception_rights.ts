/**
 * The rights of perception under the rules. It is a control of the daemon's own user like any other: a rule
 * for that user without the rights that perception needs disables it, which otherwise nobody would notice
 * until pictures are missing.
 * @module
 */
import { Admission, type AdmissionPeer, type AdmissionRule, type UserLookup } from "../access/admission.ts";
import { NO_ENDPOINTS } from "../access/grant.ts";
import { CAP, type CapName } from "../event/capability.ts";
import { SOURCE } from "../event/source.ts";

/** The rights to receive a guest's memory and to publish pictures. */
const NEEDED: readonly CapName[] = ["MEMCTX", "PUBLISH"];

/**
 * The rights that perception needs and the rules do not grant. The endpoints of a rule are not checked: to
 * exclude some is a valid choice.
 *
 * @param rules the config's rules, in order
 * @param own user and group of the daemon, under which perception runs
 * @param users the user database
 * @returns names of capabilities and of sources; empty if nothing is missing
 */
export function perceptionLacks(
  rules: readonly AdmissionRule[],
  own: AdmissionPeer,
  users: UserLookup,
): string[] {
  const grant = new Admission(rules, own.uid, users, () => NO_ENDPOINTS).grant(own);
  if (grant === undefined) return [...NEEDED];
  const lacks: string[] = NEEDED.filter((cap) => (grant.caps & CAP[cap]) === 0);
  if ((grant.sources & 1 << SOURCE.MEMCTX) === 0) lacks.push("source memctx");
  if ((grant.sources & 1 << SOURCE.FRAME) === 0) lacks.push("source frame");
  return lacks;
}
