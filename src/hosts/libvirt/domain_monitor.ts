/**
 * A domain's monitor, as a link wants it: one end of a socket pair that speaks QMP, whose other end turns
 * each line into a call of libvirt's (virDomainQemuMonitorCommand) and the answer, and QEMU's events, back
 * into lines. QEMU's only monitor stays libvirt's.
 *
 * One command of a domain is under way at a time: libvirtd carries the calls of a client out side by side,
 * and QMP has an order. libvirt numbers commands itself, so the number of the link's is put back.
 * @module
 */
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { SOCKET, socketPair } from "../../../ffi/unix_socket.ts";
import type { LoopPort } from "../../core/adapter_port.ts";
import { LineSplitter } from "../../qemu/protocol/line_splitter.ts";
import { isObject } from "../../qemu/protocol/qmp_message.ts";
import { BytePipe, type BytePipeUser } from "./byte_pipe.ts";
import { type Domain, type LibvirtEvent, monitorCommand } from "./libvirt_calls.ts";
import type { RpcClient } from "./rpc_client.ts";

/** Commands that wait; a link keeps eight under way. */
const MAX_WAITING = 256;
const MICROS = 1e6;

/** One monitor of a domain. */
export class DomainMonitor implements BytePipeUser {
  readonly #client: RpcClient;
  readonly #domain: Domain;
  readonly #pipe: BytePipe;
  readonly #onEnd: (monitor: DomainMonitor) => void;
  readonly #encoder = new TextEncoder();
  readonly #decoder = new TextDecoder();
  readonly #waiting: string[] = [];
  readonly #lines = new LineSplitter((bytes, from, to) => {
    this.#take(this.#decoder.decode(bytes.subarray(from, to)));
    return true;
  });
  #isUnderWay = false;
  #isClosed = false;

  private constructor(
    loop: LoopPort,
    own: OwnedFd,
    client: RpcClient,
    domain: Domain,
    onEnd: (monitor: DomainMonitor) => void,
  ) {
    this.#client = client;
    this.#domain = domain;
    this.#onEnd = onEnd;
    this.#pipe = new BytePipe(own, loop, this);
    monitorCommand(client, domain, '{"execute":"query-version"}', (result) => {
      if (!result.ok) return this.close();
      const version = valueOf(result.value)?.["return"];
      this.#say({ QMP: { version: isObject(version) ? version : {}, capabilities: [] } });
    });
  }

  /**
   * Opens one.
   *
   * @param onEnd told when the link has left it
   * @returns the monitor, and the link's end, which the caller owns
   */
  static open(
    loop: LoopPort,
    client: RpcClient,
    domain: Domain,
    onEnd: (monitor: DomainMonitor) => void,
  ): { readonly monitor: DomainMonitor; readonly socket: OwnedFd } {
    const [own, socket] = socketPair(SOCKET.STREAM);
    return { monitor: new DomainMonitor(loop, own, client, domain, onEnd), socket };
  }

  /** Whose it is. */
  get domain(): Domain {
    return this.#domain;
  }

  /** An event of the domain's QEMU. */
  tell({ name, seconds, micros, details }: LibvirtEvent & { readonly kind: "qemu" }): void {
    const data = details === undefined ? undefined : valueOf(details);
    this.#say({
      timestamp: { seconds, microseconds: micros % MICROS },
      event: name,
      ...(data === undefined ? {} : { data }),
    });
  }

  /** Ends it: the link sees its stream end. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#pipe.close();
  }

  /** See {@linkcode BytePipeUser}. */
  onBytes(bytes: Uint8Array<ArrayBuffer>): void {
    if (!this.#lines.push(bytes, bytes.length)) this.close();
  }

  /** See {@linkcode BytePipeUser}. */
  onEnd(): void {
    this.#isClosed = true;
    this.#onEnd(this);
  }

  #take(line: string): void {
    if (this.#waiting.length >= MAX_WAITING) return this.close();
    this.#waiting.push(line);
    this.#next();
  }

  #next(): void {
    if (this.#isUnderWay || this.#isClosed) return;
    const line = this.#waiting.shift();
    if (line === undefined) return;
    const command = valueOf(line);
    if (command === undefined) return this.close();
    const { id, ...rest } = command;
    if (rest["execute"] === "qmp_capabilities") {
      this.#say({ return: {}, id });
      return this.#next();
    }
    this.#isUnderWay = true;
    monitorCommand(this.#client, this.#domain, JSON.stringify(rest), (result) => {
      this.#isUnderWay = false;
      if (this.#isClosed) return;
      if (!result.ok && result.isClosed) return this.close();
      const answer = result.ok ? valueOf(result.value) : undefined;
      if (answer === undefined) {
        const desc = result.ok ? "libvirt's answer is not QEMU's" : result.why;
        this.#say({ error: { class: "GenericError", desc }, id });
      } else this.#say({ ...answer, id });
      this.#next();
    });
  }

  #say(message: object): void {
    if (!this.#isClosed) this.#pipe.send(this.#encoder.encode(`${JSON.stringify(message)}\r\n`));
  }
}

function valueOf(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value as Record<string, unknown> : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
