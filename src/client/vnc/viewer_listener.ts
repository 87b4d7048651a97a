/**
 * Where viewers connect: a unix socket, which only its user and root can open, or a port of the loopback,
 * which every user of the host can reach, and which therefore asks for a password. A viewer beyond the limit
 * is turned away; when descriptors run out, the listener pauses for a moment.
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
const LOOPBACK_ADDRESS = /^(127\.0\.0\.1|\[::1\]|localhost):(\d{1,5})$/;
const ANY_ADDRESS = /^(\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-fA-F:.]{2,45}\]|localhost):(\d{1,5})$/;
/** Nobody but the user. */
const PRIVATE_UMASK = 0o177;

/**
 * Reads an address: unix:PATH, 127.0.0.1:PORT, [::1]:PORT.
 *
 * @param isOpen whether any address of this host may be listened on
 * @throws {Fault} `bad-argument`
 */
export function parseListenAddress(text: string, isOpen = false): ListenAddress {
  const bad = (why: string) => new Fault("bad-argument", `Cannot listen on ${printable(text)}: ${why}`);
  if (text.startsWith("unix:")) {
    const path = text.slice(5);
    const { length } = new TextEncoder().encode(path);
    if (length === 0 || path.includes("\0")) throw bad("it names no path");
    if (length > MOST_PATH_BYTES) throw bad(`a socket's path has ${MOST_PATH_BYTES} bytes at most`);
    return { kind: "unix", path };
  }
  const form = isOpen ? ANY_ADDRESS : LOOPBACK_ADDRESS;
  const [, hostname = "", digits = ""] = form.exec(text) ?? [];
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
      throw listenFault(error, address);
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

/** Why it cannot be listened there, and what to do about it. */
export function listenFault(error: unknown, address: ListenAddress): Fault {
  if (error instanceof Fault) return error;
  const isUnix = address.kind === "unix";
  const where = isUnix ? `unix:${printable(address.path)}` : `${address.hostname}:${address.port}`;
  const fault = (why: string, code: "busy" | "refused" = "refused") =>
    new Fault(code, `Cannot listen on ${where}: ${why}`, { cause: error });
  if (error instanceof Deno.errors.AddrInUse) {
    return fault(`another program listens there; choose another ${isUnix ? "path" : "port"}`, "busy");
  }
  if (error instanceof Deno.errors.PermissionDenied) {
    return fault(
      isUnix
        ? "no permission to create a socket in its folder; choose a path in a folder of yours"
        : "no permission to use this port; choose one of 1024 to 65535",
    );
  }
  if (error instanceof Deno.errors.AddrNotAvailable) return fault("this host has no such address");
  if (isUnix && error instanceof Deno.errors.NotFound) {
    return fault("its folder does not exist; make it (mkdir -p), or choose another path");
  }
  if (isUnix && error instanceof Deno.errors.NotADirectory) {
    return fault("a part of the path is not a folder; choose another path");
  }
  return fault(messageOf(error));
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
