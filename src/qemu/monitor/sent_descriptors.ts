/**
 * Copies of the descriptors that are sent to QEMU with a command. A command may be queued, for a free slot in
 * QEMU and for room in the socket. By then the caller's own descriptors may be closed, and their numbers
 * reused, so copies are queued.
 * @module
 */
import { openAll, OwnedFd } from "../../../ffi/owned_fd.ts";
import { Fault } from "../../base/fault.ts";
import { assert } from "../../base/assert.ts";
import { MAX_QMP_FDS } from "../../base/limits.ts";
import type { QmpDescriptors } from "../protocol/qmp_client.ts";
import type { QmpTransport } from "./qmp_transport.ts";

/** The copies for one command. */
export class SentDescriptors implements QmpDescriptors {
  readonly fds: readonly number[];
  readonly #copies: readonly OwnedFd[];

  private constructor(copies: readonly OwnedFd[]) {
    this.#copies = copies;
    this.fds = copies.map(({ fd }) => fd);
  }

  /**
   * Copies descriptors for sending over a transport.
   *
   * @param fds borrowed for the call
   * @throws {Fault} `bad-argument` for more than QEMU accepts at once; {@linkcode OsError} EBADF, EMFILE
   */
  static copyFor(transport: QmpTransport, fds: readonly number[]): SentDescriptors {
    assert(transport.passesDescriptors, "descriptors go over a transport that passes them");
    if (fds.length > MAX_QMP_FDS) {
      throw new Fault(
        "bad-argument",
        `Cannot send ${fds.length} descriptors with one QMP command: QEMU takes ${MAX_QMP_FDS}; send several commands`,
      );
    }
    return new SentDescriptors(openAll(fds, OwnedFd.copyOf));
  }

  close(): void {
    for (const copy of this.#copies) copy.close();
  }
}
