/**
 * The wire frame of the control socket (PROTOCOL.md): 96 bytes of header and inline zone, then the body.
 * Encoding writes into a buffer that the caller owns, decoding checks everything that the protocol calls a
 * protocol error before it touches the event; neither allocates. `origin` never travels.
 * @module
 */
import type { EndpointId } from "../base/ids.ts";
import type { Dir } from "../event/defaults.ts";
import type { Kind } from "../event/kind.ts";
import type { Source } from "../event/source.ts";
import { readU64, writeU64 } from "../base/layout.ts";
import { FRAME_HEADER_BYTES, INLINE_BYTES, MAX_BODY_BYTES, MAX_FRAME_FDS } from "../base/limits.ts";
import { DIR } from "../event/defaults.ts";
import { CLASS, KIND, kindClass } from "../event/kind.ts";
import { type Prio, PRIO_COUNT } from "../event/priority.ts";
import { BODY, type TransferEvent } from "../event/transfer_event.ts";

/** The bytes `VSG1`. */
export const FRAME_MAGIC = 0x31475356;

/** Offsets of the header's fields. */
export const FRAME = {
  magic: 0,
  kind: 4,
  source: 6,
  dir: 7,
  prio: 8,
  bodyFormat: 9,
  fds: 10,
  endpoint: 12,
  seq: 16,
  corr: 20,
  bodyBytes: 24,
  reserved: 28,
  tsNs: 32,
  token: 40,
  inline: 48,
  body: 96,
} as const;

/**
 * Writes one event as a frame.
 *
 * @param event what to send
 * @param seq the receiver's sequence number (UP), 0 DOWN
 * @param view over the buffer
 * @param bytes the same buffer
 * @param offset where the frame starts
 * @returns the frame's length in bytes
 */
export function encodeFrame(
  event: TransferEvent,
  seq: number,
  view: DataView,
  bytes: Uint8Array,
  offset: number,
): number {
  view.setUint32(offset, FRAME_MAGIC, true);
  view.setUint16(offset + FRAME.kind, event.kind, true);
  view.setUint8(offset + FRAME.source, event.source);
  view.setUint8(offset + FRAME.dir, event.dir);
  view.setUint8(offset + FRAME.prio, event.prio);
  view.setUint8(offset + FRAME.bodyFormat, event.bodyFormat);
  view.setUint16(offset + FRAME.fds, event.fds.length, true);
  view.setUint32(offset + FRAME.endpoint, event.endpoint, true);
  view.setUint32(offset + FRAME.seq, seq, true);
  view.setUint32(offset + FRAME.corr, event.corr, true);
  view.setUint32(offset + FRAME.bodyBytes, event.bodyBytes, true);
  view.setUint32(offset + FRAME.reserved, 0, true);
  writeU64(view, offset + FRAME.tsNs, event.tsNs);
  writeU64(view, offset + FRAME.token, event.dir === DIR.DOWN ? event.token : 0);
  const words = event.words;
  for (let i = 0; i < INLINE_BYTES / 4; i++) {
    view.setUint32(offset + FRAME.inline + 4 * i, words[i] as number, true);
  }
  if (event.bodyBytes > 0) bytes.set(event.bodyView(), offset + FRAME.body);
  return FRAME_HEADER_BYTES + event.bodyBytes;
}

/** What is wrong with a frame; an empty string when nothing is. Fit for an ERROR's 40 bytes of text. */
export type FrameDefect =
  | ""
  | "short frame"
  | "bad magic"
  | "unknown kind"
  | "wrong direction for the kind"
  | "bad priority"
  | "bad body format"
  | "body length does not match"
  | "reserved field is not 0"
  | "number of fds does not match";

/**
 * Checks a received packet before anything in it is believed.
 *
 * @param view over the receive buffer
 * @param offset where the packet starts
 * @param length how long it is
 * @param fdCount how many file descriptors really came with it
 */
export function checkFrame(view: DataView, offset: number, length: number, fdCount: number): FrameDefect {
  if (length < FRAME_HEADER_BYTES) return "short frame";
  if (view.getUint32(offset, true) !== FRAME_MAGIC) return "bad magic";
  const kind = view.getUint16(offset + FRAME.kind, true) as Kind;
  const way = kindClass(kind);
  if (way === CLASS.UNKNOWN || way === CLASS.LOCAL) return "unknown kind";
  const dir = view.getUint8(offset + FRAME.dir) as Dir;
  if (dir > DIR.DOWN) return "wrong direction for the kind";
  if (way === CLASS.UP && dir !== DIR.UP) return "wrong direction for the kind";
  if (way === CLASS.DOWN && dir !== DIR.DOWN) return "wrong direction for the kind";
  if (way === CLASS.HANDSHAKE && (kind === KIND.HELLO) !== (dir === DIR.DOWN)) {
    return "wrong direction for the kind";
  }
  if (view.getUint8(offset + FRAME.prio) >= PRIO_COUNT) return "bad priority";
  const bodyBytes = view.getUint32(offset + FRAME.bodyBytes, true);
  if (bodyBytes > MAX_BODY_BYTES || length !== FRAME_HEADER_BYTES + bodyBytes) {
    return "body length does not match";
  }
  const format = view.getUint8(offset + FRAME.bodyFormat);
  if (format > BODY.CBOR || (format === BODY.NONE && bodyBytes > 0)) return "bad body format";
  if (view.getUint32(offset + FRAME.reserved, true) !== 0) return "reserved field is not 0";
  const fds = view.getUint16(offset + FRAME.fds, true);
  if (fds > MAX_FRAME_FDS || fds !== fdCount) return "number of fds does not match";
  return "";
}

/** The length of a checked frame's body. */
export function bodyBytesOf(view: DataView, offset: number): number {
  return view.getUint32(offset + FRAME.bodyBytes, true);
}

/**
 * Reads a checked frame into an event; the body is copied, fds are the caller's to hand over.
 *
 * @param event a blank event
 * @param bytes the receive buffer
 * @param view over it
 * @param offset where the frame starts
 * @param copiesBody false to leave the body where it is: the event then has none, but says how long it was
 */
export function decodeFrame(
  event: TransferEvent,
  bytes: Uint8Array,
  view: DataView,
  offset: number,
  copiesBody = true,
): void {
  event.kind = view.getUint16(offset + FRAME.kind, true) as Kind;
  event.source = view.getUint8(offset + FRAME.source) as Source;
  event.dir = view.getUint8(offset + FRAME.dir) as Dir;
  event.prio = view.getUint8(offset + FRAME.prio) as Prio;
  event.endpoint = view.getUint32(offset + FRAME.endpoint, true) as EndpointId;
  event.seq = view.getUint32(offset + FRAME.seq, true);
  event.corr = view.getUint32(offset + FRAME.corr, true);
  event.tsNs = readU64(view, offset + FRAME.tsNs);
  event.token = readU64(view, offset + FRAME.token);
  const words = event.words;
  for (let i = 0; i < INLINE_BYTES / 4; i++) {
    words[i] = view.getUint32(offset + FRAME.inline + 4 * i, true);
  }
  const bodyBytes = view.getUint32(offset + FRAME.bodyBytes, true);
  const format = view.getUint8(offset + FRAME.bodyFormat);
  if (bodyBytes > 0 && copiesBody) event.copyBody(format, bytes, offset + FRAME.body, bodyBytes);
  else {
    event.bodyFormat = format;
    event.bodyBytes = bodyBytes;
  }
}
