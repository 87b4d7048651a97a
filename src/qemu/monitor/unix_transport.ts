/**
 * A monitor on a unix socket's path (`-qmp unix:PATH,server=on,wait=off`): connects immediately or not at
 * all, and the kernel reports the listener.
 * @module
 */
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { connectUnix, peerCredentials, SOCKET } from "../../../ffi/unix_socket.ts";
import { Fault } from "../../base/fault.ts";
import { connectLoss } from "./qmp_loss.ts";
import type { QmpAttempt, QmpPeer, QmpTransport } from "./qmp_transport.ts";

/** Connects to one path. */
export class UnixTransport implements QmpTransport {
  readonly name: string;
  readonly passesDescriptors = true;
  readonly canReconnect = true;

  /**
   * Makes one.
   *
   * @param path the socket's path
   */
  constructor(path: string) {
    this.name = path;
  }

  connect(): QmpAttempt {
    try {
      return { outcome: "connected", socket: connectUnix(this.name, SOCKET.STREAM) };
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      return { outcome: "failed", loss: connectLoss(error, isSocket(this.name)) };
    }
  }

  finish(socket: OwnedFd): QmpAttempt {
    return { outcome: "connected", socket };
  }

  peerOf(fd: number): QmpPeer {
    return peerCredentials(fd);
  }
}

function isSocket(path: string): boolean {
  try {
    return Deno.statSync(path).isSocket !== false;
  } catch (error) {
    // Gone meanwhile, or not accessible: connect reports the error.
    if (error instanceof Error) return true;
    throw error;
  }
}
