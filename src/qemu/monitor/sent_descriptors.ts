/**
 * Copies of the descriptors that go to QEMU with a command. A command may wait: for a place among those that
 * QEMU has, and for room in the socket. Its sender's own descriptors may be closed by then, and their numbers
 * be those of other files, so what waits are copies.
 * @module
 */
import { openAll, OwnedFd } from "../../../ffi/owned_fd.ts";
import { Fault } from "../../base/fault.ts";
import { assert } from "../../base/assert.ts";
import { MAX_QMP_FDS } from "../../base/limits.ts";
import type { QmpDescriptors } from "../protocol/qmp_client.ts";
import type { QmpTransport } from "./qmp_transport.ts";

/** One command's. */
export class SentDescriptors implements QmpDescriptors {
  readonly fds: readonly number[];
  readonly #copies: readonly OwnedFd[];

  private constructor(copies: readonly OwnedFd[]) {
    this.#copies = copies;
    this.fds = copies.map(({ fd }) => fd);
  }

  /**
   * Copies descriptors that are to go over a transport.
   *
   * @param fds borrowed for the call
   * @throws {Fault} `bad-argument` for more than QEMU takes at once; {@linkcode OsError} EBADF, EMFILE
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
