/**
 * The header of requests and of messages from a host to a session: 24 bytes, little-endian.
 *
 * | offset | type | field                                                                                  |
 * | ------ | ---- | -------------------------------------------------------------------------------------- |
 * | 0      | u8   | version of this envelope: 1                                                            |
 * | 1      | u8   | what it is, see {@linkcode OP}                                                         |
 * | 2      | u16  | 0                                                                                      |
 * | 4      | u32  | number: of the request in its session, or of the one that is answered; 0 = none        |
 * | 8      | f64  | down: until when the request may be begun; up: now. Both ms, by the host's clock alone |
 * | 16     | u32  | down: which life of the endpoint's number is meant (host entry); up: 0                 |
 * | 20     | u32  | 0                                                                                      |
 * | 24     | byte[] | a frame of the control protocol, JSON, or nothing                                    |
 *
 * Clocks are never compared: a session measures time from the newest time received from the host, which is
 * never ahead of the host's clock, so that a deadline never becomes later than intended.
 * @module
 */

/** The version of the envelope. */
export const ENVELOPE_VERSION = 1;
/** Bytes of an envelope. */
export const ENVELOPE_BYTES = 24;

/** Message types. */
export const OP = {
  /** Down: a session begins. Body: JSON {@linkcode OpenBody}. */
  OPEN: 1,
  /** Down: a command. Body: a frame. */
  COMMAND: 2,
  /** Down: keepalive of the session. */
  ALIVE: 3,
  /** Down: asks for the outcome of a request; also of an ended session. */
  ASK: 4,
  /** Down: the session ends. */
  CLOSE: 5,
  /** Down: a picture of a watched screen was received, the next one may be sent. */
  SHOWN: 6,
  /** Down: a query about a guest's memory. Body: JSON. */
  MEMORY: 7,
  /** Up: the session is open. Body: the daemon's WELCOME. */
  OPENED: 64,
  /** Up: a command's answer. Body: a frame. */
  ANSWER: 65,
  /** Up: an event for this session. Body: a frame. */
  EVENT: 66,
  /** Up: a part of a picture, see `picture_parts.ts`. */
  PICTURE: 67,
  /** Up: the outcome of a request without an answer (yet). Body: one byte, {@linkcode FATE}. */
  FATE: 68,
  /** Up: the session is not opened, or a request could not be parsed. Body: JSON {@linkcode RefusalBody}. */
  REFUSED: 69,
  /** Up: the session has ended. Body: JSON {@linkcode RefusalBody}. */
  ENDED: 70,
  /** Up: lines of output about a guest's memory. Body: JSON. */
  LINES: 71,
} as const;
/** One of {@linkcode OP}. */
export type Op = typeof OP[keyof typeof OP];

/** The outcome of a request. */
export const FATE = {
  /** It is being carried out. */
  PENDING: 1,
  /** It never arrived, and will be refused if it does. */
  NEVER: 2,
  /** It was answered so long ago that the answer is not kept. */
  FORGOTTEN: 3,
  /** Its session ended while it was being carried out; an older reader treats it as FORGOTTEN. */
  LOST: 4,
  /** Nothing is known of its session. */
  NO_SESSION: 5,
} as const;

/** The contents of the opening message. */
export interface OpenBody {
  /** The envelope version of the reader. */
  readonly v: number;
  /** The reader's version of vmsig. */
  readonly vmsig: string;
  /** The name in the log and audit trail. */
  readonly name: string;
  /** Time without a message after which the session ends, ms. */
  readonly ttlMs: number;
}

/** The reason for a refusal. */
export interface RefusalBody {
  /** The code's name. */
  readonly code: string;
  /** The message. */
  readonly text: string;
}

/** A parsed envelope. */
export interface Envelope {
  /** Its type, which may be unknown. */
  readonly op: number;
  /** The request's number. */
  readonly seq: number;
  /** Deadline or now, ms of the host's clock. */
  readonly atMs: number;
  /** The life of the endpoint's number. */
  readonly life: number;
  /** Its body; not copied. */
  readonly body: Uint8Array;
}

/** Makes an envelope around a body. */
export function sealed(
  op: Op,
  { seq = 0, atMs = 0, life = 0 }: { readonly seq?: number; readonly atMs?: number; readonly life?: number },
  body: Uint8Array = new Uint8Array(0),
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(ENVELOPE_BYTES + body.length);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, ENVELOPE_VERSION);
  view.setUint8(1, op);
  view.setUint32(4, seq, true);
  view.setFloat64(8, atMs, true);
  view.setUint32(16, life, true);
  bytes.set(body, ENVELOPE_BYTES);
  return bytes;
}

/** Writes an envelope before a body. @param view of ENVELOPE_BYTES */
export function sealInto(view: DataView, op: Op, seq: number, atMs: number, life = 0): void {
  view.setUint8(0, ENVELOPE_VERSION);
  view.setUint8(1, op);
  view.setUint16(2, 0);
  view.setUint32(4, seq, true);
  view.setFloat64(8, atMs, true);
  view.setUint32(16, life, true);
  view.setUint32(20, 0, true);
}

/** Parses an envelope; undefined if it is not one of this version. */
export function opened(bytes: Uint8Array): Envelope | undefined {
  if (bytes.length < ENVELOPE_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (view.getUint8(0) !== ENVELOPE_VERSION || view.getUint16(2, true) !== 0) return undefined;
  if (view.getUint32(20, true) !== 0) return undefined;
  const atMs = view.getFloat64(8, true);
  if (!(atMs >= 0 && atMs <= Number.MAX_SAFE_INTEGER)) return undefined;
  return {
    op: view.getUint8(1),
    seq: view.getUint32(4, true),
    atMs,
    life: view.getUint32(16, true),
    body: bytes.subarray(ENVELOPE_BYTES),
  };
}

/** A copy in memory of its own. The library's arrays may be Buffers, whose `slice` does not copy. */
export function copied(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes);
}
