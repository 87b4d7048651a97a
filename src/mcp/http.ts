/**
 * Streamable HTTP: sessions of models' clients on a port of the loopback, or on a unix socket of this user's.
 * Each session has a seat, and so a connection to the daemon, of its own; a client with the token of NAME is
 * the principal "token:NAME" there, with the grant of that rule. When a client goes while it awaits a tool's
 * answer, its calls are given up, and keys that they hold down are released.
 * @module
 */
import { aborted } from "../base/aborted.ts";
import { WebStandardStreamableHTTPServerTransport } from "@modelcontextprotocol/server";
import { assert } from "../base/assert.ts";
import { Fault, messageOf } from "../base/fault.ts";
import { printable } from "../base/printable.ts";
import type { ListenAddress } from "../client/vnc/viewer_listener.ts";
import { listenOnHttp } from "../web/http_listener.ts";
import { loopbackOrigins, SiteRules } from "../web/site_rules.ts";
import { readTokens, TOKEN_LENGTH, Tokens } from "../web/tokens.ts";
import { Seat, type SeatOptions } from "./seat.ts";
import { type Session, sessionOf } from "./server.ts";

/** Sessions at most, of everybody together. */
export const MOST_SESSIONS = 32;
/** Sessions of one token. */
export const MOST_OF_ONE = 8;
/** A session without a request or an open stream for so long ends, ms. */
const IDLE_MS = 600_000;
/** Bytes of one request. */
const MOST_REQUEST_BYTES = 32 * 1024 * 1024;
/** Interval of keep-alives on a stream, ms: only a write shows that a client has gone. */
const KEEP_ALIVE_MS = 2000;
const PATH = "/mcp";

/** How it is served. */
export interface HttpOptions {
  /** What each session's seat is made of. */
  readonly seat: SeatOptions;
  /** Where. */
  readonly address: ListenAddress;
  /** The file of tokens; without one every client that reaches the socket is let in. */
  readonly tokens: string | undefined;
  /** Ends it. */
  readonly signal: AbortSignal;
  /** Told the address, once it listens. */
  readonly onReady: (url: string) => void;
}

interface OpenSession extends Session {
  /** The principal; "" for the server's own user. */
  readonly as: string;
  readonly seat: Seat;
  readonly transport: WebStandardStreamableHTTPServerTransport;
  /** The ids of the requests in each POST, while it is answered. */
  readonly asked: WeakMap<Request, (string | number)[]>;
  /** Requests under way, and streams that are open. */
  busy: number;
  idle: ReturnType<typeof setTimeout> | undefined;
}

/** Serves until the signal aborts; all leases are given back by then. */
export async function serveOnHttp(options: HttpOptions): Promise<void> {
  const { address, tokens, signal, onReady } = options;
  if (tokens !== undefined) readTokens(tokens);
  const sessions = new HttpSessions(options);
  const onError = (error: unknown) => {
    options.seat.tell(`a request failed: ${printable(messageOf(error))}`);
    return refusal(500, "Something went wrong here.");
  };
  const handler = (request: Request) => sessions.handle(request);
  const { end, port } = await listenOnHttp(address, { handler, onError });
  if (address.kind === "tcp") sessions.origins = loopbackOrigins("http", port);
  try {
    onReady(urlOf(address, port));
    await aborted(signal);
  } finally {
    await sessions[Symbol.asyncDispose]();
    await end();
  }
}

function urlOf(address: ListenAddress, port: number): string {
  if (address.kind === "unix") return `unix:${address.path} (${PATH})`;
  const { hostname } = address;
  return `http://${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}${PATH}`;
}

/** The sessions. */
export class HttpSessions implements AsyncDisposable {
  readonly #options: HttpOptions;
  readonly #tokens: Tokens | undefined;
  readonly #sessions = new Map<string, OpenSession>();
  readonly #ending = new Set<Promise<void>>();
  #rules: SiteRules | undefined;
  #opening = 0;

  /** None yet. */
  constructor(options: HttpOptions) {
    this.#options = options;
    this.#tokens = options.tokens === undefined ? undefined : new Tokens(options.tokens);
  }

  /** The origins that browsers may send: a page of another site must not speak for its visitor. */
  set origins(origins: readonly string[]) {
    this.#rules = new SiteRules(origins);
  }

  /** Answers a request. */
  async handle(request: Request): Promise<Response> {
    if (this.#rules?.isOurHost(request) === false) return refusal(421, "This is not the host that you mean.");
    if (request.headers.has("origin") && this.#rules?.isOurOrigin(request) !== true) {
      return refusal(403, "Another page may not ask this.");
    }
    if (new URL(request.url).pathname !== PATH) return refusal(404, `There is only ${PATH} here.`);
    const who = await this.#identify(request);
    if (who instanceof Response) return who;
    const { as } = who;
    const id = request.headers.get("mcp-session-id");
    if (id !== null) {
      const session = this.#sessions.get(id);
      if (session === undefined || session.as !== as) {
        return refusal(404, "There is no such session: begin with initialize.");
      }
      return await this.#pass(session, request);
    }
    if (request.method !== "POST") return refusal(405, "Begin with a POST of initialize.");
    const mine = [...this.#sessions.values()].filter((session) => session.as === as).length;
    if (mine >= MOST_OF_ONE || this.#sessions.size + this.#opening >= MOST_SESSIONS) {
      return refusal(503, "Too many sessions are open: end one by DELETE, or wait.");
    }
    return await this.#open(as, request);
  }

  /** Ends all of them. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const [id, session] of this.#sessions) this.#end(id, session);
    await Promise.all(this.#ending);
  }

  async #identify(request: Request): Promise<{ readonly as: string } | Response> {
    if (this.#tokens === undefined) return { as: "" };
    const [, token] = /^Bearer ([\x21-\x7e]{1,1024})$/i.exec(request.headers.get("authorization") ?? "") ??
      [];
    const denied = (status: number, words: string) => {
      const response = refusal(status, words);
      if (status === 401) response.headers.set("www-authenticate", "Bearer");
      return response;
    };
    if (token === undefined) return denied(401, "Say who you are: Authorization: Bearer TOKEN.");
    try {
      const found = await this.#tokens.identify(token);
      if (found === "slow") return denied(429, "Too many wrong tokens came: wait some seconds.");
      if (found === "short") return denied(401, TOKEN_LENGTH);
      return found ?? denied(401, "This token is not valid.");
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      this.#options.seat.tell(printable(error.message));
      return denied(503, "The tokens cannot be read now.");
    }
  }

  async #open(as: string, request: Request): Promise<Response> {
    this.#opening++;
    let seat: Seat;
    try {
      const { seat: options } = this.#options;
      seat = await Seat.open({
        ...options,
        join: (sub, reconnect) => options.join(sub, reconnect, as),
        trace: options.trace?.of(as),
      });
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      // The token is right; the daemon has no rule for its name, or the server's user may not speak for it.
      return refusal(error.code === "not-admitted" ? 403 : 503, printable(error.message));
    } finally {
      this.#opening--;
    }
    const { server, resources } = sessionOf(seat, false);
    let opened: OpenSession | undefined;
    const transport = new WebStandardStreamableHTTPServerTransport({
      sessionIdGenerator: () => crypto.randomUUID(),
      onsessioninitialized: (id) => {
        this.#sessions.set(id, session);
        opened = session;
      },
      onsessionclosed: (id) => this.#end(id, session),
      maxRequestBodySize: MOST_REQUEST_BYTES,
      keepAliveMs: KEEP_ALIVE_MS,
    });
    const asked = new WeakMap<Request, (string | number)[]>();
    const session: OpenSession = { as, seat, server, resources, transport, asked, busy: 0, idle: undefined };
    await server.connect(transport as never);
    const { onmessage } = transport;
    transport.onmessage = (message, extra) => {
      const ids = extra?.request === undefined ? undefined : asked.get(extra.request);
      if ("method" in message && "id" in message) ids?.push(message.id);
      onmessage?.(message, extra);
    };
    const response = await this.#pass(session, request);
    // Anything but an initialize: the transport has refused it, and this session is not kept.
    if (opened === undefined) this.#finish(session);
    return response;
  }

  async #pass(session: OpenSession, request: Request): Promise<Response> {
    clearTimeout(session.idle);
    session.busy++;
    let isOver = false;
    const over = () => {
      if (isOver) return;
      isOver = true;
      session.busy--;
      assert(session.busy >= 0, "each request ends once");
      // One that has ended, while a stream of it was open, is not waited for.
      if (session.busy > 0 || !this.#isOpen(session)) return;
      session.idle = setTimeout(() => this.#endOf(session), IDLE_MS);
    };
    const asked: (string | number)[] = [];
    session.asked.set(request, asked);
    let response: Response;
    try {
      response = await session.transport.handleRequest(request);
    } catch (error) {
      over();
      throw error;
    }
    response.headers.set("x-content-type-options", "nosniff");
    response.headers.set("cache-control", "no-store");
    const isListening = request.method === "GET";
    const { body } = response;
    if (body === null) {
      over();
      return response;
    }
    const reader = body.getReader();
    const watched = new ReadableStream<Uint8Array>({
      async pull(controller) {
        const { done, value } = await reader.read();
        if (!done) return controller.enqueue(value);
        over();
        controller.close();
      },
      async cancel(reason) {
        // The client has gone before the answer.
        over();
        if (isListening) await session.seat.rest();
        else await session.seat.dropCalls(asked);
        await reader.cancel(reason);
      },
    });
    const { status, headers } = response;
    return new Response(watched, { status, headers });
  }

  #isOpen(session: OpenSession): boolean {
    return [...this.#sessions.values()].includes(session);
  }

  #endOf(session: OpenSession): void {
    for (const [id, each] of this.#sessions) if (each === session) this.#end(id, session);
  }

  #end(id: string, session: OpenSession): void {
    if (this.#sessions.delete(id)) this.#finish(session);
  }

  /** Waited for before all ends. */
  #finish({ seat, server, resources, idle }: OpenSession): void {
    clearTimeout(idle);
    resources.end();
    const work = (async () => {
      await server.close();
      await seat[Symbol.asyncDispose]();
    })();
    const kept = work.catch((error) => {
      if (!(error instanceof Fault)) throw error;
    }).finally(() => this.#ending.delete(kept));
    this.#ending.add(kept);
  }
}

function refusal(status: number, text: string): Response {
  const error = { jsonrpc: "2.0", id: null, error: { code: -32000, message: text } };
  return new Response(JSON.stringify(error), {
    status,
    headers: { "content-type": "application/json", "x-content-type-options": "nosniff" },
  });
}
