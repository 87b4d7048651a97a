/**
 * A stream socket as a viewer's transport: what is sent waits its turn here, and is counted until it has
 * left.
 * @module
 */
import type { ViewerInput, ViewerTransport } from "../../rfb/server/rfb_server.ts";

/** Bytes that are read at once. */
const READ_BYTES = 16 * 1024;
/** How long what was sent may take to leave, once the viewer is to go. */
const LINGER_MS = 1000;

/** A socket. */
export class ViewerSocket implements ViewerTransport {
  readonly #conn: Deno.Conn;
  #waiting: Uint8Array<ArrayBuffer>[] = [];
  #bufferedBytes = 0;
  #isWriting = false;
  #isClosing = false;
  #isClosed = false;
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
        if (n === null || this.#isClosing) break;
        viewer.receive(bytes.subarray(0, n));
      }
    } catch (error) {
      if (!isEnd(error)) throw error;
    }
    viewer.gone();
  }

  send(bytes: Uint8Array<ArrayBuffer>): void {
    if (this.#isClosing) return;
    this.#waiting.push(bytes);
    this.#bufferedBytes += bytes.length;
    if (!this.#isWriting) void this.#write();
  }

  close(): void {
    this.#isClosing = true;
    if (!this.#isWriting) return this.#end();
    this.#linger = setTimeout(() => this.#end(), LINGER_MS);
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
      if (this.#isClosing) this.#end();
    }
  }

  #end(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
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
