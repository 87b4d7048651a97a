/**
 * Stands for a monitor to which there is no way, and says why: the config names something that is not there,
 * and that no further attempt would find.
 * @module
 */
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import type { QmpLoss } from "./qmp_loss.ts";
import { type QmpAttempt, type QmpPeer, type QmpTransport, UNKNOWN_PEER } from "./qmp_transport.ts";

/** Never connects. */
export class NoTransport implements QmpTransport {
  readonly name: string;
  readonly passesDescriptors = false;
  readonly canReconnect = false;
  readonly #loss: QmpLoss;

  /**
   * Makes one.
   *
   * @param name the address, for logs and messages
   * @param loss why it does not connect
   */
  constructor(name: string, loss: QmpLoss) {
    this.name = name;
    this.#loss = loss;
  }

  connect(): QmpAttempt {
    return { outcome: "failed", loss: this.#loss };
  }

  finish(socket: OwnedFd): QmpAttempt {
    return { outcome: "connected", socket };
  }

  peerOf(): QmpPeer {
    return UNKNOWN_PEER;
  }
}
