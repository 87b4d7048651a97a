/**
 * A stream as a Web `ReadableStream` and `WritableStream`, so that what pipes elsewhere pipes here.
 *
 * Closing the writable says that no more comes; the readable closes when the other end says so or disconnects
 * cleanly, and errs when it crashes. Cancelling the readable, or aborting the writable, leaves the other
 * direction as it is. The channel stays its owner's: disconnect it when both are done.
 * @module
 */
import { Fault } from "../base/fault.ts";
import type { Channel } from "./channel.ts";
import { Stream } from "./stream.ts";

/** A stream's two directions. */
export interface WebStreams {
  /** What the other end sends. */
  readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** What it receives. */
  readonly writable: WritableStream<Uint8Array>;
  /** The stream underneath. */
  readonly stream: Stream;
}

const READ_BYTES = 65_536;

/**
 * Attaches a stream to a channel and gives it as Web streams.
 *
 * @param channel the channel
 * @param idleMs how long a read or write may wait; for ever unless told
 */
export function webStreams(channel: Channel, idleMs = Infinity): WebStreams {
  const stream = new Stream(channel);
  const buffer = new Uint8Array(READ_BYTES);
  const readable = new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(controller) {
      const result = await stream.receiveAsync(buffer, idleMs);
      if (result.outcome === "data") controller.enqueue(buffer.slice(0, result.received));
      else if (result.outcome === "timed-out") controller.error(timedOut("read from", idleMs));
      else if (!stream.remoteEnded && channel.remoteState() === "crashed") controller.error(crashed(channel));
      else controller.close();
    },
  }, { highWaterMark: 0 });
  const writable = new WritableStream<Uint8Array>({
    async write(chunk) {
      const { outcome } = await stream.sendAsync(chunk, idleMs);
      if (outcome === "timed-out") throw timedOut("write to", idleMs);
      if (outcome === "closed") throw channel.remoteState() === "crashed" ? crashed(channel) : closed();
    },
    async close() {
      await stream.endAsync(idleMs);
    },
  });
  return { readable, writable, stream };
}

function timedOut(what: string, idleMs: number): Fault {
  return new Fault("timed-out", `Cannot ${what} the stream: the other end did nothing for ${idleMs} ms.`);
}

function closed(): Fault {
  return new Fault("seam-down", "Cannot write to the stream: the other end disconnected.");
}

function crashed(channel: Channel): Fault {
  return channel.fault ??
    new Fault("seam-down", "Cannot go on with the stream: the other end went without a goodbye.");
}
