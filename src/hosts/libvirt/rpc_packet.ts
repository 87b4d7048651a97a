/**
 * Packets of libvirt's RPC: a length, a header of six words, and a body in XDR (libvirt's own
 * docs/kbase/internals/rpc describes them). Here: bytes to packets and back, with bounds.
 * @module
 */
import { closeForeign } from "./byte_pipe.ts";

/** Programs. */
export const PROGRAM = { REMOTE: 0x2000_8086, QEMU: 0x2000_8087 } as const;
/** What a packet is. */
export const PACKET = {
  CALL: 0,
  REPLY: 1,
  EVENT: 2,
  STREAM: 3,
  CALL_WITH_FILES: 4,
  REPLY_WITH_FILES: 5,
} as const;
/** How a reply ends. */
export const STATUS = { OK: 0, ERROR: 1, CONTINUE: 2 } as const;

const VERSION = 1;
const HEADER_BYTES = 28;
/** Bytes of one packet: what an answer of a monitor can have, and some more. */
export const MAX_PACKET_BYTES: number = 8 << 20;
const FIRST_BYTES = 1 << 14;
/** Descriptors of one packet. */
const MAX_FILES = 8;

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
  /** The rest, a copy. */
  readonly body: Uint8Array<ArrayBuffer>;
  /** Descriptors that came with it; whoever takes the packet closes them. */
  readonly fds: readonly number[];
}

/** What a packet that goes out says of itself. */
export type PacketHead = Pick<Packet, "program" | "procedure" | "type" | "serial" | "status">;

/**
 * A packet as bytes.
 *
 * @param files descriptors that will follow, each with one byte of its own
 */
export function packetBytes(head: PacketHead, body: Uint8Array, files = 0): Uint8Array<ArrayBuffer> {
  const countBytes = files > 0 ? 4 : 0;
  const length = HEADER_BYTES + countBytes + body.length;
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  const { program, procedure, type, serial, status } = head;
  view.setUint32(0, length);
  view.setUint32(4, program);
  view.setUint32(8, VERSION);
  view.setUint32(12, procedure);
  view.setUint32(16, type);
  view.setUint32(20, serial);
  view.setUint32(24, status);
  if (files > 0) view.setUint32(HEADER_BYTES, files);
  bytes.set(body, HEADER_BYTES + countBytes);
  return bytes;
}

/** Cuts a stream into packets. */
export class PacketReader {
  readonly #sink: (packet: Packet) => void;
  #store: Uint8Array<ArrayBuffer> = new Uint8Array(FIRST_BYTES);
  #stored = 0;
  /** Descriptors that came and that no packet has claimed yet: they are behind the packet's bytes. */
  #fds: number[] = [];

  /** Starts at the beginning of a packet. */
  constructor(sink: (packet: Packet) => void) {
    this.#sink = sink;
  }

  /**
   * Takes the next bytes.
   *
   * @param fds descriptors that came with them, the reader's from now on
   * @returns what is wrong with them; "" when nothing is
   */
  push(bytes: Uint8Array<ArrayBuffer>, fds: readonly number[] = []): string {
    this.#fds.push(...fds);
    if (this.#fds.length > 2 * MAX_FILES) return `${this.#fds.length} descriptors that nobody asked for`;
    // Only what is torn is put together.
    if (this.#stored === 0) {
      const taken = this.#take(bytes);
      if (typeof taken === "string") return taken;
      this.#keep(bytes.subarray(taken));
      return "";
    }
    this.#keep(bytes);
    const taken = this.#take(this.#store.subarray(0, this.#stored));
    if (typeof taken === "string") return taken;
    this.#store.copyWithin(0, taken, this.#stored);
    this.#stored -= taken;
    // What one long answer needed is not kept for ever.
    if (this.#stored < FIRST_BYTES && this.#store.length > 1 << 18) {
      this.#store = this.#store.slice(0, 1 << 16);
    }
    return "";
  }

  /** The stream has ended: what nobody has claimed is closed. */
  close(): void {
    closeForeign(this.#fds.splice(0));
  }

  /** Takes the packets that are all there: their bytes, or what is wrong with one. */
  #take(bytes: Uint8Array<ArrayBuffer>): number | string {
    let at = 0;
    for (;;) {
      const taken = this.#one(bytes, at);
      if (typeof taken === "string") return taken;
      if (taken === 0) return at;
      at += taken;
    }
  }

  /** Takes one packet: its bytes, 0 when it is not all there, or what is wrong with it. */
  #one(bytes: Uint8Array<ArrayBuffer>, at: number): number | string {
    if (bytes.length - at < 4) return 0;
    const view = new DataView(bytes.buffer, bytes.byteOffset + at, bytes.length - at);
    const length = view.getUint32(0);
    if (length < HEADER_BYTES || length > MAX_PACKET_BYTES) return `a packet of ${length} bytes`;
    if (view.byteLength >= 12 && view.getUint32(8) !== VERSION) {
      return `a packet of version ${view.getUint32(8)} of its program`;
    }
    if (view.byteLength < length) return 0;
    const type = view.getUint32(16);
    const hasFiles = type === PACKET.REPLY_WITH_FILES || type === PACKET.CALL_WITH_FILES;
    if (hasFiles && length < HEADER_BYTES + 4) return "a packet without its number of descriptors";
    const files = hasFiles ? view.getUint32(HEADER_BYTES) : 0;
    if (files > MAX_FILES) return `a packet with ${files} descriptors`;
    // Each descriptor comes with one byte behind the packet.
    if (view.byteLength < length + files) return 0;
    if (this.#fds.length < files) return "a packet without its descriptors";
    this.#sink({
      program: view.getUint32(4),
      procedure: view.getUint32(12),
      type: type === PACKET.REPLY_WITH_FILES ? PACKET.REPLY : type,
      serial: view.getUint32(20),
      status: view.getUint32(24),
      body: bytes.slice(at + HEADER_BYTES + (hasFiles ? 4 : 0), at + length),
      fds: this.#fds.splice(0, files),
    });
    return length + files;
  }

  #keep(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    const needed = this.#stored + bytes.length;
    if (needed > this.#store.length) {
      const grown = new Uint8Array(Math.max(2 * this.#store.length, needed));
      grown.set(this.#store.subarray(0, this.#stored));
      this.#store = grown;
    }
    this.#store.set(bytes, this.#stored);
    this.#stored = needed;
  }
}
