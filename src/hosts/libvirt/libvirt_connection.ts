/**
 * One connection to libvirtd, from connect to the driver's being open: who listens there is asked of the
 * kernel, because libvirtd says which VM is which; then libvirt is asked whether it lets us in.
 *
 * It does not come back by itself.
 * @module
 */
import { isOsError, OsError } from "../../../ffi/os_error.ts";
import { connectUnix, peerCredentials, SOCKET } from "../../../ffi/unix_socket.ts";
import { assert } from "../../base/assert.ts";
import { SECOND } from "../../base/clock.ts";
import { messageOf } from "../../base/fault.ts";
import type { LoopPort, TimerHandler } from "../../core/adapter_port.ts";
import { BytePipe, type BytePipeUser } from "./byte_pipe.ts";
import { authList, authPolkit, type CallResult, openDriver } from "./libvirt_calls.ts";
import { RpcClient } from "./rpc_client.ts";
import type { XdrReader } from "./xdr.ts";

/** How long libvirt may take to let us in, and to do what has to be done first. */
const OPEN_NS = 15 * SECOND;
/** What is told of a libvirtd that says nothing, whoever notices. */
export const NOT_ANSWERING = "libvirtd does not answer: it is stopped (SIGSTOP) or stuck; look at it";
/** What to do when it does not let us. */
export const LET_IN =
  "let the daemon's user in: by the group libvirt, or a polkit rule for org.libvirt.unix.manage and, under access_drivers, org.libvirt.api.domain.write";

/** And when it lets us in, and not speak to a domain's QEMU. */
export const LET_SPEAK = "allow the daemon's user org.libvirt.api.domain.write by a polkit rule";

/** How libvirt is reached. */
export interface LibvirtAddress {
  /** The driver: "qemu:///system". */
  readonly uri: string;
  /** libvirtd's socket. */
  readonly socket: string;
  /** Whether a user may be libvirtd. */
  readonly isTrusted: (uid: number) => boolean;
}

/** Told the state of a connection. */
export interface ConnectionUser {
  /** The driver is open: calls may be made. {@linkcode LibvirtConnection.settle} ends the time for it. */
  onOpen(connection: LibvirtConnection): void;
  /** Something that libvirt tells by itself. */
  onEvent(program: number, procedure: number, body: XdrReader): void;
  /** It is over, or did not come about. Told once. */
  onEnd(why: string): void;
  /** All that waited to be sent has gone. */
  onDrained?(): void;
}

/** What is told of a libvirtd that says what no libvirtd says. */
export function nonsenseOf(defect: string): string {
  return `it does not speak libvirt's protocol: ${defect}; is that libvirtd's socket?`;
}

/** A refusal with what to do about it. */
export function refusalOf(result: CallResult<unknown> & { readonly ok: false }): string {
  return `libvirt refuses: ${result.why}${result.isDenied ? `; ${LET_IN}` : ""}`;
}

/** The connection. */
export class LibvirtConnection implements TimerHandler, BytePipeUser {
  /** Its calls. */
  readonly client: RpcClient;
  /** The socket below. */
  readonly pipe: BytePipe;
  readonly #loop: LoopPort;
  readonly #user: ConnectionUser;
  #isOver = false;

  /**
   * Connects; what follows is told to its user.
   *
   * @throws {OsError} when nobody listens, or it is not allowed
   */
  constructor({ socket: path, isTrusted, uri }: LibvirtAddress, loop: LoopPort, user: ConnectionUser) {
    const socket = connectUnix(path, SOCKET.STREAM);
    const { uid } = peerCredentials(socket.fd);
    this.#loop = loop;
    this.#user = user;
    this.pipe = new BytePipe(socket, loop, this);
    this.client = new RpcClient({
      send: (bytes, file) => this.pipe.send(bytes, file),
      onEvent: (program, procedure, body) => user.onEvent(program, procedure, body),
    });
    loop.arm(this, loop.clock.nowNs() + OPEN_NS);
    // Its user has it in hand before it is told anything.
    loop.defer(() => {
      if (isTrusted(uid)) this.#enter(uri);
      else this.end(`uid ${uid} listens on ${path}; name it in [libvirt] users if that is meant`);
    }, this);
  }

  /** What had to be done first is done. */
  settle(): void {
    assert(!this.#isOver, "a connection that has ended is not settled");
    this.#loop.disarm(this);
  }

  /**
   * Goes on with a call that libvirt carried out; what it refuses ends the connection.
   *
   * @param next called when the connection is still there
   */
  then<T>(next: (value: T) => void): (result: CallResult<T>) => void {
    return (result) => {
      if (this.#isOver) return;
      if (result.ok) next(result.value);
      else if (!result.isClosed) this.end(refusalOf(result));
    };
  }

  /** Ends it, and tells its user why. */
  end(why: string): void {
    if (this.#isOver) return;
    this.close();
    this.#user.onEnd(why);
  }

  /** Ends it; its user is told nothing. */
  close(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#loop.disarm(this);
    this.pipe.close();
    this.client.close();
  }

  /** Called by the loop. */
  onTimer(): void {
    this.end(NOT_ANSWERING);
  }

  /** See {@linkcode BytePipeUser}. */
  onBytes(bytes: Uint8Array<ArrayBuffer>, fds: readonly number[]): void {
    const defect = this.client.receive(bytes, fds);
    if (defect !== "") {
      this.end(nonsenseOf(defect));
    }
  }

  /** See {@linkcode BytePipeUser}. */
  onEnd(why: string): void {
    this.end(why);
  }

  /** See {@linkcode BytePipeUser}. */
  onDrained(): void {
    this.#user.onDrained?.();
  }

  /** Something of its own threw. */
  onFault(error: unknown): void {
    this.end(messageOf(error));
  }

  #enter(uri: string): void {
    if (this.#isOver) return;
    const { client } = this;
    const open = () => openDriver(client, uri, this.then(() => this.#user.onOpen(this)));
    authList(
      client,
      this.then((auth) => {
        if (auth === "unknown") {
          this.end(
            'libvirt wants a password (SASL), which is not supported; set auth_unix_rw = "none" or "polkit" in libvirtd.conf',
          );
        } else if (auth === "none") open();
        else authPolkit(client, this.then(() => open()));
      }),
    );
  }
}

/** Why no connection was made. What to do comes first: where this is told, a long path would cut it off. */
export function connectFailure(error: unknown): string {
  if (!(error instanceof OsError)) throw error;
  const remedy = isOsError(error, "EACCES")
    ? "is vmsigd's user in the group libvirt?"
    : "is libvirtd running?";
  return `${remedy} ${messageOf(error)}`;
}
