/**
 * The people's server: one page, its two kinds of WebSocket, and pictures, behind a session. It is a control
 * of its own beside the daemon, on a port of the loopback or on a unix socket behind a proxy.
 * @module
 */
import { assert } from "../base/assert.ts";
import { Fault, messageOf } from "../base/fault.ts";
import { printable } from "../base/printable.ts";
import type { Client } from "../client/client.ts";
import type { ConnectOptions } from "../client/connect.ts";
import type { SubscribeOptions } from "../client/handshake.ts";
import { LAYOUT_NAMES } from "../client/keyboard_layout.ts";
import type { LeaseClassName } from "../client/lease.ts";
import { encodePng } from "../vgpu/png.ts";
import { House } from "./house.ts";
import { PageConnection } from "./page_connection.ts";
import { pageFile } from "./page_files.ts";
import type { Session, Sessions } from "./sessions.ts";
import { SharedScreen } from "./shared_screen.ts";
import { HEADERS, type SiteRules } from "./site_rules.ts";
import { SocketTransport } from "./socket_transport.ts";
import { Tab, type TabHome } from "./tab.ts";
import { Thumbnails } from "./thumbnails.ts";
import { MOST_TOKEN, newSecret, type Tokens } from "./tokens.ts";

/** Tabs at most, of everybody together. */
export const MOST_TABS = 64;
/** After so long without an answer to a ping the other side is gone, s: a closed lid answers none. */
const PING_SECONDS = 10;
/** Bytes of a body at most: a token. */
const MOST_BODY = 2 * MOST_TOKEN;

/** What it is made of. */
export interface WebOptions {
  /** Joins the bus once more, under a name. */
  readonly connect: (
    name: string,
    sub: SubscribeOptions,
    reconnect: ConnectOptions["reconnect"],
  ) => Promise<Client>;
  /** Who may come in. */
  readonly tokens: Tokens;
  /** Who is in. */
  readonly sessions: Sessions;
  /** Where it is. */
  readonly rules: SiteRules;
  /** Takes a line for who runs it. */
  readonly tell: (line: string) => void;
}

/** The server; who owns it serves its {@linkcode WebServer.handle} somewhere. */
export class WebServer implements AsyncDisposable, TabHome {
  readonly #options: WebOptions;
  readonly #house: House;
  readonly #thumbnails: Thumbnails;
  readonly #screens = new Map<string, SharedScreen>();
  readonly #pages = new Map<string, PageConnection>();
  readonly #ending = new Set<Promise<void>>();
  #joining = 0;
  #viewers = 0;

  private constructor(options: WebOptions, client: Client) {
    this.#options = options;
    this.#house = new House(client);
    this.#thumbnails = new Thumbnails(client, (vm, n) => {
      for (const page of this.#pages.values()) page.onThumbnail(vm, n);
    });
  }

  /** Joins the bus. */
  static async open(options: WebOptions): Promise<WebServer> {
    let server: WebServer | undefined;
    const onAway = (fault: Fault) => {
      if (server !== undefined) server.#house.setAway(fault.message);
    };
    const client = await options.connect("web", { sources: ["CORE", "VMHOST", "INPUT", "FRAME"] }, {
      onAway,
    });
    return server = new WebServer(options, client);
  }

  /** Answers a request. */
  async handle(request: Request): Promise<Response> {
    let response: Response;
    try {
      response = await this.#route(request);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      response = new Response(`${printable(messageOf(error))}\n`, { status: statusOf(error) });
    }
    if (response.status !== 101) {
      for (const [name, value] of Object.entries(HEADERS)) response.headers.set(name, value);
    }
    return response;
  }

  get client(): Client {
    return this.#house.client;
  }

  guestClient(): Promise<Client> {
    return this.#options.connect("web", { sources: ["CORE", "MEMCTX"] }, false);
  }

  async ownerOf(vm: string, className: LeaseClassName): Promise<string> {
    return await this.#house.ownerOf(await this.#house.client.endpoint(vm), className);
  }

  tell(vm: string, what: string): void {
    this.#house.tell(vm, what);
  }

  holderOf(vm: string): Tab | undefined {
    return [...this.#pages.values()].find(({ tab }) => tab.has(vm))?.tab;
  }

  sizeOf(vm: string): { readonly width: number; readonly height: number } {
    return this.#screens.get(vm)?.size ?? { width: 1, height: 1 };
  }

  /** Sends everybody away, and gives back what they had. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#options.sessions.endAll();
    for (const screen of this.#screens.values()) await screen[Symbol.asyncDispose]();
    this.#screens.clear();
    for (const [secret, page] of this.#pages) this.#endPage(secret, page);
    await Promise.all(this.#ending);
    await this.#thumbnails[Symbol.asyncDispose]();
    await this.#house.client.close().catch((error) => {
      if (!(error instanceof Fault)) throw error;
    });
    await this.#house[Symbol.asyncDispose]();
  }

  async #route(request: Request): Promise<Response> {
    const { rules, sessions } = this.#options;
    if (!rules.isOurHost(request)) return refusal(421, "This is not the host that you mean.");
    const { pathname, searchParams } = new URL(request.url);
    const isSocket = request.headers.get("upgrade")?.toLowerCase() === "websocket";
    if (request.method === "POST" && (pathname === "/enter" || pathname === "/leave")) {
      if (!rules.isOurOrigin(request)) return refusal(403, "Another page may not ask this.");
      return pathname === "/enter" ? await this.#enter(request) : await this.#leave(request);
    }
    if (request.method !== "GET") return refusal(405, "That cannot be asked here.");
    if (isSocket && !rules.isOurOrigin(request)) return refusal(403, "Another page may not connect here.");
    const file = isSocket ? undefined : await pageFile(pathname, request);
    if (file !== undefined) return file;
    if (pathname === "/session") return new Response(await sessions.of(request) === undefined ? "no" : "yes");
    if (rules.isFromElsewhere(request)) return refusal(403, "Another page may not ask this.");
    const session = await sessions.of(request);
    if (session === undefined) return refusal(401, "Log in first.");
    if (isSocket && pathname === "/ws") return await this.#openPage(request, session);
    if (isSocket && pathname === "/screen") return this.#openScreen(request, session, searchParams);
    if (pathname === "/thumb") return this.#thumbnail(searchParams.get("vm") ?? "");
    if (pathname === "/shot") return await this.#shot(searchParams.get("vm") ?? "");
    return refusal(404, "There is no such page.");
  }

  async #enter(request: Request): Promise<Response> {
    const { tokens, sessions, tell } = this.#options;
    const token = await bodyOf(request);
    if (token === undefined) return refusal(413, "That is too long for a token.");
    const who = await tokens.identify(token.trim());
    if (who === "slow") return refusal(429, "Too many wrong tokens came: wait some seconds.");
    if (who === undefined) {
      tell("a wrong token was refused");
      return refusal(403, "This token is not valid, or the link was used already.");
    }
    tell(`${who.name} came in`);
    return new Response(null, { status: 204, headers: { "set-cookie": await sessions.begin(who) } });
  }

  async #leave(request: Request): Promise<Response> {
    return new Response(null, {
      status: 204,
      headers: { "set-cookie": await this.#options.sessions.end(request) },
    });
  }

  async #openPage(request: Request, session: Session): Promise<Response> {
    if (this.#pages.size + this.#joining >= MOST_TABS) return refusal(503, "Too many pages are open.");
    this.#joining++;
    let client: Client;
    try {
      // No broadcast events: a tab only asks and steers. A page outlives the daemon by joining anew.
      client = await this.#options.connect(`web ${session.name}`, { sources: ["CORE"] }, true);
    } finally {
      this.#joining--;
    }
    void drain(client);
    let upgraded: Deno.WebSocketUpgrade;
    try {
      upgraded = Deno.upgradeWebSocket(request, { idleTimeout: PING_SECONDS });
    } catch (error) {
      await client.close();
      if (error instanceof TypeError) return refusal(400, "This is not how a WebSocket is opened.");
      throw error;
    }
    const { socket, response } = upgraded;
    const secret = newSecret();
    const tab = new Tab({
      name: session.name,
      secret,
      client,
      home: this,
      onSeat: (told) => this.#pages.get(secret)?.onSeat(told),
    });
    let isGone = false;
    socket.onopen = () => {
      if (isGone) return;
      const hello = { you: session.name, tab: secret, layouts: LAYOUT_NAMES };
      const options = { socket, hello, tab, house: this.#house, thumbnails: this.#thumbnails };
      this.#pages.set(secret, new PageConnection(options));
    };
    const gone = () => {
      if (isGone) return;
      isGone = true;
      const page = this.#pages.get(secret);
      if (page !== undefined) this.#endPage(secret, page);
      else this.#later(tab[Symbol.asyncDispose]());
    };
    socket.onclose = gone;
    socket.onerror = (event) => event.preventDefault();
    endWith(session, socket);
    return response;
  }

  #endPage(secret: string, page: PageConnection): void {
    if (!this.#pages.delete(secret)) return;
    page.end();
    this.#later(page.tab[Symbol.asyncDispose]());
  }

  #openScreen(request: Request, session: Session, query: URLSearchParams): Response {
    const page = this.#pages.get(query.get("tab") ?? "");
    const vm = query.get("vm") ?? "";
    if (page === undefined || page.tab.name !== session.name) return refusal(403, "This page is not open.");
    if (this.#house.client.roster.find(vm) === undefined) return refusal(404, "There is no such VM.");
    let screen = this.#screens.get(vm);
    if (screen?.isFull === true) return refusal(503, "Too many look at this VM.");
    if (screen === undefined) {
      screen = new SharedScreen(this.#house.client, vm, (why) => {
        for (const each of this.#pages.values()) each.onTrouble(vm, why);
      });
      this.#screens.set(vm, screen);
    }
    const shown = screen;
    const label = `${session.name} ${++this.#viewers}`;
    const { socket, response } = Deno.upgradeWebSocket(request, { idleTimeout: PING_SECONDS });
    const transport = new SocketTransport(socket);
    socket.onopen = () => {
      // Another one may have come first, and the page may have gone.
      if (shown.isFull || !this.#pages.has(page.tab.secret)) return socket.close(1013);
      transport.run(shown.accept(transport, label, page.tab.seatFor(vm)));
    };
    socket.onerror = (event) => event.preventDefault();
    endWith(session, socket);
    return response;
  }

  #thumbnail(vm: string): Response {
    const there = this.#thumbnails.of(vm);
    if (there === undefined) return refusal(404, "There is no picture of it.");
    return new Response(there.png, { headers: { "content-type": "image/png" } });
  }

  async #shot(vm: string): Promise<Response> {
    const frame = await this.#house.client.frame(vm);
    const name = vm.replaceAll(/[^\w.@-]/g, "_");
    return new Response(new Uint8Array(encodePng(frame.picture())), {
      headers: {
        "content-type": "image/png",
        "content-disposition": `attachment; filename="${name}.png"`,
      },
    });
  }

  /** Waited for before all ends. */
  #later(work: Promise<void>): void {
    const kept = work.finally(() => this.#ending.delete(kept));
    this.#ending.add(kept);
    assert(this.#ending.size <= 2 * MOST_TABS, "what ends is bounded");
  }
}

/** Reads what nobody needs: a client whose events are not read stops. */
async function drain(client: Client): Promise<void> {
  try {
    for await (const _ of client.events({ kinds: [] }));
  } catch (error) {
    // It has ended; what is asked of it says so.
    if (!(error instanceof Fault)) throw error;
  }
}

/** Who logs out, or is forgotten, has no socket any more. */
function endWith({ signal }: Session, socket: WebSocket): void {
  const end = () => socket.close(1008, "the session has ended");
  if (signal.aborted) end();
  signal.addEventListener("abort", end, { once: true });
  socket.addEventListener("close", () => signal.removeEventListener("abort", end));
}

async function bodyOf(request: Request): Promise<string | undefined> {
  if (request.body === null) return "";
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of request.body) {
    length += part.length;
    if (length > MOST_BODY) return undefined;
    parts.push(part);
  }
  return await new Blob(parts as BlobPart[]).text();
}

function refusal(status: number, text: string): Response {
  return new Response(`${text}\n`, { status, headers: { "content-type": "text/plain; charset=utf-8" } });
}

function statusOf({ code }: Fault): number {
  switch (code) {
    case "no-endpoint":
      return 404;
    case "no-capability":
    case "outside-grant":
      return 403;
    case "unreachable":
    case "timed-out":
    case "seam-down":
      return 503;
    default:
      return 409;
  }
}
