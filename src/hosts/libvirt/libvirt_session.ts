/**
 * The connection to libvirtd: made, kept, and made again with a growing pause. It is up when libvirt has let
 * us in, events are asked for, and the running domains are listed; whenever a domain starts or ends they are
 * listed anew.
 *
 * Who listens on its socket is asked of the kernel: libvirtd says which VM is which, so it must be root, the
 * daemon's own user, or a user that the config names.
 * @module
 */
import { OsError } from "../../../ffi/os_error.ts";
import { connectUnix, peerCredentials, SOCKET } from "../../../ffi/unix_socket.ts";
import { assert } from "../../base/assert.ts";
import { SECOND } from "../../base/clock.ts";
import { messageOf } from "../../base/fault.ts";
import type { Log } from "../../base/log.ts";
import type { LoopPort, TimerHandler } from "../../core/adapter_port.ts";
import { BytePipe, type BytePipeUser } from "./byte_pipe.ts";
import {
  authList,
  authPolkit,
  type CallResult,
  type Domain,
  type LibvirtEvent,
  listDomains,
  openDriver,
  readEvent,
  watchLifecycle,
  watchQemu,
} from "./libvirt_calls.ts";
import { RpcClient } from "./rpc_client.ts";
import { XdrError, type XdrReader } from "./xdr.ts";

const FIRST_PAUSE_NS = SECOND / 2;
const LONGEST_PAUSE_NS = 10 * SECOND;
/** How long libvirt may take to let us in. */
const OPEN_NS = 15 * SECOND;

/** How libvirt is reached. */
export interface LibvirtAddress {
  /** The driver: "qemu:///system". */
  readonly uri: string;
  /** libvirtd's socket. */
  readonly socket: string;
  /** Whether a user may be libvirtd. */
  readonly isTrusted: (uid: number) => boolean;
}

/** Told what libvirt says. */
export interface LibvirtUser {
  /** The domains that run now; told whenever they may have changed. */
  onDomains(domains: readonly Domain[]): void;
  /** An event of a domain's QEMU. */
  onQemuEvent(event: LibvirtEvent & { readonly kind: "qemu" }): void;
  /** libvirt is away, until the next {@linkcode onDomains}. */
  onAway(why: string): void;
}

type SessionStage =
  | { readonly at: "stopped" | "pausing" }
  | {
    readonly at: "opening" | "up";
    readonly pipe: BytePipe;
    readonly client: RpcClient;
    readonly uid: number;
  };

/** The connection. */
export class LibvirtSession implements TimerHandler, BytePipeUser {
  readonly #address: LibvirtAddress;
  readonly #loop: LoopPort;
  readonly #log: Log;
  readonly #user: LibvirtUser;
  #stage: SessionStage = { at: "stopped" };
  #pauseNs = FIRST_PAUSE_NS;
  #told = "";
  #isListing = false;
  #mustList = false;

  /** Rests until it is started. */
  constructor(address: LibvirtAddress, loop: LoopPort, log: Log, user: LibvirtUser) {
    this.#address = address;
    this.#loop = loop;
    this.#log = log;
    this.#user = user;
  }

  /** The calls of the connection; null while libvirt is away. */
  get client(): RpcClient | null {
    return this.#stage.at === "up" ? this.#stage.client : null;
  }
  /** Who runs libvirtd; -1 while it is away. */
  get uid(): number {
    return "uid" in this.#stage ? this.#stage.uid : -1;
  }

  /** Connects, and from then on keeps the connection. */
  start(): void {
    assert(this.#stage.at === "stopped", "it is started once");
    this.#connect();
  }

  /** Ends; its user is told nothing more. */
  stop(): void {
    const stage = this.#stage;
    this.#stage = { at: "stopped" };
    this.#loop.disarm(this);
    if (!("pipe" in stage)) return;
    stage.pipe.close();
    stage.client.close();
  }

  /** Called by the loop. */
  onTimer(): void {
    if (this.#stage.at === "pausing") this.#connect();
    else if (this.#stage.at === "opening") this.#lose("libvirt does not answer");
  }

  /** See {@linkcode BytePipeUser}. */
  onBytes(bytes: Uint8Array<ArrayBuffer>): void {
    if (!("client" in this.#stage)) return;
    const defect = this.#stage.client.receive(bytes);
    if (defect !== "") this.#lose(`it does not speak libvirt's protocol: ${defect}`);
  }

  /** See {@linkcode BytePipeUser}. */
  onEnd(why: string): void {
    this.#lose(why);
  }

  /** Something of its own threw: the connection is lost, and made again. */
  onFault(error: unknown): void {
    this.#lose(messageOf(error));
  }

  #connect(): void {
    const { socket: path, isTrusted, uri } = this.#address;
    let pipe: BytePipe;
    let uid: number;
    try {
      const socket = connectUnix(path, SOCKET.STREAM);
      ({ uid } = peerCredentials(socket.fd));
      if (!isTrusted(uid)) {
        socket.close();
        return this.#fail(`uid ${uid} listens on ${path}; name it in [libvirt] users if that is meant`);
      }
      pipe = new BytePipe(socket, this.#loop, this);
    } catch (error) {
      if (!(error instanceof OsError)) throw error;
      return this.#fail(`${messageOf(error)}; is libvirtd running?`);
    }
    const client = new RpcClient({
      send: (bytes) => pipe.send(bytes),
      onEvent: (program, procedure, body) => this.#onEvent(program, procedure, body),
    });
    this.#stage = { at: "opening", pipe, client, uid };
    this.#loop.arm(this, this.#loop.clock.nowNs() + OPEN_NS);
    /** Goes on with a call that libvirt carried out. */
    const then = <T>(next: (value: T) => void) => (result: CallResult<T>): void => {
      if (!("client" in this.#stage) || this.#stage.client !== client) return;
      if (result.ok) next(result.value);
      else if (!result.isClosed) this.#lose(`libvirt refuses: ${result.why}`);
    };
    const open = () =>
      openDriver(
        client,
        uri,
        then(() =>
          watchLifecycle(
            client,
            then(() =>
              watchQemu(
                client,
                then(() => {
                  this.#stage = { at: "up", pipe, client, uid };
                  this.#loop.disarm(this);
                  this.#pauseNs = FIRST_PAUSE_NS;
                  this.#told = "";
                  this.#log.info("libvirt is there", { uri, socket: path });
                  this.#list();
                }),
              )
            ),
          )
        ),
      );
    authList(
      client,
      then((auth) => {
        if (auth === "unknown") return this.#lose("libvirt wants a password (SASL), which is not supported");
        if (auth === "none") return open();
        authPolkit(client, then(() => open()));
      }),
    );
  }

  #onEvent(program: number, procedure: number, body: XdrReader): void {
    let event: LibvirtEvent | undefined;
    try {
      event = readEvent(program, procedure, body);
    } catch (error) {
      if (!(error instanceof XdrError)) throw error;
      return this.#lose(`an event that cannot be read: ${error.message}`);
    }
    if (event?.kind === "qemu") this.#user.onQemuEvent(event);
    else if (event?.kind === "lifecycle") this.#list();
  }

  /** Events that come while they are listed ask for one more list, and not for one each. */
  #list(): void {
    const { client } = this;
    if (client === null) return;
    this.#mustList = true;
    if (this.#isListing) return;
    this.#isListing = true;
    this.#mustList = false;
    listDomains(client, (result) => {
      this.#isListing = false;
      if (this.client !== client) return;
      if (!result.ok) {
        if (!result.isClosed) this.#lose(`libvirt does not list its domains: ${result.why}`);
        return;
      }
      this.#user.onDomains(result.value);
      if (this.#mustList) this.#list();
    });
  }

  #lose(why: string): void {
    const stage = this.#stage;
    if (!("pipe" in stage)) return;
    this.#fail(why);
    stage.pipe.close();
    stage.client.close();
  }

  #fail(why: string): void {
    this.#stage = { at: "pausing" };
    this.#isListing = false;
    this.#loop.arm(this, this.#loop.clock.nowNs() + this.#pauseNs);
    this.#pauseNs = Math.min(2 * this.#pauseNs, LONGEST_PAUSE_NS);
    // The same obstacle again and again is told once.
    if (why !== this.#told) this.#log.warn("libvirt is away", { why, socket: this.#address.socket });
    this.#told = why;
    this.#user.onAway(why);
  }
}
