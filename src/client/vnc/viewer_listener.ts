/**
 * Where viewers connect: a unix socket, which only its user and root can open, or a port of the loopback,
 * which every user of the host can reach, and which therefore asks for a password. A viewer for which there
 * is no place is turned away; out of descriptors it rests a moment.
 * @module
 */
import { isOsError } from "../../../ffi/os_error.ts";
import { connectUnix, SOCKET } from "../../../ffi/unix_socket.ts";
import { Fault, messageOf } from "../../base/fault.ts";
import { printable } from "../../base/printable.ts";
import type { ViewerInput, ViewerTransport } from "../../rfb/server/rfb_server.ts";
import { pause } from "../pause.ts";
import { ViewerSocket } from "./viewer_socket.ts";

/** An address. */
export type ListenAddress =
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "tcp"; readonly hostname: string; readonly port: number };

/** What takes viewers in: an RFB server; gdb's as well, of which a gdb is the viewer. */
export interface ViewerServer {
  /** Whether there is no place for another. */
  readonly isFull: boolean;
  /** Whether a connection may be taken in; any may unless told. */
  admits?(conn: Deno.Conn): boolean;
  /** Takes one in. */
  accept(transport: ViewerTransport, name: string): ViewerInput;
}

/** What unix sockets' names can be long. */
const MOST_PATH_BYTES = 107;
const REST_MS = 200;
/** Nobody but the user. */
const PRIVATE_UMASK = 0o177;

/**
 * Reads an address: unix:PATH, 127.0.0.1:PORT, [::1]:PORT.
 *
 * @throws {Fault} `bad-argument`
 */
export function parseListenAddress(text: string): ListenAddress {
  const bad = (why: string) => new Fault("bad-argument", `Cannot listen on ${printable(text)}: ${why}`);
  if (text.startsWith("unix:")) {
    const path = text.slice(5);
    const { length } = new TextEncoder().encode(path);
    if (length === 0 || path.includes("\0")) throw bad("it names no path");
    if (length > MOST_PATH_BYTES) throw bad(`a socket's path has ${MOST_PATH_BYTES} bytes at most`);
    return { kind: "unix", path };
  }
  const [, hostname = "", digits = ""] = /^(127\.0\.0\.1|\[::1\]|localhost):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (hostname === "" || port > 65535) {
    throw bad("it is neither unix:PATH nor 127.0.0.1:PORT; for other hosts lead a tunnel here (ssh -L)");
  }
  return {
    kind: "tcp",
    hostname: hostname === "localhost" ? "127.0.0.1" : hostname.replace(/^\[|\]$/g, ""),
    port,
  };
}

/** Listens for viewers. */
export class ViewerListener implements AsyncDisposable {
  /** Where: as it may be typed into a viewer's command line. */
  readonly place: string;
  readonly #listener: Deno.Listener;
  readonly #server: ViewerServer;
  readonly #path: string | undefined;
  readonly #onTrouble: (why: string) => void;
  readonly #ending = new AbortController();
  #accepting: Promise<void>;
  #count = 0;

  private constructor(
    listener: Deno.Listener,
    server: ViewerServer,
    { place, path, onTrouble }: {
      readonly place: string;
      readonly path: string | undefined;
      readonly onTrouble: (why: string) => void;
    },
  ) {
    this.#listener = listener;
    this.#server = server;
    this.place = place;
    this.#path = path;
    this.#onTrouble = onTrouble;
    this.#accepting = this.#accept();
  }

  /**
   * Begins to listen.
   *
   * @param onTrouble told what goes wrong with accepting, in words
   * @throws {Fault} `busy` when somebody else listens there; `refused`
   */
  static async open(
    address: ListenAddress,
    server: ViewerServer,
    onTrouble: (why: string) => void,
  ): Promise<ViewerListener> {
    try {
      if (address.kind === "tcp") {
        const { hostname } = address;
        const listener = Deno.listen({ transport: "tcp", hostname, port: address.port });
        const host = hostname.includes(":") ? `[${hostname}]` : hostname;
        const { port } = listener.addr as Deno.NetAddr;
        return new ViewerListener(listener, server, { place: `${host}:${port}`, path: undefined, onTrouble });
      }
      const { path } = address;
      await removeStale(path);
      const before = Deno.umask(PRIVATE_UMASK);
      try {
        const listener = Deno.listen({ transport: "unix", path });
        return new ViewerListener(listener as unknown as Deno.Listener, server, {
          place: `unix:${path}`,
          path,
          onTrouble,
        });
      } finally {
        Deno.umask(before);
      }
    } catch (error) {
      if (error instanceof Fault) throw error;
      const where = address.kind === "unix" ? `unix:${printable(address.path)}` : `port ${address.port}`;
      const code = error instanceof Deno.errors.AddrInUse ? "busy" : "refused";
      throw new Fault(code, `Cannot listen on ${where}: ${messageOf(error)}`, { cause: error });
    }
  }

  /** Listens no more; viewers that are in stay. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort();
    this.#listener.close();
    await this.#accepting;
    if (this.#path === undefined) return;
    await Deno.remove(this.#path).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
  }

  async #accept(): Promise<void> {
    const { signal } = this.#ending;
    while (!signal.aborted) {
      try {
        const conn = await this.#listener.accept();
        this.#take(conn);
      } catch (error) {
        if (signal.aborted) return;
        this.#onTrouble(messageOf(error));
        await pause(REST_MS, signal);
      }
    }
  }

  #take(conn: Deno.Conn): void {
    if (this.#server.isFull || this.#server.admits?.(conn) === false) return conn.close();
    const socket = new ViewerSocket(conn);
    void socket.run(this.#server.accept(socket, `viewer ${++this.#count}`));
  }
}

/**
 * Removes the socket of a process that has ended.
 *
 * @throws {Fault} `busy` when somebody listens there; `refused` when something else is there
 */
export async function removeStale(path: string): Promise<void> {
  let there: Deno.FileInfo;
  try {
    there = await Deno.lstat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  if (there.isSocket !== true || there.uid !== Deno.uid()) {
    throw new Fault(
      "refused",
      `Cannot listen on unix:${printable(path)}: something else is there; choose another path`,
    );
  }
  try {
    // Not Deno's, which waits while nobody accepts there.
    connectUnix(path, SOCKET.STREAM).close();
  } catch (error) {
    if (isOsError(error, "ECONNREFUSED")) return await Deno.remove(path);
    // EAGAIN: as many wait there as may; EPROTOTYPE: a socket of another kind. Somebody listens.
    if (!isOsError(error, "EAGAIN") && !isOsError(error, "EPROTOTYPE")) throw error;
  }
  throw new Fault("busy", `Cannot listen on unix:${printable(path)}: another program listens there`);
}
