/**
 * Opens a QEMU's RAM for MEMCTX: the work behind the port, on whatever thread may wait for another process.
 *
 * A memfd's inode is 0777: whoever has a read-only descriptor of it could open it anew for writing through /proc/self/fd. So its mode is
 * taken down to 0400 before any descriptor leaves; QEMU's own descriptor and mappings are not touched by that. A file that has a
 * name keeps the mode that its owner gave it: who may open it for writing is the owner's decision, and needs no descriptor of ours.
 * @module
 */
import { fchmod, statFd } from "../../../ffi/memfd.ts";
import { OsError } from "../../../ffi/os_error.ts";
import { Fault, messageOf } from "../../base/fault.ts";
import { hasEnded } from "../../ram/process_end.ts";
import { openQemuFiles, type QemuFiles } from "../../ram/qemu_ram.ts";
import type { RamAnswer, RamRequest } from "./scan_port.ts";

/** Read by the owner: enough for whoever opens it again as QEMU's user or as root. */
export const OWNER_READS = 0o400;
const OTHERS_WRITE = 0o022;

/**
 * Opens a QEMU's RAM and sees to it that nobody else can open it for writing by way of us.
 *
 * @returns never throws: `no-endpoint` when the process has ended, `not-supported` when RAM is not shared, or another kind than wanted; `refused` when
 *   it may not be opened or does not fit
 */
export function openSharedRam({ pid, flatView, wanted }: RamRequest): RamAnswer {
  let opened: QemuFiles | undefined;
  try {
    opened = openQemuFiles(pid, flatView);
    const { access, backends, files, pieces } = opened;
    const kind = access === "memfd" ? "memfd" : "file";
    if (wanted !== "auto" && wanted !== kind) {
      throw new Fault(
        "not-supported",
        `Cannot use the RAM of QEMU ${pid}: it is a ${access}, and the config says memory = "${wanted}"`,
      );
    }
    backends.forEach((backend, i) => {
      if (isMemfd(backend.procPath)) protect(pid, files[i]?.fd as number);
    });
    return { outcome: "open", ram: { pid, backends, pieces, fds: files.map((fd) => fd.release()) } };
  } catch (error) {
    for (const fd of opened?.files ?? []) fd.close();
    // One that is killed meanwhile loses its memory first, then its files: what was missed then says nothing of its RAM.
    if (hasEnded(pid)) return { outcome: "failed", code: "no-endpoint", detail: `QEMU ${pid} has ended` };
    // It lives: a file that is not there any more is one that it has let go.
    const code = error instanceof Fault && error.code !== "no-endpoint" ? error.code : "refused";
    return { outcome: "failed", code, detail: messageOf(error) };
  }
}

/** A memfd has no name and no owner's wish behind its mode; with huge pages it is one all the same. */
function isMemfd(procPath: string): boolean {
  return Deno.readLinkSync(procPath).startsWith("/memfd:");
}

function protect(pid: number, fd: number): void {
  try {
    fchmod(fd, OWNER_READS);
  } catch (error) {
    if (!(error instanceof OsError)) throw error;
    // Somebody else's file, but closed to others already: as good.
    if ((statFd(fd).mode & OTHERS_WRITE) === 0) return;
    throw new Fault(
      "refused",
      `Cannot share the RAM of QEMU ${pid}: its memfd stays writable for others (${error.errnoName}); run the daemon as QEMU's user, or as root`,
      { cause: error },
    );
  }
}
