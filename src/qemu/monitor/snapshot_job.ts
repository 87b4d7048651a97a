/**
 * QEMU's jobs that save, load and delete snapshots: their ids and names. A job of ours has its operation and
 * snapshot in its id, so that a daemon that starts while it runs recognises it; whether another program's job
 * loads a snapshot is only known from query-jobs.
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
/** Ids are a letter, then letters, digits, "-", "." and "_" (id_wellformed): a name is encoded in digits. */
const OURS = /^vmsig-(save|load|delete)-((?:[0-9a-f]{2}){1,512})$/;

/** A job. */
export interface Job {
  /** Its id. */
  readonly id: string;
  /** "snapshot-load", "backup", …. */
  readonly type: string;
  /** "running", "concluded", …. */
  readonly status: string;
  /** Its progress, in its own units. */
  readonly done: number;
  /** Its total, in the same units. */
  readonly total: number;
  /** Why it failed; empty if it has not. Outside text. */
  readonly error: string;
}

/** The operation of one of our jobs. */
export interface JobTask {
  /** One of SNAPSHOT_OP. */
  readonly op: SnapshotOp;
  /** The snapshot. */
  readonly name: string;
}

/** QEMU's name of an operation: "save". */
export function snapshotWord(op: SnapshotOp): string {
  return WORDS[op] ?? "list";
}

/** Makes a job's id. */
export function idOfTask({ op, name }: JobTask): string {
  return `vmsig-${snapshotWord(op)}-${hexOfBytes(new TextEncoder().encode(name))}`;
}

/** The operation in a job's id; undefined if it is not one of ours. */
export function taskOfId(id: unknown): JobTask | undefined {
  const [, word, digits = ""] = typeof id === "string" ? OURS.exec(id) ?? [] : [];
  const op = OPS.find((each) => WORDS[each] === word);
  if (op === undefined) return undefined;
  return { op, name: new TextDecoder().decode(bytesOfHex(digits)) };
}

/** The jobs in query-jobs' answer; invalid ones are omitted. */
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

/** Whether a job concerns a snapshot and is still running. */
export function isBusyWithSnapshot({ type, status }: Job): boolean {
  return type.startsWith("snapshot-") && !isOver(status);
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value.slice(0, MAX_TEXT) : "";
}

function countOf(value: unknown): number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : 0;
}
