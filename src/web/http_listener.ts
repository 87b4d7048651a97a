/**
 * Serves HTTP on a port, or on a unix socket that only the user may open. Authentication and answers are up
 * to the handler.
 * @module
 */
import { type ListenAddress, listenFault, removeStale } from "../client/vnc/viewer_listener.ts";

/** Nobody but the user. */
const PRIVATE_UMASK = 0o177;

/** A certificate and its key, PEM. */
export interface TlsFiles {
  /** The chain, the server's own certificate first. */
  readonly cert: string;
  /** The private key. */
  readonly key: string;
}

/** What to serve. */
export interface HttpListenerOptions {
  /** Answers requests. */
  readonly handler: (request: Request) => Promise<Response>;
  /** Answers a request whose handler threw. */
  readonly onError: (error: unknown) => Response;
  /** For HTTPS on a port; undefined: HTTP. */
  readonly tls?: TlsFiles | undefined;
}

/** A listening server. */
export interface HttpListening {
  /** Ends the server and its connections, and removes its unix socket, without waiting for clients. */
  readonly end: () => Promise<void>;
  /** Its port; 0 for a unix socket. */
  readonly port: number;
}

/**
 * Starts listening.
 *
 * @throws {Fault} `busy` when something else listens there; `refused`
 */
export async function listenOnHttp(
  address: ListenAddress,
  { handler, onError, tls }: HttpListenerOptions,
): Promise<HttpListening> {
  // shutdown() alone waits for connections that clients keep open, with Deno 2.4 for a minute and a half.
  const ending = new AbortController();
  const serving = { signal: ending.signal, onListen: () => {}, onError };
  const endOf = async ({ finished }: { readonly finished: Promise<void> }): Promise<void> => {
    ending.abort();
    await finished.catch(() => {});
    if (address.kind === "unix") await Deno.remove(address.path).catch(() => {});
  };
  try {
    if (address.kind === "tcp") {
      const { hostname, port } = address;
      const http = Deno.serve({ hostname, port, ...serving, ...tls }, handler);
      return { end: () => endOf(http), port: http.addr.port };
    }
    await removeStale(address.path);
    const before = Deno.umask(PRIVATE_UMASK);
    try {
      const http = Deno.serve({ path: address.path, ...serving }, handler);
      return { end: () => endOf(http), port: 0 };
    } finally {
      Deno.umask(before);
    }
  } catch (error) {
    throw listenFault(error, address);
  }
}
