/**
 * Serves the metrics over HTTP on a unix socket, `metrics.sock` beside the control socket: `curl
 * --unix-socket …/metrics.sock http://vmsig/metrics`. It runs on the main thread and asks the loop's thread
 * for each page; a loop that does not answer in time gives a 503, which is itself a symptom.
 *
 * Deno's server ends when it cannot accept (for lack of descriptors, for instance): this is logged once, and
 * the server is made again after a pause, until it works.
 * @module
 */
import { assert } from "../base/assert.ts";
import { messageOf } from "../base/fault.ts";
import type { Log } from "../base/log.ts";

const ANSWER_LIMIT_MS = 1000;
/** Pause before a server that ended is made again, ms. */
const RESTART_MS = 1000;

/** Serves pages of metrics. */
export class MetricsServer implements AsyncDisposable {
  readonly #path: string;
  readonly #ask: (id: number) => boolean;
  readonly #waiting = new Map<number, (text: string | null) => void>();
  #server: Deno.HttpServer | undefined;
  /** Ends the server and its connections; shutdown() alone waits for clients that do not read. */
  #ending = new AbortController();
  #again: ReturnType<typeof setTimeout> | undefined;
  #isTold = false;
  #lastId = 0;

  /**
   * Starts without listening.
   *
   * @param path the unix socket
   * @param ask asks the loop's thread for a page; false if that was not possible
   */
  constructor(path: string, ask: (id: number) => boolean) {
    this.#path = path;
    this.#ask = ask;
  }

  /** Listens; on failure the daemon goes on, and the reason is logged. */
  start(log: Log): void {
    assert(this.#server === undefined, "one server has the socket");
    try {
      removeStale(this.#path);
      this.#ending = new AbortController();
      const options = { path: this.#path, signal: this.#ending.signal, onListen: () => {} };
      const server = Deno.serve(options, (request) => this.#answer(request));
      this.#server = server;
      server.finished.catch((error) => this.#ended(server, error, log));
      Deno.chmodSync(this.#path, 0o600);
      server.unref();
      if (this.#isTold) log.info("metrics are served again");
      this.#isTold = false;
    } catch (error) {
      this.#server = undefined;
      this.#ending.abort();
      this.#fail(error, log);
    }
  }

  /** The server ended by itself. */
  #ended(server: Deno.HttpServer, error: unknown, log: Log): void {
    if (this.#server !== server) return;
    this.#server = undefined;
    this.#fail(error, log);
  }

  #fail(error: unknown, log: Log): void {
    assert(this.#server === undefined, "a server that failed is gone before the next one starts");
    if (!this.#isTold) {
      log.warn(
        `metrics are unavailable: cannot listen on ${this.#path}: ${messageOf(error)}; vmsig tries again`,
      );
    }
    this.#isTold = true;
    this.#again = setTimeout(() => this.start(log), RESTART_MS);
    Deno.unrefTimer(this.#again);
  }

  /** Listens again, after the folder of its socket was removed. */
  async restart(log: Log): Promise<void> {
    await this.#close();
    // Another restart may have made a server while this one waited.
    if (this.#server === undefined) this.start(log);
  }

  /** Takes a page from the loop. */
  take(id: number, text: string): void {
    this.#waiting.get(id)?.(text);
  }

  /** Stops listening and removes its socket. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (await this.#close()) removeStale(this.#path);
  }

  /** Ends the server and a pending restart. Returns whether there was one. */
  async #close(): Promise<boolean> {
    clearTimeout(this.#again);
    const server = this.#server;
    this.#server = undefined;
    this.#ending.abort();
    await server?.finished.catch(() => {});
    return server !== undefined;
  }

  async #answer(request: Request): Promise<Response> {
    if (new URL(request.url).pathname !== "/metrics") {
      return new Response("vmsig: the page is /metrics\n", { status: 404 });
    }
    const text = await this.#page();
    if (text === null) return new Response("vmsig: the loop does not answer\n", { status: 503 });
    return new Response(text, { headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8" } });
  }

  #page(): Promise<string | null> {
    const id = ++this.#lastId;
    const { promise, resolve } = Promise.withResolvers<string | null>();
    const late = setTimeout(() => resolve(null), ANSWER_LIMIT_MS);
    this.#waiting.set(id, resolve);
    if (!this.#ask(id)) resolve(null);
    return promise.finally(() => {
      clearTimeout(late);
      this.#waiting.delete(id);
    });
  }
}

function removeStale(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
