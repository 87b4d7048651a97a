/**
 * The people who are signed in: sessions identified by a cookie, which the page's scripts cannot read and
 * requests from other sites do not carry. Bounded in number and time.
 * @module
 */
import { assert } from "../base/assert.ts";
import { MessageBudget } from "./message_budget.ts";
import { hashOf, type Identity, newSecret } from "./tokens.ts";

/** Maximum number of sessions; a new one replaces the oldest. */
export const MOST_SESSIONS = 64;
/** Maximum number per person; a new one replaces that person's oldest. */
export const MOST_OF_ONE = 16;
/** Requests of one session: burst and rate per second; enough for a wall of 64 pictures each second. */
const REQUESTS = { atOnce: 600, perSecond: 300 };
/** Duration of a session, s. */
const SESSION_SECONDS = 12 * 3600;

/** A session. */
export interface Session extends Identity {
  /** Its number, for logs and labels. */
  readonly id: number;
  /** Aborted when it ends. */
  readonly signal: AbortSignal;
  /** Its request budget. */
  readonly budget: MessageBudget;
}

interface Entry {
  readonly session: Session;
  readonly ending: AbortController;
  readonly endsMs: number;
}

/** The sessions. */
export class Sessions {
  readonly #cookie: string;
  readonly #isSecure: boolean;
  readonly #entries = new Map<string, Entry>();
  #count = 0;

  /**
   * Starts without sessions.
   *
   * @param cookie its name, which contains the port, because browsers separate cookies by host but not by
   *   port
   * @param isSecure whether browsers connect by TLS
   */
  constructor(cookie: string, isSecure: boolean) {
    this.#cookie = cookie;
    this.#isSecure = isSecure;
  }

  /** Number of sessions. */
  get size(): number {
    return this.#entries.size;
  }

  /** Starts one. */
  async begin({ name, as }: Identity): Promise<{
    readonly session: Session;
    /** The value of the Set-Cookie header. */
    readonly cookie: string;
  }> {
    this.#forgetOld();
    const secret = newSecret();
    const ending = new AbortController();
    const budget = new MessageBudget(performance.now(), REQUESTS);
    const session = { name, as, id: ++this.#count, signal: ending.signal, budget };
    const own = this.#keysOf(as);
    const [oldest] = own.length >= MOST_OF_ONE
      ? own
      : this.#entries.size >= MOST_SESSIONS
      ? this.#entries.keys()
      : [];
    if (oldest !== undefined) this.#end(oldest);
    const endsMs = performance.now() + SESSION_SECONDS * 1000;
    this.#entries.set(await hashOf(secret), { session, ending, endsMs });
    assert(this.#entries.size <= MOST_SESSIONS, "sessions are bounded");
    return { session, cookie: this.#setCookie(secret, SESSION_SECONDS) };
  }

  /** The session of a request; undefined if there is none. */
  async of(request: Request): Promise<Session | undefined> {
    this.#forgetOld();
    const secret = this.#secretOf(request);
    return secret === undefined ? undefined : this.#entries.get(await hashOf(secret))?.session;
  }

  /** Ends the session of a request. @returns the value of the Set-Cookie header */
  async end(request: Request): Promise<string> {
    const secret = this.#secretOf(request);
    if (secret !== undefined) this.#end(await hashOf(secret));
    return this.#setCookie("", 0);
  }

  /** Ends all sessions of a principal. */
  endAllOf(as: string): void {
    for (const key of this.#keysOf(as)) this.#end(key);
  }

  /** Ends all sessions. */
  endAll(): void {
    for (const key of [...this.#entries.keys()]) this.#end(key);
  }

  /** A person's sessions, oldest first. */
  #keysOf(as: string): string[] {
    return [...this.#entries].filter(([, { session }]) => session.as === as).map(([key]) => key);
  }

  #secretOf(request: Request): string | undefined {
    for (const part of (request.headers.get("cookie") ?? "").slice(0, 8192).split(";")) {
      const at = part.indexOf("=");
      if (at > 0 && part.slice(0, at).trim() === this.#cookie) return part.slice(at + 1).trim();
    }
    return undefined;
  }

  #setCookie(value: string, seconds: number): string {
    const secure = this.#isSecure ? "; Secure" : "";
    return `${this.#cookie}=${value}; Path=/; Max-Age=${seconds}; HttpOnly; SameSite=Strict${secure}`;
  }

  #forgetOld(): void {
    const nowMs = performance.now();
    for (const [key, { endsMs }] of this.#entries) if (endsMs <= nowMs) this.#end(key);
  }

  #end(key: string): void {
    this.#entries.get(key)?.ending.abort();
    this.#entries.delete(key);
  }
}
