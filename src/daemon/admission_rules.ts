/**
 * `[[admission]]` of the config: who is admitted, and with which rights. A rule is for a user, a group, or a
 * principal that a process speaks for by name (token, nats).
 * @module
 */
import type { AdmissionRule, AdmissionSubject } from "../access/admission.ts";
import { PRINCIPAL_KINDS, principalNameDefect, speaksForDefect } from "../base/principal_name.ts";
import { RECEIVE_BATCH } from "../base/limits.ts";
import { ALL_CAPS, CAP, capByName } from "../event/capability.ts";
import { ALL_SOURCES } from "../event/source.ts";
import type { TableReader } from "../toml/table_reader.ts";
import { MAX_UID } from "../toml/user_list.ts";
import { nameDefect, sourceOf } from "./config_names.ts";

const MAX_U32 = 0xffff_ffff;
/** Lower limit of a control's queue, events: the answers to a batch of commands must not fill half of it. */
export const LEAST_QUEUE_EVENTS: number = 4 * RECEIVE_BATCH;
/** Upper limit of a control's queue, events. */
export const MOST_QUEUE_EVENTS: number = 1 << 20;
/** Keys with which a rule grants something to the user itself. */
const OWN_RIGHTS = ["endpoints", "caps", "sources", "arb_prio", "queue_events"] as const;
const SUBJECTS = ["uid", "user", "gid", "group", ...PRINCIPAL_KINDS] as const;

/**
 * Reads the rules, in order of priority.
 *
 * @throws {Fault} `bad-argument` with file, line and key
 */
export function readAdmissions(tables: readonly TableReader[]): AdmissionRule[] {
  const names = new Set<string>();
  return tables.map((table) => {
    const rule = readAdmission(table);
    const { subject } = rule;
    if (subject.kind === "principal") {
      if (names.has(subject.name)) {
        throw table.fault("", `is a second rule for ${subject.name}, which would never be used; keep one`);
      }
      names.add(subject.name);
    }
    return rule;
  });
}

function readAdmission(table: TableReader): AdmissionRule {
  const subject = readSubject(table);
  const speaksFor = readSpeaksFor(table, subject);
  // A rule may have only `speaks_for`; the user's own rights then come from the rules after it.
  const onlySpeaks = speaksFor.length > 0 && OWN_RIGHTS.every((key) => !table.has(key));
  const endpoints = onlySpeaks ? [] : table.texts("endpoints");
  if (endpoints === undefined) {
    throw table.fault("endpoints", 'is missing; name the endpoints, or ["*"] for all');
  }
  const caps = onlySpeaks ? 0 : readCaps(table);
  const sources = readSources(table);
  const arbPrio = table.integer("arb_prio", 0, MAX_U32, 10);
  const queueEvents = table.integer("queue_events", LEAST_QUEUE_EVENTS, MOST_QUEUE_EVENTS, 0);
  table.finish();
  const rule = {
    ...{ subject, endpoints: readNames(table, endpoints), sources, caps, arbPrio },
    ...(queueEvents === 0 ? {} : { queueEvents }),
  };
  if (speaksFor.length === 0) return rule;
  return { ...rule, speaksFor, ...(onlySpeaks ? { onlySpeaks } : {}) };
}

function readSpeaksFor(table: TableReader, subject: AdmissionSubject): readonly string[] {
  const items = table.texts("speaks_for") ?? [];
  for (const item of items) {
    const defect = speaksForDefect(item);
    if (defect !== "") throw table.fault("speaks_for", `has ${JSON.stringify(item)}, which ${defect}`);
  }
  if (items.length > 0 && subject.kind === "principal") {
    throw table.fault(
      "speaks_for",
      "is in a rule for a name; only a process of a user or group speaks for others",
    );
  }
  return items;
}

function readSubject(table: TableReader): AdmissionSubject {
  const uid = table.integer("uid", 0, MAX_UID, -1);
  const user = table.text("user");
  const gid = table.integer("gid", 0, MAX_UID, -1);
  const group = table.text("group");
  const principals = PRINCIPAL_KINDS.map((kind) => [kind, table.text(kind)] as const);
  const given = SUBJECTS.filter((key) => table.has(key));
  const known = SUBJECTS.join(", ");
  if (given.length === 0) throw table.fault("", `does not say to whom it applies; add one of ${known}`);
  if (given.length > 1) {
    throw table.fault(given[1] ?? "", `is given beside ${given[0]}; a rule has one of ${known}`);
  }
  for (const [kind, name] of principals) {
    if (name === undefined) continue;
    const defect = principalNameDefect(name);
    if (defect !== "") throw table.fault(kind, `is ${JSON.stringify(name)}, and ${defect}`);
    return { kind: "principal", name: `${kind}:${name}` };
  }
  if (uid >= 0) return { kind: "uid", uid };
  if (user !== undefined) return { kind: "user", name: user };
  if (gid >= 0) return { kind: "gid", gid };
  return { kind: "group", name: group ?? "" };
}

function readNames(table: TableReader, names: readonly string[]): "all" | readonly string[] {
  if (names.includes("*")) return "all";
  names.forEach((name, i) => {
    const defect = nameDefect(name);
    if (defect !== undefined) throw table.fault("endpoints", `name ${i + 1} ${defect}`);
  });
  return names;
}

function readCaps(table: TableReader): number {
  const names = table.texts("caps");
  const known = Object.keys(CAP).join(", ").toLowerCase();
  if (names === undefined) throw table.fault("caps", `is missing; give some of ${known}, or ["*"] for all`);
  return names.reduce((mask, name) => {
    if (name === "*") return ALL_CAPS;
    const bit = capByName(name);
    if (bit === undefined) throw table.fault("caps", `has ${name}, and must be of ${known}, or "*"`);
    return mask | bit;
  }, 0);
}

function readSources(table: TableReader): number {
  const names = table.texts("sources");
  if (names === undefined) return ALL_SOURCES;
  return names.reduce(
    (mask, name) => name === "*" ? ALL_SOURCES : mask | (1 << sourceOf(table, "sources", name)),
    0,
  );
}
