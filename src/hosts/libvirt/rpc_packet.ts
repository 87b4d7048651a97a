/**
 * Packets of libvirt's RPC: a length, a header of six words, and a body in XDR (libvirt's own
 * docs/kbase/internals/rpc describes them). Here: bytes to packets and back, with bounds.
 * @module
 */
import { XdrReader, XdrWriter } from "./xdr.ts";

/** Programs. */
export const PROGRAM = { REMOTE: 0x2000_8086, QEMU: 0x2000_8087 } as const;
/** What a packet is. */
export const PACKET = { CALL: 0, REPLY: 1, EVENT: 2 } as const;
/** How a reply ends. */
export const STATUS = { OK: 0, ERROR: 1, CONTINUE: 2 } as const;

const VERSION = 1;
const HEADER_BYTES = 28;
/** Bytes of one packet: what an answer of a monitor can have, and some more. */
export const MAX_PACKET_BYTES: number = 8 << 20;
const FIRST_BYTES = 1 << 14;

/** One packet that came. */
export interface Packet {
  /** Whose procedure. */
  readonly program: number;
  /** Which. */
  readonly procedure: number;
  /** One of {@linkcode PACKET}. */
  readonly type: number;
  /** The call that it answers. */
  readonly serial: number;
  /** One of {@linkcode STATUS}. */
  readonly status: number;
  /** The rest, borrowed for the call. */
  readonly body: Uint8Array;
}

/** A call as bytes. */
export function callPacket(
  program: number,
  procedure: number,
  serial: number,
  body: Uint8Array,
): Uint8Array<ArrayBuffer> {
  return new XdrWriter()
    .u32(HEADER_BYTES + body.length)
    .u32(program)
    .u32(VERSION)
    .u32(procedure)
    .u32(PACKET.CALL)
    .u32(serial)
    .u32(STATUS.OK)
    .fixed(body)
    .bytes();
}

/** Cuts a stream into packets. */
export class PacketReader {
  readonly #sink: (packet: Packet) => void;
  #store: Uint8Array<ArrayBuffer> = new Uint8Array(FIRST_BYTES);
  #stored = 0;

  /** Starts at the beginning of a packet. */
  constructor(sink: (packet: Packet) => void) {
    this.#sink = sink;
  }

  /**
   * Takes the next bytes.
   *
   * @returns what is wrong with them; "" when nothing is
   */
  push(bytes: Uint8Array): string {
    this.#room(this.#stored + bytes.length);
    this.#store.set(bytes, this.#stored);
    this.#stored += bytes.length;
    let at = 0;
    while (this.#stored - at >= 4) {
      const length = new DataView(this.#store.buffer, at, 4).getUint32(0);
      if (length < HEADER_BYTES || length > MAX_PACKET_BYTES) return `a packet of ${length} bytes`;
      if (this.#stored - at < length) break;
      const header = new XdrReader(this.#store.subarray(at + 4, at + HEADER_BYTES));
      const program = header.u32();
      header.u32();
      const procedure = header.u32();
      const type = header.u32();
      const serial = header.u32();
      const status = header.u32();
      const body = this.#store.slice(at + HEADER_BYTES, at + length);
      at += length;
      this.#sink({ program, procedure, type, serial, status, body });
    }
    this.#store.copyWithin(0, at, this.#stored);
    this.#stored -= at;
    // What one long answer needed is not kept for ever.
    if (this.#stored < FIRST_BYTES && this.#store.length > 1 << 18) {
      this.#store = this.#store.slice(0, 1 << 16);
    }
    return "";
  }

  #room(needed: number): void {
    if (needed <= this.#store.length) return;
    const grown = new Uint8Array(Math.max(2 * this.#store.length, needed));
    grown.set(this.#store.subarray(0, this.#stored));
    this.#store = grown;
  }
}
