/**
 * Unix sockets by path, and pairs of them. All are nonblocking and close-on-exec.
 *
 * A listener takes over a socket file that a dead one left, and never one that somebody listens on. Looking,
 * removing and binding happen under a lock file beside it, so that of two that start at once one wins and the
 * other is told.
 * @module
 */
import { Fault } from "../src/base/fault.ts";
import { cText } from "./c_text.ts";
import { check, ERRNO, OsError } from "./os_error.ts";
import { LockFile } from "./lock_file.ts";
import { OwnedFd } from "./owned_fd.ts";
import { shim } from "./shim.ts";

/** Kinds of socket: a stream of bytes, or packets in order. */
export const SOCKET = { STREAM: 1, DATAGRAM: 2, SEQPACKET: 5 } as const;
/** A kind of socket. */
export type SocketType = (typeof SOCKET)[keyof typeof SOCKET];
/** Which half {@linkcode shutdown} ends. */
export const SHUTDOWN = { READ: 0, WRITE: 1, BOTH: 2 } as const;
/** Longest path of a socket, in bytes (sockaddr_un has 108 with the NUL). */
export const MAX_SOCKET_PATH_BYTES = 107;

/** The uid of credentials that are not set. */
const NOBODY = 0xffff_ffff;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
/** Linux 6.16. */
const SO_PASSRIGHTS = 83;
const S_IFMT = 0o170000;
const S_IFSOCK = 0o140000;
const STAT_MODE = 3;
const STAT_FIELDS = 8;
/** Looking, removing and binding take microseconds. */
const LOCK_WAIT_MS = 1000;

/** Who is at the other end, as it was when it connected (SO_PEERCRED). */
export interface PeerCredentials {
  /** Process, as seen from this one's namespace; 0 when it is not visible. */
  readonly pid: number;
  /** Effective user. */
  readonly uid: number;
  /** Effective group. */
  readonly gid: number;
}

/** How {@linkcode listenUnix} listens. */
export interface ListenOptions {
  /** Permission bits of the socket file; 0o600 unless told. */
  readonly mode?: number;
  /** Connections that may wait for {@linkcode acceptUnix}; 128 unless told. */
  readonly backlog?: number;
}

/**
 * Listens on a path.
 *
 * @throws {Fault} `busy` when somebody listens there or something else than a socket has the name;
 *   `bad-argument` when the path is too long
 * @throws {OsError} ENOENT or EACCES when the folder is not there or not ours to write
 */
export function listenUnix(path: string, type: SocketType, options: ListenOptions = {}): OwnedFd {
  const name = socketPath(path);
  const mode = options.mode ?? 0o600;
  using _lock = LockFile.take(lockPathOf(path), { waitMs: LOCK_WAIT_MS, purpose: `listen on ${path}` });
  const socket = newSocket(type);
  try {
    // Linux gives the file the socket's own mode: it is never open to more than it should be, not even for a
    // moment.
    check(shim().vmsig_fchmod(socket.fd, mode), "fchmod of a socket");
    let result = shim().vmsig_bind(socket.fd, name);
    if (result === -ERRNO.EADDRINUSE) {
      removeStale(path, type);
      result = shim().vmsig_bind(socket.fd, name);
    }
    check(result, `bind ${path}`);
    // The umask has narrowed the file's mode; now it is what was asked for.
    check(shim().vmsig_chmod(name, mode), `chmod ${path}`);
    check(shim().vmsig_listen(socket.fd, options.backlog ?? 128), `listen on ${path}`);
    return socket;
  } catch (error) {
    socket.close();
    throw error;
  }
}

/**
 * Connects to a path, without waiting: a unix socket connects at once or not at all.
 *
 * @throws {OsError} ENOENT (no such socket), ECONNREFUSED (nobody listens), EACCES (not allowed), EAGAIN (the
 *   listener has too many waiting), EPROTOTYPE (a listener of another kind)
 */
export function connectUnix(path: string, type: SocketType): OwnedFd {
  const name = socketPath(path);
  const socket = newSocket(type);
  const result = shim().vmsig_connect(socket.fd, name);
  if (result < 0) {
    socket.close();
    throw new OsError(`connect to ${path}`, result);
  }
  return socket;
}

/**
 * Connects to an abstract name (unix(7)): one that no file has. A name is exactly its bytes.
 *
 * @param abstractName without the leading NUL, 1 to {@linkcode MAX_SOCKET_PATH_BYTES} bytes
 * @throws {Fault} `bad-argument` when it is empty or too long
 * @throws {OsError} as {@linkcode connectUnix}, but ECONNREFUSED when there is none
 */
export function connectAbstract(abstractName: string, type: SocketType): OwnedFd {
  const name = socketPath(abstractName);
  const socket = newSocket(type);
  const result = shim().vmsig_connect_abstract(socket.fd, name, name.length - 1);
  if (result < 0) {
    socket.close();
    throw new OsError(`connect to the abstract socket @${abstractName}`, result);
  }
  return socket;
}

/**
 * Takes the next connection.
 *
 * @param fd a listening socket, borrowed
 * @returns undefined when none waits, or the one that did is gone again
 * @throws {OsError} EMFILE, ENFILE when there are no descriptors left: the connection still waits, and so the
 *   listener stays readable; stop watching it for a while
 */
export function acceptUnix(fd: number): OwnedFd | undefined {
  const result = shim().vmsig_accept(fd);
  if (result >= 0) return new OwnedFd(result);
  if (result === -ERRNO.EAGAIN || result === -ERRNO.EINTR || result === -ERRNO.ECONNABORTED) return undefined;
  throw new OsError("accept4", result);
}

/** Two connected sockets. */
export function socketPair(type: SocketType): [OwnedFd, OwnedFd] {
  const fds = new Int32Array(2);
  check(shim().vmsig_socketpair(type, fds), "socketpair");
  return [new OwnedFd(fds[0] ?? -1), new OwnedFd(fds[1] ?? -1)];
}

/**
 * Has reading and writing a socket never wait: of one that somebody else has made and sent.
 *
 * @throws {OsError} EBADF
 */
export function setNonblocking(fd: number): void {
  check(shim().vmsig_set_nonblocking(fd), "fcntl F_SETFL");
}

/** Two ends of a pipe, for reading and for writing. */
export function pipe(): [read: OwnedFd, write: OwnedFd] {
  const fds = new Int32Array(2);
  check(shim().vmsig_pipe(fds), "pipe2");
  return [new OwnedFd(fds[0] ?? -1), new OwnedFd(fds[1] ?? -1)];
}

/** Who is at the other end of a connection. */
export function peerCredentials(fd: number): PeerCredentials {
  const out = new Uint32Array(3);
  check(shim().vmsig_peer_credentials(fd, out), "getsockopt SO_PEERCRED");
  return { pid: out[0] ?? 0, uid: out[1] ?? 0, gid: out[2] ?? 0 };
}

/**
 * Whether it is a unix socket that is connected, or listens: only those have peer credentials. For others the
 * kernel returns meaningless ones.
 */
export function hasPeerCredentials(fd: number): boolean {
  const { pid, uid } = peerCredentials(fd);
  return pid !== 0 || uid !== NOBODY;
}

/**
 * A descriptor of the process at the other end of a connection, the same that {@linkcode peerCredentials}
 * tells, whoever has its number by now.
 *
 * @returns undefined when the kernel cannot tell (it can from 6.5 on) or the process is not visible
 * @throws {OsError} ESRCH or EINVAL when it has ended, EMFILE
 */
export function peerPidfd(fd: number): OwnedFd | undefined {
  const result = shim().vmsig_peer_pidfd(fd);
  if (result === -ERRNO.ENOPROTOOPT || result === -ERRNO.ENODATA) return undefined;
  return new OwnedFd(check(result, "getsockopt SO_PEERPIDFD"));
}

/**
 * Ends a half of a connection, or both.
 *
 * @param how one of {@linkcode SHUTDOWN}
 */
export function shutdown(fd: number, how: number): void {
  const result = shim().vmsig_shutdown(fd, how);
  if (result !== -ERRNO.ENOTCONN) check(result, "shutdown");
}

/**
 * Asks for room for this many bytes on their way out; the kernel doubles it and caps it at net.core.wmem_max.
 */
export function setSendBufferBytes(fd: number, bytes: number): void {
  check(shim().vmsig_set_socket_option(fd, SO_SNDBUF, bytes), "setsockopt SO_SNDBUF");
}

/** Asks for room for this many bytes not yet read; the kernel doubles it and caps it at net.core.rmem_max. */
export function setReceiveBufferBytes(fd: number, bytes: number): void {
  check(shim().vmsig_set_socket_option(fd, SO_RCVBUF, bytes), "setsockopt SO_RCVBUF");
}

/**
 * Takes no descriptors from the other end: its sendmsg fails (EPERM). For connections whose peer has none to
 * send: a packet that holds one makes whoever reads or closes the socket drop it, and that may wait for as
 * long as the peer likes (shim/vmsig_closer.c).
 *
 * @returns false on a kernel that cannot (before 6.16), and for a socket of another family, which passes none
 */
export function refuseDescriptors(fd: number): boolean {
  const result = shim().vmsig_set_socket_option(fd, SO_PASSRIGHTS, 0);
  if (result === -ERRNO.ENOPROTOOPT || result === -ERRNO.EOPNOTSUPP) return false;
  check(result, "setsockopt SO_PASSRIGHTS");
  return true;
}

/** Removes a listener's socket file; nothing when it is gone already. */
export function unlinkSocket(path: string): void {
  const result = shim().vmsig_unlink(socketPath(path));
  if (result !== -ERRNO.ENOENT) check(result, `unlink ${path}`);
}

function newSocket(type: SocketType): OwnedFd {
  return new OwnedFd(check(shim().vmsig_socket(type), "socket"));
}

function socketPath(path: string): Uint8Array<ArrayBuffer> {
  const name = cText(path);
  const bytes = name.length - 1;
  if (bytes === 0 || bytes > MAX_SOCKET_PATH_BYTES) {
    throw new Fault(
      "bad-argument",
      `Cannot use ${
        path || "an empty path"
      } as a socket: its path has ${bytes} bytes, and 1 to ${MAX_SOCKET_PATH_BYTES} are possible; use a shorter one`,
    );
  }
  return name;
}

// Removes a socket file that nobody listens on; throws when it is something else.
function removeStale(path: string, type: SocketType): void {
  const name = socketPath(path);
  const info = new Float64Array(STAT_FIELDS);
  const found = shim().vmsig_lstat(name, info);
  if (found === -ERRNO.ENOENT) return;
  check(found, `lstat ${path}`);
  if (((info[STAT_MODE] ?? 0) & S_IFMT) !== S_IFSOCK) {
    throw new Fault(
      "busy",
      `Cannot listen on ${path}: a file that is not a socket has this name; remove or rename it`,
    );
  }
  using probe = newSocket(type);
  const result = shim().vmsig_connect(probe.fd, name);
  switch (result) {
    case -ERRNO.ECONNREFUSED:
      check(shim().vmsig_unlink(name), `unlink the stale ${path}`);
      return;
    case -ERRNO.ENOENT:
      return;
    case 0:
      // Its credentials are those of the one that called listen.
      throw occupied(path, ` (pid ${peerCredentials(probe.fd).pid})`);
    case -ERRNO.EAGAIN:
    case -ERRNO.EPROTOTYPE:
      throw occupied(path, "");
    default:
      throw new OsError(`find out who listens on ${path}`, result);
  }
}

function occupied(path: string, who: string): Fault {
  return new Fault(
    "busy",
    `Cannot listen on ${path}: another process listens there; stop it${who} or use another path`,
  );
}

// Hidden, beside the socket: whoever may make the socket may make it.
function lockPathOf(path: string): string {
  const slash = path.lastIndexOf("/") + 1;
  return `${path.slice(0, slash)}.${path.slice(slash)}.lock`;
}
