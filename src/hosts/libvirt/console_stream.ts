/**
 * A domain's console by libvirt's stream, as one end of a socket pair. It has a connection of its own: a
 * reader that is slow then holds up this console, and no other call.
 * @module
 */
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { SOCKET, socketPair } from "../../../ffi/unix_socket.ts";
import { CODE } from "../../base/codes.ts";
import type { LoopPort } from "../../core/adapter_port.ts";
import type { WayHandler } from "../../qemu/monitor/vm_ways.ts";
import { BytePipe, closeForeign } from "./byte_pipe.ts";
import { type Domain, openConsole } from "./libvirt_calls.ts";
import { type ConnectionUser, type LibvirtAddress, LibvirtConnection } from "./libvirt_connection.ts";
import type { RpcStream } from "./rpc_client.ts";

/** Bytes that may wait on either side before the other one is not read any more. */
const ENOUGH_BYTES: number = 256 << 10;

type StreamStage =
  | { readonly at: "opening"; readonly done: WayHandler }
  | { readonly at: "open"; readonly pipe: BytePipe; readonly stream: RpcStream }
  | { readonly at: "over" };

/** One console. */
export class ConsoleStream implements ConnectionUser {
  /** Whose it is. */
  readonly domain: Domain;
  readonly #alias: string;
  readonly #loop: LoopPort;
  readonly #onEnd: (console: ConsoleStream) => void;
  readonly #connection: LibvirtConnection;
  #stage: StreamStage;

  /**
   * Begins to open one.
   *
   * @param alias libvirt's name of the device: "serial0"
   * @param done told once
   * @param onEnd told when it is over
   * @throws {OsError} when libvirtd cannot be reached
   */
  constructor(
    address: LibvirtAddress,
    loop: LoopPort,
    { domain, alias, done, onEnd }: {
      readonly domain: Domain;
      readonly alias: string;
      readonly done: WayHandler;
      readonly onEnd: (console: ConsoleStream) => void;
    },
  ) {
    this.domain = domain;
    this.#alias = alias;
    this.#loop = loop;
    this.#onEnd = onEnd;
    this.#stage = { at: "opening", done };
    this.#connection = new LibvirtConnection(address, loop, this);
  }

  /** Ends it. */
  close(): void {
    this.#finish("libvirt is away");
  }

  /** See {@linkcode ConnectionUser}. */
  onOpen(connection: LibvirtConnection): void {
    const stream: RpcStream = openConsole(
      connection.client,
      this.domain,
      this.#alias,
      {
        onData: (bytes) => this.#fromGuest(bytes),
        onEnd: (why) => this.#finish(why),
      },
      connection.then(() => {
        connection.settle();
        this.#begin(stream);
      }),
    );
  }

  /** See {@linkcode ConnectionUser}. */
  onEvent(): void {}

  /** See {@linkcode ConnectionUser}. */
  onEnd(why: string): void {
    this.#finish(why);
  }

  /** See {@linkcode ConnectionUser}. */
  onDrained(): void {
    if (this.#stage.at === "open") this.#stage.pipe.pause(false);
  }

  #begin(stream: RpcStream): void {
    if (this.#stage.at !== "opening") return;
    const { done } = this.#stage;
    const [own, socket]: [OwnedFd, OwnedFd] = socketPair(SOCKET.STREAM);
    const pipe = new BytePipe(own, this.#loop, {
      onBytes: (bytes, fds) => {
        closeForeign(fds);
        stream.send(bytes);
        const below = this.#connection.pipe;
        if (below.unsentBytes > ENOUGH_BYTES) pipe.pause(true);
      },
      onDrained: () => this.#connection.pipe.pause(false),
      onEnd: () => this.#finish(""),
    });
    this.#stage = { at: "open", pipe, stream };
    done({ ok: true, socket });
  }

  #fromGuest(bytes: Uint8Array<ArrayBuffer>): void {
    if (this.#stage.at !== "open") return;
    const { pipe } = this.#stage;
    pipe.send(bytes);
    if (pipe.unsentBytes > ENOUGH_BYTES) this.#connection.pipe.pause(true);
  }

  #finish(why: string): void {
    const stage = this.#stage;
    if (stage.at === "over") return;
    this.#stage = { at: "over" };
    if (stage.at === "open") {
      stage.stream.end();
      stage.pipe.close();
    }
    this.#connection.close();
    this.#onEnd(this);
    if (stage.at === "opening") stage.done({ ok: false, code: CODE.refused, why });
  }
}
