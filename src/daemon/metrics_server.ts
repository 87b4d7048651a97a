/**
 * Serves the metrics over HTTP on a unix socket, `metrics.sock` beside the control socket: `curl --unix-socket …/metrics.sock http://vmsig/metrics`. It is on the main thread, and asks the loop's
 * thread for each page: a loop that does not answer in time shows as 503, which is news too.
 * @module
 */
import { messageOf } from "../base/fault.ts";
import type { Log } from "../base/log.ts";

const ANSWER_LIMIT_MS = 1000;

/** Serves pages of metrics. */
export class MetricsServer implements AsyncDisposable {
  readonly #path: string;
  readonly #ask: (id: number) => boolean;
  readonly #waiting = new Map<number, (text: string | null) => void>();
  #server: Deno.HttpServer | undefined;
  #lastId = 0;

  /**
   * Serves nothing yet.
   *
   * @param path of the unix socket
   * @param ask asks the loop's thread for a page; false when it could not be asked
   */
  constructor(path: string, ask: (id: number) => boolean) {
    this.#path = path;
    this.#ask = ask;
  }

  /** Listens; without it the daemon goes on, and says why. */
  start(log: Log): void {
    try {
      removeStale(this.#path);
      this.#server = Deno.serve({ path: this.#path, onListen: () => {} }, (request) => this.#answer(request));
      Deno.chmodSync(this.#path, 0o600);
      this.#server.unref();
    } catch (error) {
      log.warn(`no metrics: cannot listen on ${this.#path}: ${messageOf(error)}`);
    }
  }

  /** Listens anew: the folder of its socket was removed under it. */
  async restart(log: Log): Promise<void> {
    await this.#server?.shutdown();
    this.start(log);
  }

  /** A page has come. */
  take(id: number, text: string): void {
    this.#waiting.get(id)?.(text);
  }

  /** Listens no more; its socket is gone. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#server === undefined) return;
    await this.#server.shutdown();
    removeStale(this.#path);
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
