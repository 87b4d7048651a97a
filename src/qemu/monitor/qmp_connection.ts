/**
 * One connection to a QMP socket on the loop: reads everything that QEMU writes (unread output grows QEMU's
 * memory without limit), and writes commands, queueing what the socket does not accept. It does not interpret
 * the bytes.
 * @module
 */
import { ERR, HUP, IN, OUT } from "../../../ffi/poller.ts";
import { isPeerGone, sendOne } from "../../../ffi/datagram.ts";
import { ERRNO } from "../../../ffi/os_error.ts";
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { readInto } from "../../../ffi/stream.ts";
import { refuseDescriptors } from "../../../ffi/unix_socket.ts";
import type { QmpDescriptors } from "../protocol/qmp_client.ts";
import type { DeadlineHandler, MonitorLoop, ReadyHandler } from "./monitor_loop.ts";
import type { QmpStream, QmpStreamListener } from "./qmp_stream.ts";
import { ReadingBudget } from "./reading_budget.ts";

interface Unsent {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Descriptors sent with the first byte, and closed afterwards. */
  descriptors: QmpDescriptors | null;
  offset: number;
}

/** Small enough that processing one read takes well under a millisecond: see reading_budget.ts. */
const READ_BYTES = 16_384;
/** Shared by all connections, because its contents are processed before anything else is read. */
let readBuffer: Uint8Array<ArrayBuffer> | undefined;

/** A connected socket under the loop's watch. */
export class QmpConnection implements ReadyHandler, DeadlineHandler, QmpStream {
  readonly #socket: OwnedFd;
  readonly #loop: MonitorLoop;
  readonly #listener: QmpStreamListener;
  #unsent: Unsent[] = [];
  readonly #budget = new ReadingBudget();
  /** The budget is used up: reading pauses until the timer fires. */
  #isPausing = false;
  #open = true;

  /** Takes over a connected socket and starts watching it. */
  constructor(socket: OwnedFd, loop: MonitorLoop, listener: QmpStreamListener) {
    this.#socket = socket;
    this.#loop = loop;
    this.#listener = listener;
    // QEMU sends no descriptors, and another process in its place must not block the loop with one.
    refuseDescriptors(socket.fd);
    loop.watch(socket.fd, IN, this);
  }

  /** Sends a command's bytes; what the socket does not accept now is sent later. */
  sendCommand(bytes: Uint8Array<ArrayBuffer>, length: number, descriptors: QmpDescriptors | null): void {
    let owned = descriptors;
    try {
      if (!this.#open) return;
      let sent = 0;
      if (this.#unsent.length === 0) {
        const result = sendOne(this.#socket.fd, bytes, 0, length, owned?.fds);
        // The end of the stream, which is read next, reports a peer that is gone.
        if (result === length || isPeerGone(result)) return;
        sent = Math.max(0, result);
        this.#rewatch(true);
      }
      this.#unsent.push({
        bytes: bytes.slice(sent, length),
        descriptors: sent > 0 ? null : owned,
        offset: 0,
      });
      if (sent === 0) owned = null;
    } finally {
      owned?.close();
    }
  }

  /** Called by the loop. */
  onReady(events: number): void {
    if ((events & OUT) !== 0) this.#flush();
    if ((events & (IN | HUP | ERR)) !== 0) this.drain();
  }

  /** Called by the loop: a callback of this object threw. */
  onFault(error: unknown): void {
    if (this.#listener.onFault === undefined) this.close();
    else this.#listener.onFault(error);
  }

  /** Reads what is there, at most one turn's share; the loop calls again for the rest. */
  drain(): void {
    const { clock } = this.#loop;
    const buffer = readBuffer ??= new Uint8Array(READ_BYTES);
    this.#budget.begin(clock.nowNs());
    while (this.#open) {
      const n = readInto(this.#socket.fd, buffer, 0, buffer.length);
      if (n === -ERRNO.EAGAIN) break;
      if (n <= 0) {
        this.close();
        this.#listener.onEnd();
        return;
      }
      this.#listener.onBytes(buffer, n);
      // A short read has emptied the socket: the next event reports more data, or the end.
      if (n < buffer.length || this.#budget.isSliceOver(clock.nowNs())) break;
    }
    const resumeNs = this.#budget.end(clock.nowNs());
    if (resumeNs > 0 && this.#open) this.#pause(resumeNs);
  }

  /** Called by the loop: reading resumes. */
  onTimer(): void {
    this.#isPausing = false;
    this.#rewatch(this.#unsent.length > 0);
  }

  #pause(untilNs: number): void {
    this.#loop.arm(this, untilNs);
    if (this.#isPausing) return;
    this.#isPausing = true;
    this.#rewatch(this.#unsent.length > 0);
  }

  #rewatch(forRoom: boolean): void {
    this.#loop.rewatch(this.#socket.fd, (this.#isPausing ? 0 : IN) | (forRoom ? OUT : 0));
  }

  /** Closes it without calling the listener. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#forgetUnsent();
    this.#loop.disarm(this);
    this.#loop.unwatch(this.#socket.fd);
    this.#socket.close();
  }

  #forgetUnsent(): void {
    for (const unsent of this.#unsent) unsent.descriptors?.close();
    this.#unsent = [];
  }

  #flush(): void {
    while (this.#open) {
      const first = this.#unsent[0];
      if (first === undefined) {
        this.#rewatch(false);
        return;
      }
      const { bytes, offset } = first;
      const result = sendOne(
        this.#socket.fd,
        bytes,
        offset,
        bytes.length - offset,
        first.descriptors?.fds,
      );
      if (isPeerGone(result)) {
        this.#forgetUnsent();
        continue;
      }
      if (result <= 0) return;
      first.descriptors?.close();
      first.descriptors = null;
      first.offset += result;
      if (first.offset === bytes.length) this.#unsent.shift();
    }
  }
}
