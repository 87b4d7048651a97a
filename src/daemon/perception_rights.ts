/**
 * What perception may do by the rules. It is a control of the daemon's own user like any other: a rule for
 * that user that leaves out what perception lives on leaves it blind or mute, and nothing else would say so
 * before somebody misses a frame.
 * @module
 */
import { Admission, type AdmissionPeer, type AdmissionRule, type UserLookup } from "../access/admission.ts";
import { NO_ENDPOINTS } from "../access/grant.ts";
import { CAP, type CapName } from "../event/capability.ts";
import { SOURCE } from "../event/source.ts";

/** To be given a guest's memory, and to tell what is seen in it. */
const NEEDED: readonly CapName[] = ["MEMCTX", "PUBLISH"];

/**
 * What perception needs and the rules do not give it. Which endpoints a rule names is not looked at: to watch
 * some and not others is a choice.
 *
 * @param rules the config's, in order
 * @param own the daemon's own user and group, which perception has
 * @param users who is who on this machine
 * @returns names of capabilities, and of sources; empty when nothing is missing
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
