/**
 * A stream socket as a viewer's transport: what is sent waits its turn here, and is counted until it has
 * left.
 * @module
 */
import { assert } from "../../base/assert.ts";
import type { ViewerInput, ViewerTransport } from "../../rfb/server/rfb_server.ts";

/** Bytes that are read at once. */
const READ_BYTES = 16 * 1024;
/** How long what was sent may take to leave, once the viewer is to go. */
const LINGER_MS = 1000;

/** Where a socket stands: `closing` while what was sent before {@linkcode ViewerSocket.close} leaves. */
type SocketState = "open" | "closing" | "closed";

/** A socket. */
export class ViewerSocket implements ViewerTransport {
  readonly #conn: Deno.Conn;
  #waiting: Uint8Array<ArrayBuffer>[] = [];
  #bufferedBytes = 0;
  #isWriting = false;
  #state: SocketState = "open";
  #viewer: ViewerInput | undefined;
  #linger: ReturnType<typeof setTimeout> | undefined;

  /** Over a connection, which it closes. */
  constructor(conn: Deno.Conn) {
    this.#conn = conn;
  }

  get bufferedBytes(): number {
    return this.#bufferedBytes;
  }

  /** Hands what comes to the viewer, until the connection ends. */
  async run(viewer: ViewerInput): Promise<void> {
    this.#viewer = viewer;
    const bytes = new Uint8Array(READ_BYTES);
    try {
      for (;;) {
        const n = await this.#conn.read(bytes);
        if (n === null || !this.#isOpen) break;
        viewer.receive(bytes.subarray(0, n));
      }
    } catch (error) {
      if (!isEnd(error)) throw error;
    }
    viewer.gone();
  }

  send(bytes: Uint8Array<ArrayBuffer>): void {
    if (!this.#isOpen) return;
    this.#waiting.push(bytes);
    this.#bufferedBytes += bytes.length;
    if (!this.#isWriting) void this.#write();
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#state = "closing";
    if (!this.#isWriting) return this.#end();
    this.#linger = setTimeout(() => this.#end(), LINGER_MS);
  }

  get #isOpen(): boolean {
    return this.#state === "open";
  }

  async #write(): Promise<void> {
    this.#isWriting = true;
    try {
      for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
        for (let done = 0; done < next.length;) done += await this.#conn.write(next.subarray(done));
        this.#bufferedBytes -= next.length;
        this.#viewer?.drained();
      }
    } catch (error) {
      if (!isEnd(error)) throw error;
      this.#waiting = [];
      this.#viewer?.gone();
    } finally {
      this.#isWriting = false;
      if (this.#state === "closing") this.#end();
    }
  }

  #end(): void {
    if (this.#state === "closed") return;
    assert(this.#state === "closing", "a socket ends after it was asked to close");
    this.#state = "closed";
    clearTimeout(this.#linger);
    this.#waiting = [];
    try {
      this.#conn.close();
    } catch (error) {
      if (!(error instanceof Deno.errors.BadResource)) throw error;
    }
  }
}

/** Whether a connection has ended: every way in which a viewer goes. */
function isEnd(error: unknown): boolean {
  return [
    Deno.errors.BadResource,
    Deno.errors.BrokenPipe,
    Deno.errors.ConnectionReset,
    Deno.errors.ConnectionAborted,
    Deno.errors.NotConnected,
    Deno.errors.Interrupted,
    Deno.errors.TimedOut,
    Deno.errors.UnexpectedEof,
  ].some((each) => error instanceof each);
}
