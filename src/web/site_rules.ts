/**
 * Which requests are answered at all, and which rules browsers are to enforce: the requested host and the
 * requesting page must be ours. Otherwise another site could act in a person's name (and, with a name of its
 * own that resolves to 127.0.0.1, read the answers).
 * @module
 */
import { Fault } from "../base/fault.ts";
import { printable } from "../base/printable.ts";

/**
 * Headers of every answer: scripts and styles only from our own files, no framing, no requests to other
 * sites.
 */
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

/** Our origins. */
export class SiteRules {
  readonly #origins: ReadonlySet<string>;
  readonly #hosts: ReadonlySet<string>;

  /**
   * Rules for the given origins.
   *
   * @param origins as browsers write them: "http://127.0.0.1:8470"
   */
  constructor(origins: readonly string[]) {
    this.#origins = new Set(origins);
    this.#hosts = new Set(origins.map((origin) => new URL(origin).host));
  }

  /** Whether a request names our host. */
  isOurHost(request: Request): boolean {
    // HTTP/2 has no Host header; the host is in the request's URL.
    return this.#hosts.has((request.headers.get("host") ?? new URL(request.url).host).toLowerCase());
  }

  /** Whether a request comes from a page of ours; one without this information does not. */
  isOurOrigin(request: Request): boolean {
    return this.#origins.has(request.headers.get("origin") ?? "");
  }

  /**
   * Whether the request was made by another site's page, which gets no pictures. An old browser does not send
   * this information, and is not refused.
   */
  isFromElsewhere(request: Request): boolean {
    const site = request.headers.get("sec-fetch-site");
    return site !== null && site !== "same-origin" && site !== "none";
  }
}

/**
 * Parses an origin given by the user.
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

/** The origins of a loopback port. */
export function loopbackOrigins(scheme: "http" | "https", port: number): string[] {
  return ["127.0.0.1", "localhost", "[::1]"].map((host) => new URL(`${scheme}://${host}:${port}`).origin);
}
