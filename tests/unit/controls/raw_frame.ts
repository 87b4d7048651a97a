/**
 * Frames as src/event/PROTOCOL.md says, byte by byte, without a line of the code under test.
 * @module
 */
import { decode, encode } from "cborg";

/** Fields of a frame; what is left out is 0. */
export interface RawFrame {
  readonly magic?: number;
  readonly kind?: number;
  readonly source?: number;
  readonly dir?: number;
  readonly prio?: number;
  readonly format?: number;
  readonly fds?: number;
  readonly endpoint?: number;
  readonly seq?: number;
  readonly corr?: number;
  readonly bodyBytes?: number;
  readonly reserved?: number;
  readonly tsNs?: bigint;
  readonly token?: bigint;
  readonly words?: readonly number[];
  readonly body?: Uint8Array;
}

/** The frame's bytes. `bodyBytes` is the body's length unless it is given. */
export function rawFrame(frame: RawFrame): Uint8Array<ArrayBuffer> {
  const body = frame.body ?? new Uint8Array(0);
  const bytes = new Uint8Array(96 + body.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, frame.magic ?? 0x31475356, true);
  view.setUint16(4, frame.kind ?? 0, true);
  view.setUint8(6, frame.source ?? 0);
  view.setUint8(7, frame.dir ?? 1);
  view.setUint8(8, frame.prio ?? 1);
  view.setUint8(9, frame.format ?? (body.length > 0 ? 1 : 0));
  view.setUint16(10, frame.fds ?? 0, true);
  view.setUint32(12, frame.endpoint ?? 0, true);
  view.setUint32(16, frame.seq ?? 0, true);
  view.setUint32(20, frame.corr ?? 0, true);
  view.setUint32(24, frame.bodyBytes ?? body.length, true);
  view.setUint32(28, frame.reserved ?? 0, true);
  view.setBigUint64(32, frame.tsNs ?? 0n, true);
  view.setBigUint64(40, frame.token ?? 0n, true);
  frame.words?.forEach((word, i) => view.setUint32(48 + 4 * i, word, true));
  bytes.set(body, 96);
  return bytes;
}

/** A HELLO. */
export function rawHello(map: Record<string, unknown> = {}): Uint8Array<ArrayBuffer> {
  const body = encode({ proto: 1, name: "test", sub: { sources: 0x7f, prio_min: 0, endpoints: 0 }, ...map });
  return rawFrame({ kind: 96, format: 2, body });
}

/** A frame that was received. */
export interface ParsedFrame {
  readonly kind: number;
  readonly source: number;
  readonly dir: number;
  readonly prio: number;
  readonly format: number;
  readonly fdCount: number;
  readonly endpoint: number;
  readonly seq: number;
  readonly corr: number;
  readonly token: bigint;
  readonly words: readonly number[];
  readonly body: Uint8Array;
}

/** Takes a frame's bytes apart. */
export function parseFrame(bytes: Uint8Array): ParsedFrame {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0, true) !== 0x31475356) throw new Error("a frame of the daemon has the magic");
  if (view.getUint32(24, true) !== bytes.length - 96) throw new Error("a frame's body is as long as it says");
  if (view.getUint32(28, true) !== 0) throw new Error("the reserved field is 0");
  return {
    kind: view.getUint16(4, true),
    source: view.getUint8(6),
    dir: view.getUint8(7),
    prio: view.getUint8(8),
    format: view.getUint8(9),
    fdCount: view.getUint16(10, true),
    endpoint: view.getUint32(12, true),
    seq: view.getUint32(16, true),
    corr: view.getUint32(20, true),
    token: view.getBigUint64(40, true),
    words: Array.from({ length: 12 }, (_, i) => view.getUint32(48 + 4 * i, true)),
    body: bytes.slice(96),
  };
}

/** A CBOR body as a map. */
export function cborOf(frame: ParsedFrame): Record<string, unknown> {
  if (frame.format !== 2) throw new Error("the body is CBOR");
  return decode(frame.body) as Record<string, unknown>;
}
