/**
 * Rules that grant more than necessary: to a whole group, to a number without a user, on every VM.
 * @module
 */
import type { AdmissionRule, AdmissionSubject } from "../../../access/admission.ts";
import type { Config } from "../../../daemon/config.ts";
import { ALL_CAPS, CAP, capNames } from "../../../event/capability.ts";
import type { Weakness } from "./finding.ts";

/** The users and groups of this host. */
export interface KnownIds {
  /** Users of /etc/passwd. */
  readonly users: ReadonlyMap<string, number>;
  /** Groups of /etc/group. */
  readonly groups: ReadonlyMap<string, number>;
}

/** The most powerful capabilities. */
const STRONG = CAP.POWER | CAP.MEMWRITE | CAP.INPUT | CAP.MEMCTX | CAP.PUBLISH;

/** Checks the rules, the discovery and the write extents. */
export function checkRules(config: Config, known: KnownIds, trusted: ReadonlySet<number>): Weakness[] {
  const found = config.admission.flatMap((rule, i) => checkRule(rule, i, known, trusted));
  for (const name of discoveredUsers(config)) {
    const uid = /^[0-9]+$/.test(name) ? Number(name) : known.users.get(name);
    if (uid !== undefined && trusted.has(uid)) continue;
    found.push({
      check: "rules",
      severity: "medium",
      found:
        `[discovery] users has ${name}: QEMUs of that user are attached under the names they give themselves`,
      remedy: "take it out, and name those VMs by [[endpoint]] or trigger files",
    });
  }
  for (const { endpoint, space } of config.write) {
    if (endpoint !== "*") continue;
    found.push({
      check: "rules",
      severity: "medium",
      found: `[write] lets ${space} memory of every VM be written, also of those to come`,
      remedy: "name the VM in its extent",
    });
  }
  return found;
}

function checkRule(
  rule: AdmissionRule,
  index: number,
  known: KnownIds,
  trusted: ReadonlySet<number>,
): Weakness[] {
  const who = nameOf(rule.subject);
  const told = (severity: Weakness["severity"], why: string, remedy: string): Weakness => ({
    check: "rules",
    severity,
    found: `[[admission]] ${index + 1} (${who}) ${why}`,
    remedy,
  });
  const found: Weakness[] = [];
  const unknown = unknownSubject(rule.subject, known);
  if (unknown !== "") found.push(told("medium", unknown, "remove the rule, or make the user first"));
  if (isTrusted(rule.subject, known, trusted)) return found;
  if (rule.speaksFor !== undefined) {
    found.push(told(
      "low",
      `may speak for ${rule.speaksFor.join(", ")}: its processes have what the rules of those names give`,
      "list only the names that it is to speak for, and keep the user for that one service",
    ));
  }
  const strong = rule.caps & STRONG;
  if (rule.endpoints === "all" && strong !== 0) {
    const isGroup = rule.subject.kind === "gid" || rule.subject.kind === "group";
    found.push(told(
      isGroup || (strong & CAP.MEMWRITE) !== 0 ? "medium" : "low",
      `has ${capNames(strong).join(", ").toLowerCase()} on every VM, also on those to come`,
      'name the VMs instead of "*", or leave those capabilities out',
    ));
  }
  if (rule.caps === ALL_CAPS) {
    found.push(
      told("low", 'has every capability ("*"), also those of later versions', "list what is needed"),
    );
  } else if ((rule.caps & CAP.PUBLISH) !== 0) {
    found.push(told("low", "may publish frames and cursors in the name of VMs", "leave publish out"));
  }
  return found;
}

function nameOf(subject: AdmissionSubject): string {
  switch (subject.kind) {
    case "uid":
      return `uid ${subject.uid}`;
    case "gid":
      return `gid ${subject.gid}`;
    case "principal":
      return subject.name;
    default:
      return `${subject.kind} ${subject.name}`;
  }
}

function unknownSubject(subject: AdmissionSubject, { users, groups }: KnownIds): string {
  const has = (map: ReadonlyMap<string, number>, id: number) => [...map.values()].includes(id);
  switch (subject.kind) {
    case "uid":
      return has(users, subject.uid)
        ? ""
        : "is for a number that no user has: the user who is given it later is admitted";
    case "gid":
      return has(groups, subject.gid)
        ? ""
        : "is for a number that no group has: the members of a group that is given it later are admitted";
    case "user":
      return users.has(subject.name)
        ? ""
        : "is for a user that does not exist: a user who is given the name later is admitted";
    case "group":
      return groups.has(subject.name)
        ? ""
        : "is for a group that does not exist: the members of one that is created later are admitted";
    case "principal":
      // Who may speak for it is set by the rules of users.
      return "";
  }
}

function isTrusted(subject: AdmissionSubject, known: KnownIds, trusted: ReadonlySet<number>): boolean {
  if (subject.kind === "uid") return trusted.has(subject.uid);
  return subject.kind === "user" && trusted.has(known.users.get(subject.name) ?? -1);
}

/** Names and numbers in `[discovery] users`; empty if the config does not have the key. */
function discoveredUsers(config: Config): string[] {
  const { users } = config.discovery as { readonly users?: unknown };
  return Array.isArray(users) ? users.map(String) : [];
}

/** Names and numbers in a file such as /etc/passwd or /etc/group. */
export function idsOf(text: string): Map<string, number> {
  const found = new Map<string, number>();
  for (const line of text.split("\n")) {
    const [name = "", , id = ""] = line.split(":");
    if (name !== "" && /^[0-9]+$/.test(id)) found.set(name, Number(id));
  }
  return found;
}
