/**
 * Jobs of QEMU that save, load and delete snapshots: their numbers and names. A job of ours carries in its id
 * what it does and to which snapshot, so that a daemon that starts while it runs knows it; whether another
 * program's job loads a snapshot only query-jobs says.
 *
 * Format: JobInfo and JOB_STATUS_CHANGE of QEMU's qapi/job.json. Pure.
 * @module
 */
import { bytesOfHex, hexOfBytes } from "../../base/hex.ts";
import { SNAPSHOT_OP, type SnapshotOp } from "../../event/body_number.ts";
import { isObject } from "../protocol/qmp_message.ts";

const MAX_JOBS = 256;
const MAX_TEXT = 512;
const OPS: readonly SnapshotOp[] = [SNAPSHOT_OP.SAVE, SNAPSHOT_OP.LOAD, SNAPSHOT_OP.DELETE];
const WORDS: Readonly<Record<number, string>> = {
  [SNAPSHOT_OP.SAVE]: "save",
  [SNAPSHOT_OP.LOAD]: "load",
  [SNAPSHOT_OP.DELETE]: "delete",
};
/** Ids are a letter, then letters, digits, "-", "." and "_" (id_wellformed): a name goes in as digits. */
const OURS = /^vmsig-(save|load|delete)-((?:[0-9a-f]{2}){1,512})$/;

/** A job. */
export interface Job {
  /** Its id. */
  readonly id: string;
  /** "snapshot-load", "backup", …. */
  readonly type: string;
  /** "running", "concluded", …. */
  readonly status: string;
  /** How far it is, in its own units. */
  readonly done: number;
  /** How much it has to do. */
  readonly total: number;
  /** Why it failed; empty when it has not. Outside text. */
  readonly error: string;
}

/** What a job of ours does. */
export interface JobTask {
  /** One of SNAPSHOT_OP. */
  readonly op: SnapshotOp;
  /** The snapshot. */
  readonly name: string;
}

/** QEMU's word for an operation: "save". */
export function snapshotWord(op: SnapshotOp): string {
  return WORDS[op] ?? "list";
}

/** The id of a job. */
export function idOfTask({ op, name }: JobTask): string {
  return `vmsig-${snapshotWord(op)}-${hexOfBytes(new TextEncoder().encode(name))}`;
}

/** What a job of that id does; undefined for one that is not ours. */
export function taskOfId(id: unknown): JobTask | undefined {
  const [, word, digits = ""] = typeof id === "string" ? OURS.exec(id) ?? [] : [];
  const op = OPS.find((each) => WORDS[each] === word);
  if (op === undefined) return undefined;
  return { op, name: new TextDecoder().decode(bytesOfHex(digits)) };
}

/** The jobs of query-jobs' answer; what is not a job is left out. */
export function readJobs(value: unknown): Job[] {
  if (!Array.isArray(value)) return [];
  const jobs: Job[] = [];
  for (const one of value.slice(0, MAX_JOBS)) {
    if (!isObject(one) || typeof one["id"] !== "string" || one["id"].length > 2 * MAX_TEXT + 64) continue;
    jobs.push({
      id: one["id"],
      type: textOf(one["type"]),
      status: textOf(one["status"]),
      done: countOf(one["current-progress"]),
      total: countOf(one["total-progress"]),
      error: textOf(one["error"]),
    });
  }
  return jobs;
}

/** Whether a job has come to its end. */
export function isOver(status: unknown): boolean {
  return status === "concluded" || status === "null";
}

/** Whether a job is one of a snapshot, and goes on. */
export function isBusyWithSnapshot({ type, status }: Job): boolean {
  return type.startsWith("snapshot-") && !isOver(status);
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value.slice(0, MAX_TEXT) : "";
}

function countOf(value: unknown): number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : 0;
}
