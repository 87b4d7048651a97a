/**
 * D-Bus messages: the head with its fields, read and written. The body stays where it is: small ones are read
 * by a WireReader, pictures as they come.
 * @module
 */
import { Fault } from "../base/fault.ts";
import { checkSignature } from "./signature.ts";
import { WireReader } from "./wire_reader.ts";
import { WireWriter } from "./wire_writer.ts";

/** Kinds of messages. */
export const MESSAGE = { CALL: 1, RETURN: 2, ERROR: 3, SIGNAL: 4 } as const;
/** A kind of message. */
export type MessageType = (typeof MESSAGE)[keyof typeof MESSAGE];
/** Bytes before the fields. */
export const FIXED_HEAD_BYTES = 16;
/** Bytes of a head at most: its fields are names. */
export const MAX_HEAD_BYTES = 16_384;
/** The message needs no answer. */
const NO_REPLY = 1;
const LITTLE = 0x6c;
const BIG = 0x42;
const VERSION = 1;

/** A message's head. */
export interface MessageHead {
  /** What it is; types that nobody knows are to be ignored. */
  readonly type: MessageType | number;
  /** Whether the other side waits for an answer. */
  readonly wantsReply: boolean;
  /** Its number; never 0. */
  readonly serial: number;
  /** Object, of a call or signal. */
  readonly path?: string;
  /** Interface. */
  readonly interface?: string;
  /** Method or signal. */
  readonly member?: string;
  /** Name of an error. */
  readonly error?: string;
  /** Which message this answers. */
  readonly replyTo?: number;
  /** The body's types. */
  readonly signature: string;
  /** Descriptors that come with it. */
  readonly fds: number;
  /** Bytes of the body. */
  readonly bodyBytes: number;
  /** Whether its numbers are little endian. */
  readonly isLittle: boolean;
}

/** What the first 16 bytes tell. */
export interface FixedHead {
  /** Bytes of the whole head, up to the body. */
  readonly headBytes: number;
  /** Bytes of the body. */
  readonly bodyBytes: number;
}

/**
 * Reads the first 16 bytes.
 *
 * @param maxBodyBytes what a body may have
 * @throws {Fault} `protocol-error`, `too-large`
 */
export function readFixedHead(bytes: Uint8Array<ArrayBuffer>, at: number, maxBodyBytes: number): FixedHead {
  const order = bytes[at];
  if (order !== LITTLE && order !== BIG) throw wrong("its order of bytes is unknown");
  if (bytes[at + 3] !== VERSION) throw wrong(`it is of version ${bytes[at + 3]}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, FIXED_HEAD_BYTES);
  const bodyBytes = view.getUint32(4, order === LITTLE);
  const headBytes = Math.ceil((FIXED_HEAD_BYTES + view.getUint32(12, order === LITTLE)) / 8) * 8;
  if (headBytes > MAX_HEAD_BYTES) {
    throw new Fault("too-large", `Cannot read a D-Bus message: its head has ${headBytes} bytes`);
  }
  if (bodyBytes > maxBodyBytes) {
    throw new Fault("too-large", `Cannot read a D-Bus message: it has ${bodyBytes} bytes`);
  }
  return { headBytes, bodyBytes };
}

/**
 * Reads a head that is there whole.
 *
 * @param bytes begins with the message, as alignment counts from there
 * @throws {Fault} `protocol-error`
 */
export function readHead(bytes: Uint8Array<ArrayBuffer>, { headBytes, bodyBytes }: FixedHead): MessageHead {
  const isLittle = bytes[0] === LITTLE;
  const reader = new WireReader(bytes, isLittle, 8, headBytes);
  const serial = reader.u32();
  if (serial === 0) throw wrong("its number is 0");
  const fields = new Map<number, string | number>();
  for (const end = reader.arrayEnd(8); reader.position < end;) {
    reader.align(8);
    const code = reader.u8();
    const value = reader.value("v");
    if (code >= 1 && code <= 9) fields.set(code, fieldOf(code, value));
  }
  const flags = bytes[2] as number;
  const type = bytes[1] as number;
  const head = {
    type,
    wantsReply: type === MESSAGE.CALL && (flags & NO_REPLY) === 0,
    serial,
    path: fields.get(1) as string | undefined,
    interface: fields.get(2) as string | undefined,
    member: fields.get(3) as string | undefined,
    error: fields.get(4) as string | undefined,
    replyTo: fields.get(5) as number | undefined,
    signature: fields.get(8) as string | undefined ?? "",
    fds: fields.get(9) as number | undefined ?? 0,
    bodyBytes,
    isLittle,
  };
  if (head.signature === "" && bodyBytes > 0) throw wrong("it has a body without a signature");
  // What is absent is left out.
  return Object.fromEntries(
    Object.entries(head).filter(([, value]) => value !== undefined),
  ) as unknown as MessageHead;
}

/** What is to be sent. */
export interface OutgoingMessage {
  /** Its kind. */
  readonly type: MessageType;
  /** Its number. */
  readonly serial: number;
  /** Whether an answer is wanted; true unless told. */
  readonly wantsReply?: boolean;
  /** Object. */
  readonly path?: string;
  /** Interface. */
  readonly interface?: string;
  /** Method. */
  readonly member?: string;
  /** Name of an error. */
  readonly error?: string;
  /** Which message it answers. */
  readonly replyTo?: number;
  /** The body's types; without one there is no body. */
  readonly signature?: string;
  /** Writes the body. */
  readonly body?: (writer: WireWriter) => void;
  /** Descriptors that go with it. */
  readonly fds?: number;
}

/** A message's bytes. */
export function writeMessage(message: OutgoingMessage): Uint8Array<ArrayBuffer> {
  const body = new WireWriter();
  message.body?.(body);
  const out = new WireWriter();
  out.u8(LITTLE).u8(message.type).u8(message.wantsReply === false ? NO_REPLY : 0).u8(VERSION);
  out.u32(body.length).u32(message.serial);
  const field = (code: number, signature: string, write: () => void): void => {
    out.align(8).u8(code).signature(signature);
    write();
  };
  const text = (code: number, signature: "o" | "s", value: string | undefined): void => {
    if (value !== undefined) field(code, signature, () => out.text(value));
  };
  out.array(8, () => {
    text(1, "o", message.path);
    text(2, "s", message.interface);
    text(3, "s", message.member);
    text(4, "s", message.error);
    const { replyTo, signature, fds } = message;
    if (replyTo !== undefined) field(5, "u", () => out.u32(replyTo));
    if (signature !== undefined) field(8, "g", () => out.signature(signature));
    if (fds !== undefined) field(9, "u", () => out.u32(fds));
  });
  return out.align(8).raw(body.bytes).bytes;
}

/**
 * Fields by their number: 5 and 9 are numbers, the others texts. Field 8 is a signature, and is checked as
 * one also where it was sent as a text.
 */
function fieldOf(code: number, value: unknown): string | number {
  const isNumber = code === 5 || code === 9;
  if (isNumber ? typeof value !== "number" : typeof value !== "string") {
    throw wrong(`its field ${code} is of another type`);
  }
  if (code === 8) checkSignature(value as string);
  return value as string | number;
}

function wrong(why: string): Fault {
  return new Fault("protocol-error", `Cannot read a D-Bus message: ${why}`);
}
