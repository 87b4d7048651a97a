/**
 * Turns a refusal into a sentence: what the protocol's codes mean to a person, and what to do about them.
 * @module
 */
import { CODE, type CodeName, codeName } from "../base/codes.ts";
import { Fault, type FaultCode } from "../base/fault.ts";
import { oneLine } from "../base/printable.ts";
import { capNames } from "../event/capability.ts";
import { holderWords, type LeaseHolder } from "./lease_holder.ts";
import { LEASE_DENY } from "../event/body_number.ts";

const WHY: Readonly<Record<Exclude<CodeName, "ok">, string>> = {
  "no-capability": "your grant lacks the capability for it; add it to `caps` in your [[admission]] rule",
  "outside-grant": "the endpoint is not in your grant; add it to `endpoints` in your [[admission]] rule",
  "no-lease": "it needs a lease that you do not hold; acquire it first (vmsig lease)",
  "stale-lease": "the lease was lost to another; acquire it again",
  "no-endpoint": "there is no such endpoint; vmsig ls lists them",
  "seam-down":
    "the endpoint's connection to the VM is down; vmsig ls shows its seams, vmsig probe what the VM lacks",
  "bad-argument": "an argument is out of range; see the command's --help",
  "not-mapped": "the address is not mapped in the guest; check it and the address space (vmsig mem)",
  "outside-extent":
    "the address lies outside what may be written; add it to [write] extents in the daemon's config",
  refused: "the VM refused it; the daemon's log has its words",
  "timed-out": "the VM did not confirm in time; is it stopped or wedged? (vmsig vm query)",
  dropped: "it was dropped by the lane's policy; send more slowly, or change [[policy]]",
  "protocol-error": "the daemon did not understand it; are client and daemon of the same version?",
  "too-large": "it is too large; split it",
  "not-supported":
    "this endpoint cannot do it: its config has nothing for it, or the VM lacks it (vmsig probe says what)",
  "shutting-down": "the daemon is shutting down; try again when it runs",
  "not-admitted": "this user is not admitted; add an [[admission]] rule for it to the daemon's config",
  busy: "another control owns it; wait until it is released (vmsig lease ENDPOINT CLASS status says which)",
};

/**
 * The fault for a refusal.
 *
 * @param what what was attempted: "reset web"
 * @param code the code of the answer
 * @param detail more detail from the actuator, in a few words
 * @param words the VM's own message, escaped
 * @param needed the capabilities any one of which is needed, a mask; 0 if unknown
 */
export function faultOfCode(what: string, code: number, detail?: string, words = "", needed = 0): Fault {
  const name = codeName(code);
  const told = oneLine(words);
  const general = code === CODE["no-capability"] && needed !== 0
    ? lackOf(needed)
    : WHY[name as Exclude<CodeName, "ok">];
  const why = told === "" ? general : code === CODE.refused ? `the VM refused it: ${told}` : told;
  const extra = detail === undefined || detail === "" ? "" : ` (${detail})`;
  if (why === undefined || code === CODE.ok) {
    return new Fault("refused", `Cannot ${what}: the daemon answered ${name}${extra}; update this client`);
  }
  return new Fault(name as FaultCode, `Cannot ${what}: ${why}${extra}`);
}

function lackOf(needed: number): string {
  const names = capNames(needed).map((name) => name.toLowerCase());
  return `your grant lacks the capability ${
    names.join(" or ")
  }; add it to \`caps\` in your [[admission]] rule`;
}

/**
 * The fault for a denied lease.
 *
 * @param what what was attempted: "acquire input of web"
 * @param reason LEASE_DENIED.reason
 * @param needed the capabilities any one of which is needed, a mask; 0 if unknown
 * @param owner its owner, if the daemon named one
 */
export function faultOfDenial(what: string, reason: number, needed = 0, owner?: LeaseHolder): Fault {
  switch (reason) {
    case LEASE_DENY.NOCAP:
      return faultOfCode(what, CODE["no-capability"], "", "", needed);
    case LEASE_DENY.NOGRANT:
      return faultOfCode(what, CODE["outside-grant"]);
    case LEASE_DENY.BADCLASS:
      return faultOfCode(what, CODE["bad-argument"]);
    case LEASE_DENY.WITHDRAWN:
      return new Fault("interrupted", `Cannot ${what}: this client waits for it no longer`);
    case LEASE_DENY.LOWER_PRIO:
      return new Fault(
        "busy",
        `Cannot ${what}: ${
          owner === undefined
            ? "one with a higher arb_prio owns it"
            : `${holderWords(owner)} owns it, with a higher arb_prio`
        }; wait until it is released, or raise yours`,
      );
    default:
      if (owner === undefined) return faultOfCode(what, CODE.busy);
      return new Fault("busy", `Cannot ${what}: ${holderWords(owner)} owns it; wait until it is released`);
  }
}

/** The answer is of a kind that the command does not have. */
export function unexpectedAnswer(what: string, kindName: string): Fault {
  return new Fault(
    "protocol-error",
    `Cannot ${what}: the daemon answered with ${kindName}; use a client and a daemon of the same version`,
  );
}
