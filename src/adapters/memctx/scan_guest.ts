/**
 * One look through a guest's RAM for its system: the work behind the scan port, on whatever thread may take the time.
 *
 * It opens the RAM itself, read-only, and closes it before it returns. A system that is found must be the running one: a vCPU's root
 * has to map its kernel where the kernel's own root does.
 * @module
 */
import { OPEN, reopen, statFd } from "../../../ffi/memfd.ts";
import { Fault, messageOf } from "../../base/fault.ts";
import { findGuest, type GuestFinder } from "../../guest/find_guest.ts";
import type { GuestOs } from "../../guest/guest_os.ts";
import { findLinux, type ProfileCache } from "../../guest/linux/find_linux.ts";
import { PhysicalMemory } from "../../guest/physical_memory.ts";
import { MappedRam, type RamFile } from "../../ram/mapped_ram.ts";
import { Pagemap } from "../../ram/pagemap.ts";
import type { ScanAnswer, ScanFile, ScanPort, ScanRequest } from "./scan_port.ts";

/** Looks through RAM on the calling thread: for programs that embed the core, and for tests. */
export class InlineScanner implements ScanPort {
  readonly #cache: ProfileCache = new Map();

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
    const result = findGuest(memory, findersFor(request, cache));
    if (!result.found) return { outcome: "none", reason: result.reason, detail: result.detail };
    const { os } = result;
    if (!runsUnder(os, request)) {
      const detail = `${os.kind} ${os.version} is in RAM, but no vCPU runs under its tables`;
      return { outcome: "none", reason: "no-kernel", detail };
    }
    return {
      outcome: "found",
      kind: os.kind,
      version: os.version,
      root: os.kernel.root,
      levels: os.levels,
      isolated: os.isolated,
      settled: os.processes().items.some((process) => process.root !== 0 && !process.kernelThread),
      ms: performance.now() - startMs,
    };
  } catch (error) {
    // A guest's structures are hostile input: whatever a look dies of, it must not take the scanner along.
    const detail = error instanceof Fault ? error.message : `a look failed: ${messageOf(error)}`;
    return { outcome: "failed", detail };
  }
}

function findersFor(request: ScanRequest, cache: ProfileCache): GuestFinder[] {
  const finders: GuestFinder[] = [];
  if (request.guest !== "windows") {
    finders.push((memory) => findLinux(memory, { cache, liveRoot: request.liveRoot }));
  }
  return finders;
}

/** Whether the vCPU's root maps the kernel where the kernel's own root does. */
function runsUnder(os: GuestOs, { liveRoot, liveInUserMode }: ScanRequest): boolean {
  // Linux was found under this root already, both halves of a KPTI pair tried. A shadowed Windows root maps no kernel.
  if (os.kind === "linux" || liveInUserMode) return true;
  const root = Math.floor(liveRoot / 4096) * 4096;
  return os.kernel.withRoot(root).translate(os.kernelBase) === os.kernel.translate(os.kernelBase);
}

function openRam(request: ScanRequest): PhysicalMemory {
  const files: RamFile[] = [];
  try {
    for (const file of request.files) files.push(openFile(file, request.pid));
  } catch (error) {
    for (const { fd, presence } of files) {
      presence?.[Symbol.dispose]();
      fd.close();
    }
    throw error;
  }
  return new PhysicalMemory(new MappedRam(`RAM of ${request.name}`, files, request.pieces));
}

function openFile(file: ScanFile, pid: number): RamFile {
  const fd = reopen(file.fd, OPEN.READ_ONLY);
  try {
    const status = statFd(fd.fd);
    if (status.ino !== file.ino || status.dev !== file.dev) {
      throw new Fault("seam-down", "Cannot look through the guest's RAM: it was closed meanwhile");
    }
    if (!file.huge) return { fd, sizeBytes: file.sizeBytes, huge: false };
    return { fd, sizeBytes: file.sizeBytes, huge: true, presence: presenceOf(pid, file.hostAddress) };
  } catch (error) {
    fd.close();
    throw error;
  }
}

/** Huge pages do not tell their holes: asked of the mapping that QEMU has. */
function presenceOf(pid: number, hostAddress: number): NonNullable<RamFile["presence"]> {
  const pagemap = new Pagemap(pid);
  return {
    next: (from, end, wanted) => pagemap.next(hostAddress + from, hostAddress + end, wanted) - hostAddress,
    [Symbol.dispose]: () => pagemap[Symbol.dispose](),
  };
}
