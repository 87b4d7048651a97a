/**
 * One look through a guest's RAM for its system: the work behind the scan port, on whatever thread may take
 * the time.
 *
 * It opens the RAM itself, read-only, and closes it before it returns. A system that is found must be the
 * running one: the finders are told a vCPU's root, which has to map its kernel.
 * @module
 */
import { OPEN, reopen, statFd } from "../../../ffi/memfd.ts";
import { closeFd } from "../../../ffi/owned_fd.ts";
import { Fault, messageOf } from "../../base/fault.ts";
import { findersFor } from "../../guest/finders.ts";
import { findGuest, type ProfileCache } from "../../guest/find_guest.ts";
import type { GuestOs } from "../../guest/guest_os.ts";
import { PhysicalMemory } from "../../guest/physical_memory.ts";
import type { Process } from "../../guest/process.ts";
import { HostProcess } from "../../ram/host_process.ts";
import { MappedRam, type RamFile } from "../../ram/mapped_ram.ts";
import { presenceIn } from "../../ram/qemu_ram.ts";
import { openSharedRam } from "./open_shared_ram.ts";
import type { RamAnswer, RamRequest, ScanAnswer, ScanFile, ScanPort, ScanRequest } from "./scan_port.ts";

/** Looks through RAM on the calling thread: for programs that embed the core, and for tests. */
export class InlineScanner implements ScanPort {
  readonly #cache: ProfileCache = new Map();

  openRam(request: RamRequest, done: (answer: RamAnswer) => void): void {
    done(openSharedRam(request));
  }

  closeRam(fds: readonly number[]): void {
    for (const fd of fds) closeFd(fd);
  }

  scan(request: ScanRequest, done: (answer: ScanAnswer) => void): void {
    done(scanGuest(request, this.#cache));
  }
}

/**
 * Looks.
 *
 * @param request what to look through
 * @param cache profiles of kernels met before; added to
 * @returns never throws: what went wrong is an answer too
 */
export function scanGuest(request: ScanRequest, cache: ProfileCache): ScanAnswer {
  const startMs = performance.now();
  try {
    using memory = openRam(request);
    const { liveRoot, livePc, liveInUserMode: inUserMode, foundAt } = request;
    const evidence = { cache, liveRoot, livePc, inUserMode, foundAt };
    const result = findGuest(memory, findersFor(request.guest), evidence);
    if (!result.found) {
      const { reason, system, detail } = result;
      return { outcome: "none", reason, system, detail };
    }
    const { os } = result;
    const { items } = os.processes();
    return {
      outcome: "found",
      kind: os.kind,
      version: os.version,
      root: os.kernel.root,
      architecture: os.kernel.paging.architecture,
      levels: os.levels,
      variant: os.kernel.paging.variant,
      isolated: os.isolated,
      settled: items.some((process) => process.root !== 0 && !process.kernelThread),
      identity: identityOf(os, items),
      foundAt: os.foundAt,
      ms: performance.now() - startMs,
    };
  } catch (error) {
    // A guest's structures are hostile input: whatever a look dies of, it must not take the scanner along.
    const detail = error instanceof Fault ? error.message : `a scan failed: ${messageOf(error)}`;
    return { outcome: "failed", detail };
  }
}

/** Where KASLR has put the kernel, and the object of its first process: one boot's alone, and all of it. */
function identityOf({ kernelBase }: GuestOs, processes: readonly Process[]): string {
  const first = processes.find(({ pid }) => pid === 1) ?? processes[0];
  return `${kernelBase}:${first?.object ?? 0}`;
}

function openRam(request: ScanRequest): PhysicalMemory {
  const files: RamFile[] = [];
  try {
    for (const file of request.files) files.push(openFile(file, request));
  } catch (error) {
    for (const { fd, presence } of files) {
      presence?.[Symbol.dispose]();
      fd.close();
    }
    throw error;
  }
  return new PhysicalMemory(new MappedRam(`RAM of ${request.name}`, files, request.pieces));
}

function openFile(file: ScanFile, { pid, started }: ScanRequest): RamFile {
  const fd = reopen(file.fd, OPEN.READ_ONLY);
  try {
    const status = statFd(fd.fd);
    if (status.ino !== file.ino || status.dev !== file.dev) {
      throw new Fault("seam-down", "Cannot scan the guest's RAM: it was closed");
    }
    if (!file.huge) return { fd, sizeBytes: file.sizeBytes, huge: false };
    // Huge pages do not tell their holes: asked of the mapping that QEMU has.
    using process = HostProcess.open(pid, started);
    return { fd, sizeBytes: file.sizeBytes, huge: true, presence: presenceIn(process, file.hostAddress) };
  } catch (error) {
    fd.close();
    throw error;
  }
}
