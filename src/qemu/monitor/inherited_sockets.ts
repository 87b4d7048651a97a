/**
 * The unix sockets that this process was started with, by number, or by the name that systemd gives them
 * (LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES: sd_listen_fds(3)).
 *
 * A descriptor without close-on-exec was inherited, because those that this process opens have it. So a wrong
 * number never means one of its own. Each is taken over when it is first asked for: a copy with close-on-exec
 * takes its place, so that no program started later gets it.
 * @module
 */
import { sendOne } from "../../../ffi/datagram.ts";
import { ERRNO, OsError } from "../../../ffi/os_error.ts";
import { closeFd, OwnedFd } from "../../../ffi/owned_fd.ts";
import { unixSocketFacts } from "../../../ffi/unix_diag.ts";
import { hasPeerCredentials, setNonblocking, SOCKET } from "../../../ffi/unix_socket.ts";
import { Fault } from "../../base/fault.ts";

const FIRST_DESCRIPTOR = 3;
const O_CLOEXEC = 0o2000000;

/** A socket that was taken. */
export interface InheritedSocket {
  /** Nonblocking. One that listens stays open and is borrowed; a connected one is the caller's. */
  readonly socket: OwnedFd;
  /** Whether it listens. */
  readonly listens: boolean;
}

/** The inherited sockets of this process. */
export class InheritedSockets implements Disposable {
  readonly #env: (name: string) => string | undefined;
  /** Those that listen, which can be used again; null for connected ones, which cannot. */
  readonly #taken = new Map<number, OwnedFd | null>();

  /**
   * Looks at nothing yet.
   *
   * @param env the environment's variables
   */
  constructor(env: (name: string) => string | undefined) {
    this.#env = env;
  }

  /**
   * Takes a socket: one that listens any number of times, a connected one once.
   *
   * @param descriptor its number, or its name
   * @throws {Fault} `bad-argument` if there is none, or it is something else; `busy` if it was used
   */
  take(descriptor: number | string): InheritedSocket {
    const number = typeof descriptor === "number" ? descriptor : this.#numberOf(descriptor);
    const before = this.#taken.get(number);
    if (before === null) {
      throw new Fault(
        "busy",
        `Cannot use the descriptor ${descriptor}: its connection was used, and a monitor greets once; start the VM and the daemon anew`,
      );
    }
    if (before !== undefined) return { socket: before, listens: true };
    checkInherited(number, descriptor);
    const listens = isListening(number);
    const socket = OwnedFd.copyOf(number);
    closeFd(number);
    setNonblocking(socket.fd);
    this.#taken.set(number, listens ? socket : null);
    return { socket, listens };
  }

  /** Closes those that listen, which nobody uses any more. */
  [Symbol.dispose](): void {
    for (const socket of this.#taken.values()) socket?.close();
  }

  #numberOf(name: string): number {
    const isForUs = this.#env("LISTEN_PID") === `${Deno.pid}`;
    const count = isForUs ? Number(this.#env("LISTEN_FDS") ?? 0) : 0;
    const names = count > 0 ? (this.#env("LISTEN_FDNAMES") ?? "").split(":").slice(0, count) : [];
    const at = names.indexOf(name);
    if (at < 0) {
      const known = names.length === 0 ? "gives this process none" : `gives ${names.join(", ")}`;
      throw refusal(
        name,
        `systemd ${known}; set FileDescriptorName=${name} in a .socket unit of its service`,
      );
    }
    if (names.indexOf(name, at + 1) >= 0) {
      throw refusal(name, "systemd gives several of that name; give each a FileDescriptorName= of its own");
    }
    return FIRST_DESCRIPTOR + at;
  }
}

function checkInherited(number: number, descriptor: number | string): void {
  let target: string;
  let flags: string;
  try {
    target = Deno.readLinkSync(`/proc/self/fd/${number}`);
    flags = Deno.readTextFileSync(`/proc/self/fdinfo/${number}`);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw refusal(descriptor, "this process was not started with it");
  }
  const found = /^flags:\s*([0-7]+)$/m.exec(flags)?.[1] ?? "";
  if ((Number.parseInt(found, 8) & O_CLOEXEC) !== 0) {
    throw refusal(descriptor, "this process was not started with it, and has opened it itself");
  }
  if (!target.startsWith("socket:") || !hasPeerCredentials(number)) {
    throw refusal(descriptor, "it is not a unix socket that is connected or listens");
  }
  checkType(target, descriptor);
}

/** Refuses sockets of packets, if the kernel may be asked (vmsigd.service does not allow netlink). */
function checkType(socket: string, descriptor: number | string): void {
  let type: number | undefined;
  try {
    type = unixSocketFacts(Number(/\d+/.exec(socket)?.[0]))?.type;
  } catch (error) {
    if (!(error instanceof OsError)) throw error;
  }
  if (type !== undefined && type !== SOCKET.STREAM) throw refusal(descriptor, "it is not a stream socket");
}

/**
 * Whether it listens. It has peer credentials, so it is connected otherwise, and only then takes a message.
 */
function isListening(fd: number): boolean {
  return sendOne(fd, new Uint8Array(1), 0, 0) === -ERRNO.ENOTCONN;
}

function refusal(descriptor: number | string, why: string): Fault {
  return new Fault("bad-argument", `Cannot use the descriptor ${descriptor} as a monitor: ${why}`);
}
