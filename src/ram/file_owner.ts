/**
 * Whose files a QEMU may have as its RAM: the daemon must never pass on a file that the QEMU's owner could
 * not have opened himself.
 *
 * - A process with one uid: that user's files. Root's QEMU may have anybody's, as root could open them.
 * - One that root started and that dropped its privileges (`-runas`; libvirt passes files with chown): root's
 *   files, too, because it opened them while it was root. That it was root is shown by the monitor's socket,
 *   whose credentials are those of the process that made it listen, which cannot be forged.
 * - One with different uids is a set-uid program, or is about to change its user: nothing about it is
 *   trusted.
 * @module
 */
import { Fault } from "../base/fault.ts";
import type { ProcessUids } from "./host_process.ts";

const ROOT = 0;

/** The owners of a QEMU's files. */
export interface FileOwners {
  /** The uid of the process. */
  readonly uid: number;
  /** Whether root's files count as its own. */
  readonly wasRoot: boolean;
}

/**
 * Who may own a process's RAM files.
 *
 * @param pid for messages
 * @param uids the process's uids
 * @param monitorUid the uid that made its monitor listen; undefined if the process was named by its pid, by a
 *   user who passes nothing on
 * @throws {Fault} `refused` when the uids are inconsistent
 */
export function fileOwners(pid: number, uids: ProcessUids, monitorUid: number | undefined): FileOwners {
  const [uid] = uids;
  if (uids.some((other) => other !== uid)) {
    throw new Fault(
      "refused",
      `Cannot use the RAM of process ${pid}: it runs a set-uid program (users ${uids.join(", ")})`,
    );
  }
  if (monitorUid !== undefined && monitorUid !== uid && monitorUid !== ROOT) {
    throw new Fault(
      "refused",
      `Cannot use the RAM of process ${pid}: it runs as user ${uid}, and its monitor was made by user ${monitorUid}`,
    );
  }
  return { uid, wasRoot: uid === ROOT || monitorUid === undefined || monitorUid === ROOT };
}

/** Whether a file of this user may be such a process's RAM. */
export function mayOwn({ uid, wasRoot }: FileOwners, fileUid: number): boolean {
  return uid === ROOT || fileUid === uid || (wasRoot && fileUid === ROOT);
}
