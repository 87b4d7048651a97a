/**
 * The web server: one page, its two kinds of WebSocket, and thumbnails, behind a session. It is a control
 * separate from the daemon, on a loopback port or on a unix socket behind a proxy.
 * @module
 */
import { assert } from "../base/assert.ts";
import { Fault, messageOf } from "../base/fault.ts";
import { printable } from "../base/printable.ts";
import type { Asks } from "../client/asks.ts";
import type { Client } from "../client/client.ts";
import { LAYOUT_NAMES } from "../client/keyboard_layout.ts";
import { encodePng } from "../vgpu/png.ts";
import { ConsoleStream } from "./console_stream.ts";
import { Household, type Join } from "./household.ts";
import { PageConnection } from "./page_connection.ts";
import { pageFile } from "./page_files.ts";
import type { Session, Sessions } from "./sessions.ts";
import { HEADERS, type SiteRules } from "./site_rules.ts";
import { SocketTransport } from "./socket_transport.ts";
import { Tab } from "./tab.ts";
import { type Identity, MOST_TOKEN, newSecret, TOKEN_LENGTH, type Tokens } from "./tokens.ts";

/** Maximum number of tabs of all people. */
const MOST_TABS = 64;
/**
 * Time without an answer to a ping after which the other side counts as gone, s: a suspended laptop does not
 * answer.
 */
const PING_SECONDS = 10;
/** Size limit of a request body, which is a token, bytes. */
const MOST_BODY = 2 * MOST_TOKEN;

/** The options of a server. */
export interface WebOptions {
  /** Joins the bus again for a person. */
  readonly join: Join;
  /** Decides who may sign in. */
  readonly tokens: Tokens;
  /** The sessions. */
  readonly sessions: Sessions;
  /** Its origins. */
  readonly rules: SiteRules;
  /** Models' questions to people who are signed in. */
  readonly asks?: Asks | undefined;
  /** Prints a line for the operator. */
  readonly tell: (line: string) => void;
}

/** An open page, and its principal. */
interface OpenPage {
  readonly page: PageConnection;
  readonly household: Household;
}

/** The server; the caller passes {@linkcode WebServer.handle} to an HTTP server. */
export class WebServer implements AsyncDisposable {
  readonly #options: WebOptions;
  /** By principal: a token with the name "link" is not the link. */
  readonly #households = new Map<string, Promise<Household>>();
  /** By the tab's secret. */
  readonly #pages = new Map<string, OpenPage>();
  readonly #ending = new Set<Promise<void>>();
  #joining = 0;
  #viewers = 0;

  /** Joins the bus when the first person signs in. */
  constructor(options: WebOptions) {
    this.#options = options;
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

  /** Disconnects everybody, and releases their leases. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#options.sessions.endAll();
    for (const [secret, open] of this.#pages) this.#endPage(secret, open);
    await Promise.all(this.#ending);
    const opened = await Promise.allSettled(this.#households.values());
    this.#households.clear();
    await Promise.all(
      opened.map((each) => each.status === "fulfilled" ? each.value[Symbol.asyncDispose]() : undefined),
    );
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
    if (!session.budget.take(performance.now())) return refusal(429, "Too much is asked: wait a moment.");
    if (isSocket && pathname === "/ws") return await this.#openPage(request, session);
    if (isSocket && pathname === "/screen") return this.#openScreen(request, session, searchParams);
    if (isSocket && pathname === "/console") return this.#openConsole(request, session, searchParams);
    const vm = searchParams.get("vm") ?? "";
    if (pathname === "/shot") return await shotOf(await this.#householdOf(session), vm);
    return refusal(404, "There is no such page.");
  }

  async #enter(request: Request): Promise<Response> {
    const { tokens, sessions, tell } = this.#options;
    const token = await bodyOf(request);
    if (token === undefined) return refusal(413, "That is too long for a token.");
    const who = await tokens.identify(token.trim());
    if (who === "slow") return refusal(429, "Too many wrong tokens came: wait some seconds.");
    if (who === "short") return refusal(403, TOKEN_LENGTH);
    if (who === undefined) {
      tell("a wrong token was refused");
      return refusal(403, "This token is not valid, or the link was used already.");
    }
    // The token is right; but the daemon may have no rule for its name, which is reported here.
    const household = await this.#householdOf(who);
    household.hold();
    const { session, cookie } = await sessions.begin(who);
    const letGo = () => this.#letGo(household);
    if (session.signal.aborted) letGo();
    else session.signal.addEventListener("abort", letGo, { once: true });
    tell(`${who.name} came in`);
    return new Response(null, { status: 204, headers: { "set-cookie": cookie } });
  }

  /** A person's household, which joins the bus if necessary. */
  #householdOf({ name, as }: Identity): Promise<Household> {
    let opening = this.#households.get(as);
    if (opening !== undefined) return opening;
    const pagesOf = () => [...this.#pages.values()].filter(({ household }) => household.who.as === as);
    opening = Household.open({
      who: { name, as },
      join: this.#options.join,
      onThumbnail: (vm, picture) => pagesOf().forEach(({ page }) => page.onThumbnail(vm, picture)),
      onTrouble: (vm, why) => pagesOf().forEach(({ page }) => page.onTrouble(vm, why)),
      onEnded: (fault) => {
        this.#options.tell(`${name} is no longer admitted: ${fault.message}`);
        this.#options.sessions.endAllOf(as);
      },
    });
    this.#households.set(as, opening);
    opening.catch(() => this.#households.delete(as));
    return opening;
  }

  /** A session has ended: with a person's last one, the household ends. */
  #letGo(household: Household): void {
    household.letGo();
    if (household.isHeld) return;
    this.#households.delete(household.who.as);
    for (const [secret, open] of this.#pages) if (open.household === household) this.#endPage(secret, open);
    this.#later(Promise.all(this.#ending).then(() => household[Symbol.asyncDispose]()));
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
    let household: Household;
    try {
      household = await this.#householdOf(session);
      // No broadcast events: a tab only sends commands. When the daemon restarts, a page joins again.
      client = await household.join({ sources: ["CORE"] }, true);
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
      home: household,
      asks: this.#options.asks,
      holderOf: (vm) => this.#holderOf(household, vm),
      onSeat: (told) => this.#pages.get(secret)?.page.onSeat(told),
    });
    let isGone = false;
    socket.onopen = () => {
      if (isGone) return;
      const may = client.grant.capNames.map((cap) => cap.toLowerCase());
      const hello = { you: session.name, tab: secret, layouts: LAYOUT_NAMES, may };
      const { house, thumbnails } = household;
      const page = new PageConnection({ socket, hello, tab, house, thumbnails });
      this.#pages.set(secret, { page, household });
    };
    const gone = () => {
      if (isGone) return;
      isGone = true;
      const open = this.#pages.get(secret);
      if (open !== undefined) this.#endPage(secret, open);
      else this.#later(tab[Symbol.asyncDispose]());
    };
    socket.onclose = gone;
    socket.onerror = (event) => event.preventDefault();
    endWith(session, socket);
    return response;
  }

  #endPage(secret: string, { page }: OpenPage): void {
    if (!this.#pages.delete(secret)) return;
    page.end();
    this.#later(page.tab[Symbol.asyncDispose]());
  }

  /** The tab of a person that has a VM's keyboard and mouse. */
  #holderOf(household: Household, vm: string): Tab | undefined {
    for (const { page, household: other } of this.#pages.values()) {
      if (other === household && page.tab.has(vm)) return page.tab;
    }
    return undefined;
  }

  /** The page that a further socket names, with the VM concerned; or why it is refused. */
  #pageOf(session: Session, query: URLSearchParams): OpenPage & { readonly vm: string } | Response {
    const open = this.#pages.get(query.get("tab") ?? "");
    const vm = query.get("vm") ?? "";
    if (open === undefined || open.household.who.as !== session.as) {
      return refusal(403, "This page is not open.");
    }
    if (open.household.client.roster.find(vm) === undefined) return refusal(404, "There is no such VM.");
    return { ...open, vm };
  }

  #openScreen(request: Request, session: Session, query: URLSearchParams): Response {
    const open = this.#pageOf(session, query);
    if (open instanceof Response) return open;
    const { page, household, vm } = open;
    const screen = household.screen(vm);
    if (screen.isFull) return refusal(503, "Too many viewers of this VM.");
    const label = `${session.name} ${++this.#viewers}`;
    const { socket, response } = Deno.upgradeWebSocket(request, { idleTimeout: PING_SECONDS });
    const transport = new SocketTransport(socket);
    socket.onopen = () => {
      // Another one may have come first, and the page may be gone.
      if (screen.isFull || !this.#pages.has(page.tab.secret)) return socket.close(1013);
      page.tab.own(socket);
      transport.run(screen.accept(transport, label, page.tab.seatFor(vm)));
      // Pages opened later are told as well.
      if (screen.trouble !== "") page.onTrouble(vm, screen.trouble);
    };
    socket.onerror = (event) => event.preventDefault();
    endWith(session, socket);
    return response;
  }

  #openConsole(request: Request, session: Session, query: URLSearchParams): Response {
    const open = this.#pageOf(session, query);
    if (open instanceof Response) return open;
    const port = Number(query.get("port") ?? "0");
    if (!Number.isInteger(port) || port < 0 || port > 255) return refusal(400, "There is no such console.");
    const { page, vm } = open;
    if (!page.tab.mayOpenConsole) return refusal(503, "Too many consoles are open in this page.");
    const { socket, response } = Deno.upgradeWebSocket(request, { idleTimeout: PING_SECONDS });
    socket.onopen = () => {
      if (!this.#pages.has(page.tab.secret)) return socket.close(1013);
      page.tab.own(socket);
      const { client, leases } = page.tab;
      page.tab.addConsole(new ConsoleStream({ socket, client, leases, vm, port }), socket);
    };
    socket.onerror = (event) => event.preventDefault();
    endWith(session, socket);
    return response;
  }

  /** Awaited before the end. */
  #later(work: Promise<void>): void {
    const kept = work.finally(() => this.#ending.delete(kept));
    this.#ending.add(kept);
    assert(this.#ending.size <= 2 * MOST_TABS, "what ends is bounded");
  }
}

async function shotOf({ client }: Household, vm: string): Promise<Response> {
  const frame = await client.frame(vm);
  const name = vm.replaceAll(/[^\w.@-]/g, "_");
  return new Response(new Uint8Array(encodePng(frame.picture())), {
    headers: {
      "content-type": "image/png",
      "content-disposition": `attachment; filename="${name}.png"`,
    },
  });
}

/** Discards events, because a client whose events are not read stops. */
async function drain(client: Client): Promise<void> {
  try {
    for await (const _ of client.events({ kinds: [] }));
  } catch (error) {
    // It has ended; requests to it report that.
    if (!(error instanceof Fault)) throw error;
  }
}

/** A person who logs out, or whose session ends, loses all sockets. */
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
    case "not-admitted":
      return 403;
    case "unreachable":
    case "timed-out":
    case "seam-down":
      return 503;
    default:
      return 409;
  }
}
