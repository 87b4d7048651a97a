/**
 * Opens a QEMU's RAM for MEMCTX: the work behind the port, on whatever thread may wait for another process.
 *
 * What leaves is a read-only descriptor that nobody can open anew for writing: the mode of a memfd that QEMU
 * has sealed is taken down for that (open_for_writing.ts), and one that it has not sealed is refused while
 * others could write it. A file that has a name keeps the mode that its owner gave it: who may open it for
 * writing is the owner's decision, and needs no descriptor of ours.
 * @module
 */
import { fchmod, statFd } from "../../../ffi/memfd.ts";
import { OsError } from "../../../ffi/os_error.ts";
import { Fault, messageOf } from "../../base/fault.ts";
import { MAX_FRAME_FDS } from "../../base/limits.ts";
import { HostProcess } from "../../ram/host_process.ts";
import { OWNER_READS } from "../../ram/open_for_writing.ts";
import { hasEnded } from "../../ram/process_end.ts";
import type { QemuBackend } from "../../ram/qemu_backends.ts";
import { openQemuFiles, type QemuFiles } from "../../ram/qemu_ram.ts";
import type { RamAnswer, RamRequest } from "./scan_port.ts";

/** Of a monitor over TCP nobody says whose it is; nor of a process in another namespace of numbers. */
const UNKNOWN_PROCESS =
  "Cannot find the RAM of this VM: the kernel does not say which process its monitor belongs to; give QEMU a monitor on a unix socket (-qmp unix:PATH,server=on,wait=off)";
const PERMISSIONS = 0o777;
const OTHERS_WRITE = 0o022;

/**
 * Opens a QEMU's RAM and sees to it that nobody else can open it for writing by way of us.
 *
 * @returns never throws: `no-endpoint` when the process has ended, `not-supported` when RAM is not shared, or
 *   another kind than wanted; `refused` when it may not be opened, is not QEMU's own or does not fit
 */
export function openSharedRam({ pid, monitorUid, wanted, ...told }: RamRequest): RamAnswer {
  if (pid === 0) return { outcome: "failed", code: "not-supported", detail: UNKNOWN_PROCESS };
  let opened: QemuFiles | undefined;
  try {
    using process = HostProcess.open(pid);
    opened = openQemuFiles(process, told, monitorUid);
    const { access, backends, files, pieces, missing } = fitted(opened);
    const kind = backends.every(({ memfd }) => memfd) ? "memfd" : "file";
    if (wanted !== "auto" && wanted !== kind) {
      throw new Fault(
        "not-supported",
        `Cannot use the RAM of QEMU ${pid}: it is a ${access}, and the config says memory = "${wanted}"`,
      );
    }
    backends.forEach((backend, i) => {
      if (backend.memfd) protect(pid, backend, files[i]?.fd as number);
    });
    const { started } = process;
    const fds = files.map((fd) => fd.release());
    return { outcome: "open", ram: { pid, started, backends, pieces, missing, fds } };
  } catch (error) {
    for (const fd of opened?.files ?? []) fd.close();
    // One that is killed meanwhile loses its memory first, then its files: what was missed then says nothing
    // of its RAM.
    if (hasEnded(pid)) return { outcome: "failed", code: "no-endpoint", detail: `QEMU ${pid} has ended` };
    // It lives: a file that is not there any more is one that it has let go.
    const code = error instanceof Fault && error.code !== "no-endpoint" ? error.code : "refused";
    return { outcome: "failed", code, detail: messageOf(error) };
  }
}

/**
 * As many files as go with one event: RAM proper comes before its devices. The rest is closed, and told as
 * missing.
 */
function fitted(opened: QemuFiles): QemuFiles {
  const { backends, files, pieces, missing } = opened;
  if (files.length <= MAX_FRAME_FDS) return opened;
  for (const file of files.slice(MAX_FRAME_FDS)) file.close();
  return {
    ...opened,
    backends: backends.slice(0, MAX_FRAME_FDS),
    files: files.slice(0, MAX_FRAME_FDS),
    pieces: pieces.filter(({ backend }) => backend < MAX_FRAME_FDS),
    missing: [...missing, ...backends.slice(MAX_FRAME_FDS).map(({ id }) => id)],
  };
}

function protect(pid: number, { id, sealed }: QemuBackend, fd: number): void {
  const mode = statFd(fd).mode & PERMISSIONS;
  if (mode === OWNER_READS) return;
  if (!sealed) {
    if ((mode & OTHERS_WRITE) === 0) return;
    throw new Fault(
      "refused",
      `Cannot share the RAM of QEMU ${pid}: its memfd ${id} is not sealed, and writable for others; start QEMU with seal=on (its default)`,
    );
  }
  try {
    fchmod(fd, OWNER_READS);
  } catch (error) {
    if (!(error instanceof OsError)) throw error;
    // Somebody else's file, but closed to others already: as good.
    if ((mode & OTHERS_WRITE) === 0) return;
    throw new Fault(
      "refused",
      `Cannot share the RAM of QEMU ${pid}: its memfd stays writable for others: ${error.reason}; run the daemon as QEMU's user, or as root`,
      { cause: error },
    );
  }
}
