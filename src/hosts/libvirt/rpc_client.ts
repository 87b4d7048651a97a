/**
 * Calls of libvirt's RPC and their answers, by serial numbers: a state machine, bytes in and bytes out. It
 * keeps no time and knows no procedure. A call may open a stream of bytes under its number.
 * @module
 */
import { OwnedFd } from "../../../ffi/owned_fd.ts";
import { assert } from "../../base/assert.ts";
import { closeForeign, type SentFile } from "./byte_pipe.ts";
import { PACKET, type Packet, packetBytes, PacketReader, STATUS } from "./rpc_packet.ts";
import { XdrError, XdrReader } from "./xdr.ts";

/** Calls under way at once: libvirtd itself takes few of one client at a time, and queues the rest. */
export const MAX_CALLS = 4096;
const NO_BYTES = new Uint8Array(0);

/** What became of a call. */
export type RpcReply =
  | {
    readonly outcome: "done";
    readonly body: XdrReader;
    /** Takes the next descriptor that came along; undefined when there is none. What is left is closed. */
    readonly takeFile: () => OwnedFd | undefined;
  }
  /** libvirt refused, in its words. Outside text. */
  | { readonly outcome: "error"; readonly code: number; readonly text: string }
  /** The connection ended before an answer. */
  | { readonly outcome: "closed" };

/** Told the reply, exactly once. */
export type RpcHandler = (reply: RpcReply) => void;

/** What a client needs. */
export interface RpcClientHost {
  /** Sends bytes, and maybe a descriptor with them; both are its own from then on. */
  send(bytes: Uint8Array<ArrayBuffer>, file?: SentFile): void;
  /** Something that nobody asked for. */
  onEvent(program: number, procedure: number, body: XdrReader): void;
}

/** Told what a stream brings. */
export interface RpcStreamUser {
  /** Bytes. */
  onData(bytes: Uint8Array<ArrayBuffer>): void;
  /** It has ended; "" without a reason. Told once, and not after {@linkcode RpcStream.end}. */
  onEnd(why: string): void;
}

/** A stream that a call has opened. */
export interface RpcStream {
  /** Sends bytes. */
  send(bytes: Uint8Array<ArrayBuffer>): void;
  /** Ends it. */
  end(): void;
}

/** A call that is not answered yet. */
interface OpenCall {
  readonly program: number;
  readonly procedure: number;
  readonly handler: RpcHandler;
}

/** The calls of one connection. */
export class RpcClient {
  readonly #host: RpcClientHost;
  readonly #reader = new PacketReader((packet) => this.#onPacket(packet));
  readonly #open = new Map<number, OpenCall>();
  readonly #streams = new Map<number, RpcStreamUser>();
  #serial = 0;
  #isClosed = false;

  /** Starts without a call. */
  constructor(host: RpcClientHost) {
    this.#host = host;
  }

  /**
   * Calls a procedure.
   *
   * @param file goes with the call; its own from now on
   */
  call(program: number, procedure: number, body: Uint8Array, handler: RpcHandler, file?: SentFile): void {
    if (this.#isClosed || this.#open.size >= MAX_CALLS) {
      file?.close();
      return handler({ outcome: "closed" });
    }
    const serial = ++this.#serial;
    this.#open.set(serial, { program, procedure, handler });
    const type = file === undefined ? PACKET.CALL : PACKET.CALL_WITH_FILES;
    const head = { program, procedure, type, serial, status: STATUS.OK };
    this.#host.send(packetBytes(head, body, file === undefined ? 0 : 1));
    if (file !== undefined) this.#host.send(new Uint8Array(1), file);
  }

  /**
   * Calls a procedure that opens a stream.
   *
   * @param user told what it brings, from before `handler` is told that the call is done
   * @returns the stream; it may be used when the call is done
   */
  stream(
    program: number,
    procedure: number,
    body: Uint8Array,
    user: RpcStreamUser,
    handler: RpcHandler,
  ): RpcStream {
    const serial = this.#serial + 1;
    this.#streams.set(serial, user);
    this.call(program, procedure, body, (reply) => {
      if (reply.outcome !== "done") this.#streams.delete(serial);
      handler(reply);
    });
    const send = (status: number, bytes: Uint8Array): void => {
      if (!this.#streams.has(serial)) return;
      this.#host.send(packetBytes({ program, procedure, type: PACKET.STREAM, serial, status }, bytes));
    };
    return {
      send: (bytes) => send(STATUS.CONTINUE, bytes),
      end: () => {
        send(STATUS.OK, NO_BYTES);
        this.#streams.delete(serial);
      },
    };
  }

  /**
   * Takes bytes of libvirt's, and the descriptors that came with them.
   *
   * @returns what is wrong with them; "" when nothing is
   */
  receive(bytes: Uint8Array<ArrayBuffer>, fds?: readonly number[]): string {
    try {
      return this.#reader.push(bytes, fds);
    } catch (error) {
      if (error instanceof XdrError) return error.message;
      throw error;
    }
  }

  /** The connection has ended: all calls are told so. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#reader.close();
    const open = [...this.#open.values()];
    this.#open.clear();
    const streams = [...this.#streams.values()];
    this.#streams.clear();
    for (const { handler } of open) handler({ outcome: "closed" });
    for (const user of streams) user.onEnd("the connection to libvirt has ended");
  }

  #onPacket({ program, procedure, type, serial, status, body, fds }: Packet): void {
    // What is behind the packet that ended it.
    if (this.#isClosed) return closeForeign(fds);
    if (type === PACKET.EVENT) this.#host.onEvent(program, procedure, new XdrReader(body));
    if (type === PACKET.STREAM) this.#onStream(serial, status, body);
    const call = type === PACKET.REPLY ? this.#open.get(serial) : undefined;
    // An answer to no call of ours.
    if (call === undefined) return closeForeign(fds);
    if (call.program !== program || call.procedure !== procedure) {
      closeForeign(fds);
      throw new XdrError(
        `an answer of ${nameOf(program, procedure)} to a call of ${nameOf(call.program, call.procedure)}`,
      );
    }
    const { handler } = call;
    this.#open.delete(serial);
    assert(this.#open.size < MAX_CALLS, "calls are bounded");
    if (status !== STATUS.OK) {
      closeForeign(fds);
      return handler(errorOf(new XdrReader(body)));
    }
    const left = [...fds];
    const takeFile = (): OwnedFd | undefined => {
      const fd = left.shift();
      return fd === undefined ? undefined : new OwnedFd(fd);
    };
    try {
      handler({ outcome: "done", body: new XdrReader(body), takeFile });
    } finally {
      closeForeign(left);
    }
  }

  #onStream(serial: number, status: number, body: Uint8Array<ArrayBuffer>): void {
    const user = this.#streams.get(serial);
    if (user === undefined) return;
    if (status === STATUS.CONTINUE) return user.onData(body);
    this.#streams.delete(serial);
    const error = status === STATUS.ERROR ? errorOf(new XdrReader(body)) : undefined;
    user.onEnd(error?.outcome === "error" ? error.text : "");
  }
}

function nameOf(program: number, procedure: number): string {
  return `program 0x${program.toString(16)}, procedure ${procedure}`;
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
