/**
 * A channel as a pipe for a shell, similar to socat: standard input is sent to the other end, and what it
 * sends goes to standard output. As a stream of bytes, or with one message per line.
 *
 * When it ends. RING.md has no half-close, so an end of input is told by our own flag (src/v2v/stream.ts),
 * and: both ends' inputs are over: done. Ours is over and had something: done once the other end has taken
 * all, and has been quiet for the linger time: an answer can still come, and an end that knows no flag is not
 * waited for for ever. Ours had nothing (`</dev/null`): we only listen, until the other end is done. The
 * other end disconnects: done, behind its last byte. It dies: an error, behind its last byte.
 * @module
 */
import { Fault } from "../base/fault.ts";
import type { Channel } from "../v2v/channel.ts";
import { SLICE_NS } from "../v2v/channel_parts.ts";
import { MS } from "../base/clock.ts";
import { Stream } from "../v2v/stream.ts";

/** The streams of a pipe. */
export interface PipeEnds {
  /** What is sent to the other end. */
  readonly input: ReadableStream<Uint8Array>;
  /** What the other end sends; closed at its end. */
  readonly output: WritableStream<Uint8Array>;
  /** Aborts the pipe; its reason is thrown. */
  readonly signal?: AbortSignal;
  /** How long to wait for an answer after the end of input, ms; 500 by default. */
  readonly lingerMs?: number;
}

/** Numbers of bytes. */
export interface PipeResult {
  /** To the other end. */
  readonly sentBytes: number;
  /** From it. */
  readonly receivedBytes: number;
}

const DEFAULT_LINGER_MS = 500;
const BUFFER_BYTES = 262_144;
const NEWLINE = 10;

/** The common interface of both kinds of pipe. */
interface Carrier {
  /** Sends some input; false when the other end is leaving. */
  send(bytes: Uint8Array): Promise<boolean>;
  /** The input has ended. */
  end(): Promise<void>;
  /** Received data, "ended" at the end, or "quiet" when nothing arrived for a while. */
  receive(): Promise<Uint8Array | "ended" | "quiet">;
}

/**
 * Copies until the end, then disconnects.
 *
 * @param channel the channel; it is disconnected afterwards, whatever happens
 * @param asStream bytes instead of lines
 * @throws {Fault} `seam-down` when the other end died, `too-large` for a line that no message holds,
 *   `protocol-error`; the signal's reason
 */
export async function pipeChannel(channel: Channel, asStream: boolean, ends: PipeEnds): Promise<PipeResult> {
  const pipe = new Pipe(channel, asStream ? new ByteCarrier(channel) : new LineCarrier(channel), ends);
  try {
    return await pipe.run();
  } finally {
    await channel.disconnectAsync(2000);
  }
}

class Pipe {
  readonly #channel: Channel;
  readonly #carrier: Carrier;
  readonly #ends: PipeEnds;
  #sentBytes = 0;
  #receivedBytes = 0;
  #inputOver = false;
  #over = false;
  #failure: unknown;

  constructor(channel: Channel, carrier: Carrier, ends: PipeEnds) {
    this.#channel = channel;
    this.#carrier = carrier;
    this.#ends = ends;
  }

  async run(): Promise<PipeResult> {
    const reader = this.#ends.input.getReader();
    const upward = this.#up(reader).catch((error) => this.#fail(error));
    const onAbort = (): void => this.#fail(this.#ends.signal?.reason);
    this.#ends.signal?.addEventListener("abort", onAbort);
    try {
      if (this.#ends.signal?.aborted) onAbort();
      await this.#down();
    } finally {
      this.#over = true;
      this.#ends.signal?.removeEventListener("abort", onAbort);
      // A terminal's read cannot be cancelled: its promise is abandoned, since the process is about to end.
      reader.cancel().catch(() => {});
      await within(upward, 2 * SLICE_NS / MS);
    }
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#channel.remoteState() === "crashed") {
      throw this.#channel.fault ?? new Fault(
        "seam-down",
        "Cannot go on: the other end of the channel went without a goodbye, and what came may not be all.",
      );
    }
    return { sentBytes: this.#sentBytes, receivedBytes: this.#receivedBytes };
  }

  #fail(error: unknown): void {
    this.#failure ??= error ?? new Fault("interrupted", "Cannot go on: interrupted.");
    this.#over = true;
  }

  async #up(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
    while (!this.#over) {
      const { value, done } = await reader.read();
      if (done) break;
      if (!await this.#carrier.send(value)) return;
      this.#sentBytes += value.length;
    }
    if (this.#over) return;
    await this.#carrier.end();
    this.#inputOver = true;
  }

  async #down(): Promise<void> {
    const writer = this.#ends.output.getWriter();
    try {
      await this.#takeAll(writer);
    } catch (error) {
      if (!(error instanceof Deno.errors.BrokenPipe)) throw error; // a reader that has enough is not an error
    }
  }

  async #takeAll(writer: WritableStreamDefaultWriter<Uint8Array>): Promise<void> {
    let busyAtMs = performance.now();
    let ended = false;
    while (!this.#over) {
      const got = ended ? await this.#pause() : await this.#carrier.receive();
      if (typeof got !== "string") {
        this.#receivedBytes += got.length;
        if (got.length > 0) await writer.write(got);
        busyAtMs = performance.now();
        continue;
      }
      if (got === "ended" && !ended) {
        ended = true;
        await writer.close();
      }
      if (ended && (this.#inputOver || this.#channel.remoteClosing())) return;
      if (!this.#inputOver || this.#sentBytes === 0 || !this.#channel.sender.drained()) {
        busyAtMs = performance.now();
      } else if (performance.now() - busyAtMs >= (this.#ends.lingerMs ?? DEFAULT_LINGER_MS)) break;
    }
    if (!ended && this.#failure === undefined) await writer.close();
  }

  async #pause(): Promise<"quiet"> {
    await this.#channel.pauseAsync();
    return "quiet";
  }
}

/** Waits for a promise, at most that long. */
async function within(promise: Promise<unknown>, ms: number): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  await Promise.race([promise, new Promise((resolve) => timer = setTimeout(resolve, ms))]);
  clearTimeout(timer);
}

/** Bytes, as a stream. */
class ByteCarrier implements Carrier {
  readonly #stream: Stream;
  readonly #buffer = new Uint8Array(BUFFER_BYTES);

  constructor(channel: Channel) {
    this.#stream = new Stream(channel);
  }

  async send(bytes: Uint8Array): Promise<boolean> {
    return (await this.#stream.sendAsync(bytes, Infinity)).outcome === "done";
  }

  async end(): Promise<void> {
    await this.#stream.endAsync(Infinity);
  }

  async receive(): Promise<Uint8Array | "ended" | "quiet"> {
    const result = await this.#stream.receiveAsync(this.#buffer, SLICE_NS / MS);
    if (result.outcome === "data") return this.#buffer.slice(0, result.received);
    return result.outcome === "closed" ? "ended" : "quiet";
  }
}

/** Lines, each as a message of type 0. A last line without a newline counts as well. */
class LineCarrier implements Carrier {
  readonly #channel: Channel;
  #rest = new Uint8Array(0);

  constructor(channel: Channel) {
    this.#channel = channel;
  }

  async send(bytes: Uint8Array): Promise<boolean> {
    let from = 0;
    for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, from)) {
      if (!await this.#message(this.#join(bytes.subarray(from, at)))) return false;
      this.#rest = new Uint8Array(0);
      from = at + 1;
    }
    this.#rest = this.#join(bytes.subarray(from));
    return true;
  }

  async end(): Promise<void> {
    if (this.#rest.length > 0) await this.#message(this.#rest);
  }

  #join(more: Uint8Array): Uint8Array<ArrayBuffer> {
    const line = new Uint8Array(this.#rest.length + more.length);
    if (line.length > this.#channel.sender.maxPayloadBytes) {
      throw new Fault(
        "too-large",
        `Cannot send a line of more than ${this.#channel.sender.maxPayloadBytes} bytes as a message: use --stream, or ` +
          "listen with a larger --order.",
      );
    }
    line.set(this.#rest);
    line.set(more, this.#rest.length);
    return line;
  }

  async #message(line: Uint8Array): Promise<boolean> {
    while (this.#channel.sendMessage(line) === "retry") {
      if (await this.#channel.waitAsync("send", Infinity) !== "ready") return false;
    }
    return !this.#channel.remoteClosing();
  }

  async receive(): Promise<Uint8Array | "ended" | "quiet"> {
    const payload = this.#channel.receiveMessage();
    if (payload !== undefined) {
      const line = new Uint8Array(payload.length + 1);
      line.set(payload);
      line[payload.length] = NEWLINE;
      return line;
    }
    const outcome = await this.#channel.waitAsync("receive", SLICE_NS / MS);
    if (outcome === "ready") return new Uint8Array(0);
    return outcome === "closed" ? "ended" : "quiet";
  }
}
