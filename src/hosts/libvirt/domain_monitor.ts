/**
 * A domain's monitor, as a link wants it: one end of a socket pair that speaks QMP, whose other end turns
 * each line into a call of libvirt's (virDomainQemuMonitorCommand) and the answer, and QEMU's events, back
 * into lines. QEMU's only monitor stays libvirt's.
 *
 * One command of a domain is under way at a time: libvirtd carries the calls of a client out side by side,
 * and QMP has an order. libvirt numbers commands itself, so the number of the link's is put back.
 * Descriptors that come with a command go on with it.
 * @module
 */
import { OwnedFd } from "../../../ffi/owned_fd.ts";
import { SOCKET, socketPair } from "../../../ffi/unix_socket.ts";
import type { LoopPort } from "../../core/adapter_port.ts";
import { LineSplitter } from "../../qemu/protocol/line_splitter.ts";
import { isObject } from "../../qemu/protocol/qmp_message.ts";
import { BytePipe, type BytePipeUser, closeForeign } from "./byte_pipe.ts";
import { jsonObject } from "./json_object.ts";
import { type CallResult, type Domain, type LibvirtEvent, monitorCommand } from "./libvirt_calls.ts";
import type { RpcClient } from "./rpc_client.ts";

/** Commands that wait; a link keeps eight under way. */
const MAX_WAITING = 256;
const MICROS = 1e6;
/** The commands that take a descriptor; a link sends one with no other. */
const TAKES_FILE = /^\{"execute":"(?:getfd|add-fd)"/;
/** A link's number at the end of its line. */
const LINK_ID = /^(.*),"id":(\d{1,15})\}$/s;
/** libvirt's number at the end of QEMU's answer. */
const LIBVIRT_ID = /^(\{.*),\s*"id":\s*"libvirt-[0-9]{1,12}"\}\s*$/s;

/** What a monitor's owner is told. */
export interface DomainMonitorHost {
  /** The link has left it. */
  readonly onEnd: (monitor: DomainMonitor) => void;
  /** libvirt does not let us speak to this QEMU. */
  readonly onRefused: (monitor: DomainMonitor, result: CallResult<unknown> & { readonly ok: false }) => void;
}

/** One monitor of a domain. */
export class DomainMonitor implements BytePipeUser {
  readonly #client: RpcClient;
  readonly #domain: Domain;
  readonly #pipe: BytePipe;
  readonly #host: DomainMonitorHost;
  readonly #encoder = new TextEncoder();
  readonly #decoder = new TextDecoder();
  readonly #waiting: string[] = [];
  /** Descriptors that came, one group for each command that takes one. */
  readonly #files: (readonly number[])[] = [];
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
    host: DomainMonitorHost,
  ) {
    this.#client = client;
    this.#domain = domain;
    this.#host = host;
    this.#pipe = new BytePipe(own, loop, this);
    monitorCommand(client, domain, '{"execute":"query-version"}', (result) => {
      if (this.#isClosed) return;
      if (!result.ok) {
        this.close();
        return host.onRefused(this, result);
      }
      const version = jsonObject(result.value)?.["return"];
      this.#say(JSON.stringify({ QMP: { version: isObject(version) ? version : {}, capabilities: [] } }));
    });
  }

  /**
   * Opens one.
   *
   * @returns the monitor, and the link's end, which the caller owns
   */
  static open(
    loop: LoopPort,
    client: RpcClient,
    domain: Domain,
    host: DomainMonitorHost,
  ): { readonly monitor: DomainMonitor; readonly socket: OwnedFd } {
    const [own, socket] = socketPair(SOCKET.STREAM);
    return { monitor: new DomainMonitor(loop, own, client, domain, host), socket };
  }

  /** Whose it is. */
  get domain(): Domain {
    return this.#domain;
  }

  /** An event of the domain's QEMU. */
  tell({ name, seconds, micros, details }: LibvirtEvent & { readonly kind: "qemu" }): void {
    const data = details === undefined ? undefined : jsonObject(details);
    const timestamp = { seconds, microseconds: micros % MICROS };
    this.#say(JSON.stringify({ timestamp, event: name, ...(data === undefined ? {} : { data }) }));
  }

  /** Ends it: the link sees its stream end. */
  close(): void {
    if (this.#isClosed) return;
    this.#pipe.close();
    this.#over();
  }

  /** See {@linkcode BytePipeUser}. */
  onBytes(bytes: Uint8Array<ArrayBuffer>, fds: readonly number[]): void {
    if (fds.length > 0) this.#files.push(fds);
    if (!this.#lines.push(bytes, bytes.length)) this.close();
  }

  /** See {@linkcode BytePipeUser}. */
  onEnd(): void {
    this.#over();
    this.#host.onEnd(this);
  }

  #over(): void {
    this.#isClosed = true;
    for (const fds of this.#files.splice(0)) closeForeign(fds);
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
    const [, rest, id] = LINK_ID.exec(line) ?? [undefined, line.replace(/\}$/, ""), ""];
    if (line.startsWith('{"execute":"qmp_capabilities"')) {
      this.#answer('{"return":{}', id);
      return this.#next();
    }
    this.#isUnderWay = true;
    monitorCommand(this.#client, this.#domain, `${rest}}`, (result) => {
      this.#isUnderWay = false;
      if (this.#isClosed) return;
      if (!result.ok && result.isClosed) return this.close();
      this.#onAnswer(result, id);
      this.#next();
    }, TAKES_FILE.test(line) ? this.#takeFile() : undefined);
  }

  #onAnswer(result: CallResult<string>, id: string | undefined): void {
    if (!result.ok) return this.#fail(result.why, id);
    // The answer as it is, with the link's number in place of libvirt's.
    const rest = result.value.includes("\n") ? undefined : LIBVIRT_ID.exec(result.value)?.[1];
    if (rest !== undefined) return this.#answer(rest, id);
    const answer = jsonObject(result.value);
    delete answer?.["id"];
    if (answer === undefined || Object.keys(answer).length === 0) {
      return this.#fail("libvirt's answer is not QEMU's", id);
    }
    this.#answer(JSON.stringify(answer).replace(/\}$/, ""), id);
  }

  /** The next descriptor that came; a command that has more than one leaves the others. */
  #takeFile(): OwnedFd | undefined {
    const [first, ...others] = this.#files.shift() ?? [];
    closeForeign(others);
    return first === undefined ? undefined : new OwnedFd(first);
  }

  #fail(desc: string, id: string | undefined): void {
    this.#answer(`{"error":${JSON.stringify({ class: "GenericError", desc })}`, id);
  }

  /** @param rest the answer without its closing brace */
  #answer(rest: string, id: string | undefined): void {
    this.#say(id === undefined || id === "" ? `${rest}}` : `${rest},"id":${id}}`);
  }

  #say(line: string): void {
    if (!this.#isClosed) this.#pipe.send(this.#encoder.encode(`${line}\r\n`));
  }
}
