/**
 * A file descriptor with one owner, which closes it once. Borrowed descriptors are plain numbers.
 *
 * A closed number is soon given to something else, so a use after close must be an error here and not a write
 * into a stranger's file.
 * @module
 */
import { assert } from "../src/base/assert.ts";
import { check, ERRNO, OsError } from "./os_error.ts";
import { shim } from "./shim.ts";

let open = 0;

/** How many {@linkcode OwnedFd}s of this thread are open: leak tests compare it before and after. */
export function openFdCount(): number {
  return open;
}

/** Closes a descriptor that nobody wraps, such as one just received. */
export function closeFd(fd: number): void {
  check(shim().vmsig_close(fd), "close");
}

/**
 * Closes a descriptor that a peer sent, without waiting for it. A close can wait for as long as a peer likes
 * (a TCP socket with SO_LINGER, a file of FUSE), so all but a memfd is closed on a thread of the shim's.
 *
 * @param fd whose number may be given to something else soon
 */
export function closeForeignFd(fd: number): void {
  // No thread to be had: better a close that may wait than a descriptor that is lost.
  if (shim().vmsig_close_elsewhere(fd, 0) < 0) closeFd(fd);
}

/**
 * Closes a connection over a unix socket, without waiting for it, and so that the peer still hears what was
 * said last. It is not read any more, and what was not read is thrown away. An unread packet may hold a
 * descriptor, which makes a close wait as in {@linkcode closeForeignFd}: then a thread of the shim's closes
 * it, soon.
 *
 * @param fd of a connected unix socket
 */
export function closeConnection(fd: number): void {
  if (shim().vmsig_close_elsewhere(fd, 1) < 0) closeFd(fd);
}

/**
 * Closes a descriptor on a thread of Deno's pool: the last one of a memfd gives its memory back, which takes
 * 0.1 s a GiB.
 *
 * @returns settles when it is closed
 */
export async function closeFdElsewhere(fd: number): Promise<void> {
  check(await shim().vmsig_close_async(fd), "close");
}

/**
 * Makes this process's table of descriptors large enough for so many, or for as many as its limit allows. A
 * table that grows while several threads share it waits for all processors of the machine (synchronize_rcu):
 * an accept or open of 10 to 30 ms.
 *
 * @returns how many fit without its growing
 * @throws {OsError} when there is no room for even one more
 */
export function reserveDescriptors(count: number): number {
  const any = check(shim().vmsig_eventfd(0), "eventfd");
  try {
    for (let least = count - 1; least > 0; least >>= 1) {
      const fd = shim().vmsig_dup(any, least);
      if (fd >= 0) {
        closeFd(fd);
        return fd + 1;
      }
      if (fd !== -ERRNO.EINVAL && fd !== -ERRNO.EMFILE) throw new OsError("dup", fd);
    }
    return any + 1;
  } finally {
    closeFd(any);
  }
}

/** An owned file descriptor. */
export class OwnedFd implements Disposable {
  #fd: number;

  /**
   * Takes ownership.
   *
   * @param fd the descriptor, which this object owns from now on
   */
  constructor(fd: number) {
    assert(Number.isInteger(fd) && fd >= 0, "an owned fd is a descriptor");
    this.#fd = fd;
    open++;
  }

  /** The number, to be used while this object is open and not kept. Asserts that it is open. */
  get fd(): number {
    assert(this.#fd >= 0, "an fd is not used after it was closed or released");
    return this.#fd;
  }

  /** Whether it was closed or released. */
  get closed(): boolean {
    return this.#fd < 0;
  }

  /** Gives up ownership: the caller closes the number from now on. */
  release(): number {
    const fd = this.fd;
    this.#fd = -1;
    open--;
    return fd;
  }

  /** A second descriptor of the same open file, owned on its own. */
  dup(): OwnedFd {
    return OwnedFd.copyOf(this.fd);
  }

  /**
   * A second descriptor of the open file that a borrowed one means.
   *
   * @throws {OsError} EBADF when it is closed, EMFILE
   */
  static copyOf(fd: number): OwnedFd {
    return new OwnedFd(check(shim().vmsig_dup(fd, 0), "dup"));
  }

  /** Closes it; nothing when it was closed or released before. */
  close(): void {
    if (this.#fd < 0) return;
    // Whatever close answers, the descriptor is gone on Linux: closing again could hit a stranger's.
    shim().vmsig_close(this.release());
  }

  /** The same as {@linkcode OwnedFd.close}. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * Opens one descriptor for each of several things, or none: when one cannot be opened, those before it are
 * closed.
 *
 * @throws whatever `open` throws
 */
export function openAll<T>(things: readonly T[], open: (thing: T) => OwnedFd): OwnedFd[] {
  const opened: OwnedFd[] = [];
  try {
    for (const thing of things) opened.push(open(thing));
    return opened;
  } catch (error) {
    for (const fd of opened) fd.close();
    throw error;
  }
}
