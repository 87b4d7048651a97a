/**
 * Which requests are answered at all, and which rules browsers are told to enforce: the host that they name
 * and the page that they come from must be ours, or another site could speak with this one in a person's name
 * (and, by a name of its own that leads to 127.0.0.1, read the answers).
 * @module
 */
import { Fault } from "../base/fault.ts";
import { printable } from "../base/printable.ts";

/** What every answer says. No script or style but our own files, no frame around, no request elsewhere. */
export const HEADERS: Readonly<Record<string, string>> = {
  "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; " +
    "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "permissions-policy": "camera=(), microphone=(), geolocation=()",
  "cache-control": "no-store",
};

/** The origins that are ours. */
export class SiteRules {
  readonly #origins: ReadonlySet<string>;
  readonly #hosts: ReadonlySet<string>;

  /**
   * The rules of these.
   *
   * @param origins as browsers write them: "http://127.0.0.1:8470"
   */
  constructor(origins: readonly string[]) {
    this.#origins = new Set(origins);
    this.#hosts = new Set(origins.map((origin) => new URL(origin).host));
  }

  /** Whether a request names our host. */
  isOurHost(request: Request): boolean {
    // HTTP/2 has no such header: there the host is in what is asked for.
    return this.#hosts.has((request.headers.get("host") ?? new URL(request.url).host).toLowerCase());
  }

  /** Whether a request comes from a page of ours; one that does not say is not. */
  isOurOrigin(request: Request): boolean {
    return this.#origins.has(request.headers.get("origin") ?? "");
  }

  /**
   * Whether a page of another site made the request: then it gets no pictures. An old browser does not say,
   * and is not refused.
   */
  isFromElsewhere(request: Request): boolean {
    const site = request.headers.get("sec-fetch-site");
    return site !== null && site !== "same-origin" && site !== "none";
  }
}

/**
 * Reads an origin that the user gave.
 *
 * @throws {Fault} `bad-argument`
 */
export function parseOrigin(text: string): string {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol) || url.origin !== text.replace(/\/$/, "")) {
    throw new Fault(
      "bad-argument",
      `Cannot be reached at ${
        printable(text)
      }: an origin is https://HOST or http://HOST:PORT, without a path`,
    );
  }
  return url.origin;
}

/** The origins of a port of the loopback. */
export function loopbackOrigins(scheme: "http" | "https", port: number): string[] {
  return ["127.0.0.1", "localhost", "[::1]"].map((host) => new URL(`${scheme}://${host}:${port}`).origin);
}
