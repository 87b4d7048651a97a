/**
 * A stream socket on the loop whose user hands bytes over at once: what the other side does not take yet
 * waits here, up to a bound.
 * @module
 */
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import type { LoopPort } from "../../core/adapter_port.ts";
import { ByteStream, type StreamUser } from "../../core/byte_stream.ts";
import { SendQueue } from "../../core/send_queue.ts";

/** Bytes that wait; past it the other side is given up. */
const MAX_UNSENT: number = 32 << 20;

/** Told what happens. */
export type BytePipeUser = Omit<StreamUser, "onRoom">;

/** The socket. */
export class BytePipe {
  readonly #user: BytePipeUser;
  readonly #stream: ByteStream;
  readonly #unsent: SendQueue;

  /** Takes a connected, nonblocking socket over. */
  constructor(socket: OwnedFd, loop: LoopPort, user: BytePipeUser) {
    this.#user = user;
    this.#stream = new ByteStream(
      socket,
      loop,
      {
        onBytes: (bytes) => user.onBytes(bytes),
        onRoom: () => this.#unsent.flush(),
        onEnd: (why) => this.#end(why),
      },
      "the other side",
    );
    this.#unsent = new SendQueue(MAX_UNSENT, (bytes, offset) => this.#stream.write(bytes, offset));
  }

  /** Sends bytes, which are its own from now on. */
  send(bytes: Uint8Array<ArrayBuffer>): void {
    if (!this.#stream.isOpen || this.#unsent.send(bytes)) return;
    this.#stream.close();
    this.#end("the other side takes nothing");
  }

  /** Ends it; its user is told nothing. */
  close(): void {
    this.#stream.close();
    this.#unsent.clear();
  }

  #end(why: string): void {
    this.#unsent.clear();
    this.#user.onEnd(why);
  }
}
