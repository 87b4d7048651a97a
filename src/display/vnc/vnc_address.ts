/**
 * Where a VNC server is reached, and a connection to it, begun without waiting.
 * @module
 */
import { printable } from "../../base/printable.ts";
import { connectInet, connectionOutcome } from "../../../ffi/inet_socket.ts";
import { connectUnix, refuseDescriptors, SOCKET } from "../../../ffi/unix_socket.ts";
import { isOsError } from "../../../ffi/os_error.ts";
import { closeConnection, type OwnedFd } from "../../../ffi/owned_fd.ts";

/** A server's place. */
export type VncAddress =
  | {
    readonly kind: "descriptor";
    /** A connected socket, QEMU's end of which was given to it by add_client; taken over. */
    readonly socket: OwnedFd;
  }
  | {
    readonly kind: "unix";
    /** Of QEMU's `-vnc unix:PATH`. */
    readonly path: string;
  }
  | {
    readonly kind: "tcp";
    /** IPv4 or IPv6, as digits. */
    readonly host: string;
    /** 5900 and display number N make port 5900 + N. */
    readonly port: number;
  };

/** A connection that is made, or is being made. */
export interface VncConnection {
  /** Nonblocking; whoever gets it owns it. */
  readonly socket: OwnedFd;
  /** Whether it is made when it becomes writable; else it is made. */
  readonly isPending: boolean;
}

/**
 * Begins a connection.
 *
 * @throws {Fault} `bad-argument` for what is not an address
 * @throws {OsError} ENOENT, ECONNREFUSED, EACCES, …
 */
export function openVnc(address: VncAddress): VncConnection {
  switch (address.kind) {
    case "descriptor":
      refuseDescriptorsWhereAny(address.socket.fd);
      return { socket: address.socket, isPending: false };
    case "unix": {
      const socket = connectUnix(address.path, SOCKET.STREAM);
      refuseDescriptors(socket.fd);
      return { socket, isPending: false };
    }
    case "tcp":
      return { socket: connectInet(address.host, address.port), isPending: true };
  }
}

/**
 * Tells whether a pending connection was made, once its socket is writable.
 *
 * @throws {OsError} ECONNREFUSED, ETIMEDOUT, …
 */
export function checkConnected(socket: OwnedFd, address: VncAddress): void {
  connectionOutcome(socket.fd, placeOf(address));
}

/** Closes a connection without waiting for the other side. */
export function closeVnc(socket: OwnedFd): void {
  if (!socket.closed) closeConnection(socket.release());
}

/** A descriptor from elsewhere may be a TCP socket, which nobody can send descriptors over. */
function refuseDescriptorsWhereAny(fd: number): void {
  try {
    refuseDescriptors(fd);
  } catch (error) {
    if (!isOsError(error, "EOPNOTSUPP")) throw error;
  }
}

/** A server's place in words. */
export function placeOf(address: VncAddress): string {
  switch (address.kind) {
    case "descriptor":
      return "the VNC server behind QEMU's add_client";
    case "unix":
      return `the VNC server at ${printable(address.path)}`;
    case "tcp":
      return `the VNC server at ${printable(address.host, 64)} port ${address.port}`;
  }
}
