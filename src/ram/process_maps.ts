/**
 * A host process as /proc shows it: its mappings and which files its descriptors are open on. Text in, tables out.
 * @module
 */
import { Fault, messageOf } from "../base/fault.ts";

/** A mapping of a host process. */
export interface HostMapping {
  /** First address. */
  readonly start: number;
  /** Its size. */
  readonly sizeBytes: number;
  /** Whether it is shared with others that map the file. */
  readonly shared: boolean;
  /** Whether it is writable. */
  readonly writable: boolean;
  /** Bytes into the file. */
  readonly offset: number;
  /** Inode of the file; 0 for anonymous memory. */
  readonly inode: number;
  /** Its path, with " (deleted)" behind when it has none any more. */
  readonly path: string;
}

const LINE = /^([0-9a-f]+)-([0-9a-f]+) (....) ([0-9a-f]+) \S+ (\d+)\s*(.*)$/;

/** Reads the text of /proc/PID/maps. */
export function parseHostMaps(text: string): HostMapping[] {
  const out: HostMapping[] = [];
  for (const line of text.split("\n")) {
    const match = LINE.exec(line);
    if (match === null) continue;
    const [, from, to, perms, offset, inode, path] = match as unknown as [
      string,
      string,
      string,
      string,
      string,
      string,
      string,
    ];
    const start = parseInt(from, 16);
    out.push({
      start,
      sizeBytes: parseInt(to, 16) - start,
      shared: perms[3] === "s",
      writable: perms[1] === "w",
      offset: parseInt(offset, 16),
      inode: Number(inode),
      path,
    });
  }
  return out;
}

/**
 * Reads a file of /proc/PID.
 *
 * @throws {Fault} `no-endpoint` when there is no such process, `refused` when it may not be read
 */
export function readProc(pid: number, name: string): string {
  try {
    return Deno.readTextFileSync(`/proc/${pid}/${name}`);
  } catch (error) {
    throw procFault(pid, error);
  }
}

/** Descriptors of a process and what each is open on. */
export function descriptorsOf(pid: number): { readonly fd: number; readonly target: string }[] {
  const out: { fd: number; target: string }[] = [];
  try {
    for (const entry of Deno.readDirSync(`/proc/${pid}/fd`)) {
      const target = linkOf(`/proc/${pid}/fd/${entry.name}`);
      if (target !== undefined) out.push({ fd: Number(entry.name), target });
    }
  } catch (error) {
    throw procFault(pid, error);
  }
  return out.sort((a, b) => a.fd - b.fd);
}

function linkOf(path: string): string | undefined {
  try {
    return Deno.readLinkSync(path);
  } catch (error) {
    // Closed between the listing and now.
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

function procFault(pid: number, error: unknown): Fault {
  // A process that ended in between gives ESRCH, which Deno has no class for.
  if (error instanceof Deno.errors.NotFound || messageOf(error).includes("os error 3")) {
    return new Fault("no-endpoint", `Cannot look at process ${pid}: there is none`);
  }
  return new Fault(
    "refused",
    `Cannot look at process ${pid}: ${messageOf(error)}; run as its user, or as root`,
    { cause: error },
  );
}
