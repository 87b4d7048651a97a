/**
 * Calls of libvirt's RPC and their answers, by serial numbers: a state machine, bytes in and bytes out. It
 * keeps no time and knows no procedure.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { callPacket, PACKET, type Packet, PacketReader, STATUS } from "./rpc_packet.ts";
import { XdrError, XdrReader } from "./xdr.ts";

/** Calls under way at once: libvirtd itself takes few of one client at a time, and queues the rest. */
export const MAX_CALLS = 4096;

/** What became of a call. */
export type RpcReply =
  | { readonly outcome: "done"; readonly body: XdrReader }
  /** libvirt refused, in its words. Outside text. */
  | { readonly outcome: "error"; readonly code: number; readonly text: string }
  /** The connection ended before an answer. */
  | { readonly outcome: "closed" };

/** Told the reply, exactly once. */
export type RpcHandler = (reply: RpcReply) => void;

/** What a client needs. */
export interface RpcClientHost {
  /** Sends bytes; it may keep them. */
  send(bytes: Uint8Array<ArrayBuffer>): void;
  /** Something that nobody asked for. */
  onEvent(program: number, procedure: number, body: XdrReader): void;
}

/** The calls of one connection. */
export class RpcClient {
  readonly #host: RpcClientHost;
  readonly #reader = new PacketReader((packet) => this.#onPacket(packet));
  readonly #open = new Map<number, RpcHandler>();
  #serial = 0;
  #isClosed = false;

  /** Starts without a call. */
  constructor(host: RpcClientHost) {
    this.#host = host;
  }

  /** Calls a procedure. */
  call(program: number, procedure: number, body: Uint8Array, handler: RpcHandler): void {
    if (this.#isClosed || this.#open.size >= MAX_CALLS) return handler({ outcome: "closed" });
    const serial = ++this.#serial;
    this.#open.set(serial, handler);
    this.#host.send(callPacket(program, procedure, serial, body));
  }

  /**
   * Takes bytes of libvirt's.
   *
   * @returns what is wrong with them; "" when nothing is
   */
  receive(bytes: Uint8Array): string {
    try {
      return this.#reader.push(bytes);
    } catch (error) {
      if (error instanceof XdrError) return error.message;
      throw error;
    }
  }

  /** The connection has ended: all calls are told so. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const open = [...this.#open.values()];
    this.#open.clear();
    for (const handler of open) handler({ outcome: "closed" });
  }

  #onPacket({ program, procedure, type, serial, status, body }: Packet): void {
    if (this.#isClosed) return;
    if (type === PACKET.EVENT) return this.#host.onEvent(program, procedure, new XdrReader(body));
    if (type !== PACKET.REPLY) return;
    const handler = this.#open.get(serial);
    // An answer to no call of ours.
    if (handler === undefined) return;
    this.#open.delete(serial);
    assert(this.#open.size < MAX_CALLS, "calls are bounded");
    if (status === STATUS.OK) handler({ outcome: "done", body: new XdrReader(body) });
    else handler(errorOf(new XdrReader(body)));
  }
}

/** remote_error begins with its code, its domain and its message. */
function errorOf(body: XdrReader): RpcReply {
  try {
    const code = body.i32();
    body.i32();
    return { outcome: "error", code, text: body.optionalText()?.slice(0, 1024) ?? "no words" };
  } catch (error) {
    if (!(error instanceof XdrError)) throw error;
    return { outcome: "error", code: 0, text: "an error that cannot be read" };
  }
}
