/**
 * Which descriptors of this process are open on a given memfd: a leak check that other threads of a parallel
 * test run do not disturb, as counting all descriptors would.
 * @module
 */
import { createMemfd } from "../../../ffi/memfd.ts";
import type { OwnedFd } from "../../../ffi/owned_fd.ts";

/** A memfd under a name that nobody else uses, and how many descriptors are open on it. */
export class CountedFile implements Disposable {
  /** The file. */
  readonly file: OwnedFd;
  readonly #link: string;

  /** Makes the file. */
  constructor() {
    const name = crypto.randomUUID();
    this.file = createMemfd(name, 1);
    this.#link = `/memfd:${name} (deleted)`;
  }

  /** How many descriptors of this process are open on it, its own included. */
  get held(): number {
    let count = 0;
    for (const { name } of Deno.readDirSync("/proc/self/fd")) {
      if (linkOf(name) === this.#link) count++;
    }
    return count;
  }

  /** Closes its own. */
  [Symbol.dispose](): void {
    this.file.close();
  }
}

function linkOf(fd: string): string | undefined {
  try {
    return Deno.readLinkSync(`/proc/self/fd/${fd}`);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
