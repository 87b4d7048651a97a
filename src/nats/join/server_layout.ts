/**
 * What vmsig stores on a server: the roster's bucket, and the audit's stream. Created once by an authorised
 * user (`vmsig join URL --create`); hosts and readers only use them.
 * @module
 */
import { jetstreamManager, StorageType } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { rosterFault } from "../reader/roster_reader.ts";
import { DEAD_MS, MOST_ENTRY_BYTES } from "../wire/host_entry.ts";
import type { NatsLink } from "../wire/nats_link.ts";
import { AUDIT_STREAM, AUDIT_SUBJECTS, ROSTER_BUCKET } from "../wire/subjects.ts";

const NS_PER_DAY = 86_400 * 1e9;
/** Time within which a repeated audit entry is recognised as such, ns. */
const DUPLICATES_NS = 120 * 1e9;

/** How the audit is stored. */
export interface LayoutOptions {
  /** Retention, days. */
  readonly auditDays: number;
  /** Number of replicas in a cluster. */
  readonly replicas: number;
}

/**
 * Creates both, or leaves existing ones unchanged.
 *
 * @returns what was done, one line each
 * @throws {Fault} `missing` without JetStream; `refused` without the permission
 */
export async function createLayout(
  link: NatsLink,
  { auditDays, replicas }: LayoutOptions,
): Promise<string[]> {
  const done: string[] = [];
  try {
    // Entries expire by the server's clock: a host that dies is removed, whoever reads.
    await new Kvm(link.nc).create(ROSTER_BUCKET, {
      description: "vmsig: the roster, one entry per host",
      history: 1,
      ttl: DEAD_MS,
      maxValueSize: MOST_ENTRY_BYTES,
      storage: StorageType.File,
      replicas,
    });
    done.push(`the bucket ${ROSTER_BUCKET} exists: entries expire after ${DEAD_MS / 1000} s`);
    const manager = await jetstreamManager(link.nc);
    const config = {
      name: AUDIT_STREAM,
      description: "vmsig: who did what on which VM",
      subjects: [AUDIT_SUBJECTS],
      storage: StorageType.File,
      max_age: auditDays * NS_PER_DAY,
      duplicate_window: DUPLICATES_NS,
      num_replicas: replicas,
      deny_delete: true,
      deny_purge: true,
    };
    try {
      await manager.streams.info(AUDIT_STREAM);
      done.push(`the stream ${AUDIT_STREAM} existed already and is left unchanged`);
    } catch {
      await manager.streams.add(config);
      done.push(
        `the stream ${AUDIT_STREAM} exists: entries are kept for ${auditDays} days and cannot be deleted`,
      );
    }
    return done;
  } catch (error) {
    throw rosterFault(error);
  }
}
