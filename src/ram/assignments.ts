/**
 * When no monitor says which of a QEMU's mapped files is which memory backend: every assignment that is
 * consistent with the command line, the most likely first. A memfd does not contain its backend's id; its
 * size, its path, and the order in which QEMU makes its backends (that of `-object`) narrow the choice. The
 * caller tries an assignment by looking for a system in it.
 * @module
 */
import { MAX_RAM_CHOICES } from "../base/limits.ts";
import type { BackendOption } from "./qemu_command_line.ts";
import type { RamCandidate } from "./ram_file.ts";

/** The known properties of a file. */
export type AssignableFile = Pick<RamCandidate, "target" | "memfd" | "sizeBytes" | "mapping">;

/** The consistent assignments. */
export interface Assignments<File extends AssignableFile = RamCandidate> {
  /** The files of the wanted backends, in order; at most {@linkcode MAX_RAM_CHOICES} choices. */
  readonly choices: readonly (readonly File[])[];
  /** Id of a backend without a matching file, if there are no choices. */
  readonly lacking: string | undefined;
}

/**
 * Lists the assignments.
 *
 * @param backends all backends of the command line, in order
 * @param wanted those that form RAM, in RAM's order
 * @param files the candidates, by descriptor number
 */
export function assignFiles<File extends AssignableFile>(
  backends: readonly BackendOption[],
  wanted: readonly BackendOption[],
  files: readonly File[],
): Assignments<File> {
  const guess = inOrder(backends, files);
  const fits = wanted.map((backend) => {
    const all = files.filter((file) => isFit(backend, file));
    const named = all.filter((file) => backend.path !== undefined && file.target === backend.path);
    const likely = guess.get(backend);
    // A file with the right path is certain; otherwise an exact size is preferred to a larger one, and the
    // expected file to the others.
    const rank = (file: File): number =>
      (file === likely ? 0 : 2) + (file.sizeBytes === backend.sizeBytes ? 0 : 1);
    return named.length > 0 ? named : all.sort((a, b) => rank(a) - rank(b));
  });
  const choices: File[][] = [];
  const taken: File[] = [];
  const place = (i: number): void => {
    if (choices.length >= MAX_RAM_CHOICES) return;
    if (i === wanted.length) {
      choices.push([...taken]);
      return;
    }
    for (const file of fits[i] as File[]) {
      const isTaken = taken.some((each, k) =>
        each === file && wanted[k]?.fileOffset === wanted[i]?.fileOffset
      );
      if (isTaken) continue;
      taken.push(file);
      place(i + 1);
      taken.pop();
    }
  };
  if (fits.every(({ length }) => length > 0)) place(0);
  const lacking = wanted[fits.findIndex(({ length }) => length === 0)]?.id;
  return { choices, lacking: choices.length === 0 ? lacking : undefined };
}

function isFit({ type, sizeBytes, path, fileOffset }: BackendOption, file: AssignableFile): boolean {
  if (sizeBytes !== undefined && file.sizeBytes < fileOffset + sizeBytes) return false;
  // A file that is not mapped from its beginning has an offset, which only a backend with a path can have.
  if (file.mapping.offset !== 0 && path === undefined) return false;
  if (type === "memory-backend-file") return !file.memfd;
  if (type === "memory-backend-shm") return file.target.startsWith("/dev/shm/");
  // If memfds are not available, QEMU uses POSIX shared memory for a memory-backend-ram.
  return file.memfd || (type === "memory-backend-ram" && file.target.startsWith("/dev/shm/"));
}

/** Goes through backends and files in order: each backend takes the next file of its size. */
function inOrder<File extends AssignableFile>(
  backends: readonly BackendOption[],
  files: readonly File[],
): Map<BackendOption, File> {
  const guess = new Map<BackendOption, File>();
  const left = [...files];
  for (const backend of backends) {
    const at = left.findIndex((file) => isFit(backend, file) && file.sizeBytes === backend.sizeBytes);
    const [file] = at < 0 ? [] : left.splice(at, 1);
    if (file !== undefined) guess.set(backend, file);
  }
  return guess;
}
