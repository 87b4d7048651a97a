/**
 * Whose files a QEMU may have as its RAM: what leaves the daemon must never be a file that the QEMU's owner
 * could not have opened himself.
 *
 * - A process that runs as one user: that user's files. Root's QEMU may have anybody's, as root could open
 *   them.
 * - One that root started and that gave its rights up (`-runas`; libvirt hands files over by chown): root's
 *   files, too, because it opened them while it was root. That it was root the kernel tells by the monitor's
 *   socket, whose credentials are those of whoever made it listen; the process itself cannot claim it.
 * - One whose four users differ runs a set-uid program, or is about to change its user: nothing of it is
 *   believed.
 * @module
 */
import { Fault } from "../base/fault.ts";
import type { ProcessUids } from "./host_process.ts";

const ROOT = 0;

/** Who stands behind a QEMU's files. */
export interface FileOwners {
  /** The user that the process runs as. */
  readonly uid: number;
  /** Whether root's files are its own, too. */
  readonly wasRoot: boolean;
}

/**
 * Who may own a process's RAM files.
 *
 * @param pid for messages
 * @param uids the process's users
 * @param monitorUid who made its monitor listen; undefined when it was named by its number, by somebody who
 *   gives nothing on
 * @throws {Fault} `refused` when they do not go together
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
