/**
 * The NATS library's transport over a socket of Deno's own, for a server without TLS. The library's own one
 * goes through `node:net`, whose streams cost more time and memory: here what was read goes to the library's
 * parser as it comes, and a write begins in the turn in which it is asked for.
 *
 * What the server says first tells whether it wants TLS: then another transport begins anew, see
 * `transport.ts`.
 * @module
 */
import {
  DataBuffer,
  errors,
  extractProtocolMessage,
  INFO,
  type Server,
  type ServerInfo,
  type Transport,
} from "@nats-io/nats-core/internal";
import { assert } from "../../base/assert.ts";
import { messageOf } from "../../base/fault.ts";
import { VERSION } from "../../base/version.ts";

const READ_BYTES = 65_536;
/** What a server says first, at most. */
const MOST_INFO_BYTES: number = 256 * 1024;
/** Bytes that are read one after another before others get their turn. */
const MOST_AT_ONCE: number = 1024 * 1024;

/**
 * The transport.
 *
 * @internal
 */
export class PlainTransport implements Transport {
  /** What the server's lists say that we are written in. */
  readonly lang = "deno";
  /** The same of our version. */
  readonly version: string = VERSION;
  /** Why it ended, if anything went wrong. */
  closeError?: Error;
  readonly #closed = Promise.withResolvers<void | Error>();
  #connection: Deno.TcpConn | undefined;
  #isDone = false;
  /** What came with the server's first words: the parser's to read. */
  #first: Uint8Array[] = [];
  #waiting: Uint8Array[] = [];
  #isWriting = false;
  /** Whether the server may be spoken to: before that its end is not told as one. */
  #isBegun = false;

  /** Whether it is over. */
  get isClosed(): boolean {
    return this.#isDone;
  }

  /** Never: that is another transport's matter. */
  isEncrypted(): boolean {
    return false;
  }

  /**
   * Connects.
   *
   * @returns what the server says of itself
   * @throws {ConnectionError}
   */
  async open({ hostname, port }: Server): Promise<ServerInfo> {
    assert(this.#connection === undefined, "a transport connects once");
    let connection: Deno.TcpConn;
    try {
      connection = await Deno.connect({ hostname: hostname.replace(/^\[(.*)\]$/, "$1"), port });
    } catch (error) {
      const isRefused = error instanceof Deno.errors.ConnectionRefused;
      throw new errors.ConnectionError(isRefused ? "connection refused" : messageOf(error), { cause: error });
    }
    this.#connection = connection;
    if (this.#isDone) this.discard();
    else connection.setNoDelay(true);
    const info = await this.#info();
    this.#isBegun = true;
    return info;
  }

  /** See `Transport`. */
  async connect(server: Server): Promise<void> {
    await this.open(server);
  }

  /** See `Transport`. */
  send(frame: Uint8Array): void {
    if (this.#isDone || this.#connection === undefined) return;
    if (this.#isWriting) this.#waiting.push(frame);
    else void this.#write(this.#connection, frame);
  }

  /** What comes, as it comes. The memory is whoever's it is given to. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Uint8Array> {
    let buffer = new Uint8Array(READ_BYTES);
    let atOnce = 0;
    const next = async (): Promise<IteratorResult<Uint8Array>> => {
      const first = this.#first.shift();
      if (first !== undefined) return { done: false, value: first };
      if (atOnce >= MOST_AT_ONCE) {
        // A server that is faster than we would keep timers from ringing.
        atOnce = 0;
        await new Promise((resolve) => setTimeout(resolve, 0));
      }
      const count = await this.#read(buffer);
      if (count === 0) return { done: true, value: undefined };
      atOnce = count < READ_BYTES / 2 ? 0 : atOnce + count;
      // A little is copied, so that a message that is kept does not keep 64 KiB.
      if (count <= READ_BYTES / 8) return { done: false, value: buffer.slice(0, count) };
      const value = buffer.subarray(0, count);
      buffer = new Uint8Array(READ_BYTES);
      return { done: false, value };
    };
    return { next, [Symbol.asyncIterator]: () => this[Symbol.asyncIterator]() };
  }

  /** See `Transport`. */
  close(error?: Error): Promise<void> {
    this.#end(error);
    return Promise.resolve();
  }

  /** See `Transport`: the server is not heard any more. */
  disconnect(): void {
    this.#end(undefined);
  }

  /** See `Transport`. */
  closed(): Promise<void | Error> {
    return this.#closed.promise;
  }

  /** Lets go of the socket; nobody is told. */
  discard(): void {
    this.#isDone = true;
    this.#waiting = [];
    const connection = this.#connection;
    this.#connection = undefined;
    try {
      connection?.close();
    } catch (error) {
      // It is closed.
      if (!(error instanceof Deno.errors.BadResource)) throw error;
    }
  }

  #end(error: Error | undefined): void {
    if (this.#isDone) return;
    if (error !== undefined) this.closeError = error;
    this.discard();
    if (this.#isBegun) this.#closed.resolve(error);
  }

  /** How many bytes came; 0: it is over. */
  async #read(buffer: Uint8Array): Promise<number> {
    const connection = this.#connection;
    if (connection === undefined) return 0;
    try {
      const count = await connection.read(buffer);
      if (count !== null && !this.#isDone) return count;
      this.#end(undefined);
    } catch (error) {
      this.#end(error instanceof Error ? error : undefined);
    }
    return 0;
  }

  async #write(connection: Deno.TcpConn, frame: Uint8Array): Promise<void> {
    this.#isWriting = true;
    try {
      for (let next: Uint8Array | undefined = frame; next !== undefined;) {
        for (let at = 0; at < next.length;) at += await connection.write(at === 0 ? next : next.subarray(at));
        const { length } = this.#waiting;
        next = length > 1 ? DataBuffer.concat(...this.#waiting.splice(0)) : this.#waiting.pop();
      }
    } catch {
      // Who reads finds that the connection is over, or the library's heartbeat does.
      this.#waiting = [];
    } finally {
      this.#isWriting = false;
    }
  }

  /** Reads the server's first words, which stay to be read. */
  async #info(): Promise<ServerInfo> {
    const buffer = new Uint8Array(READ_BYTES / 8);
    let bytes = 0;
    for (;;) {
      const count = await this.#read(buffer);
      if (count === 0) {
        throw new errors.ConnectionError("the server closed the connection before it said who it is");
      }
      this.#first.push(buffer.slice(0, count));
      bytes += count;
      const line = extractProtocolMessage(DataBuffer.concat(...this.#first));
      if (line === "" && bytes <= MOST_INFO_BYTES) continue;
      const json = INFO.exec(line)?.[1];
      if (json === undefined) throw new errors.ConnectionError("it is not a NATS server");
      try {
        return JSON.parse(json) as ServerInfo;
      } catch (error) {
        throw new errors.ConnectionError("it is not a NATS server", { cause: error });
      }
    }
  }
}
