/**
 * Packets of GDB's remote serial protocol ("Debugging with GDB", appendix E): `$body#checksum`, acknowledged
 * by `+` until both sides agree to omit that, and between them the byte 0x03, which interrupts. In a body,
 * `}` escapes the next byte. The input is untrusted: packets are bounded, and one that is too long ends its
 * connection.
 * @module
 */
import { Fault } from "../../base/fault.ts";
import { MAX_GDB_PACKET } from "../../base/limits.ts";

const DOLLAR = 0x24;
const HASH = 0x23;
const ESCAPE = 0x7d;
const STAR = 0x2a;
const PLUS = 0x2b;
const MINUS = 0x2d;
const INTERRUPT = 0x03;
const LATIN1 = new TextDecoder("latin1");

/** A received item. `body` is unescaped; `damaged`: its checksum is wrong. */
export type GdbInput =
  | { readonly what: "packet"; readonly body: Uint8Array<ArrayBuffer> }
  | { readonly what: "damaged" | "interrupt" | "ack" | "nak" };

/** Splits a stream of bytes into packets. */
export class PacketReader {
  readonly #body = new Uint8Array(MAX_GDB_PACKET);
  #length = 0;
  #sum = 0;
  #state: "between" | "body" | "escaped" | "first digit" | "second digit" = "between";
  #digit = 0;

  /**
   * The complete items so far.
   *
   * @throws {Fault} `too-large` for a packet of more than MAX_GDB_PACKET bytes
   */
  *push(bytes: Uint8Array): Generator<GdbInput, void, void> {
    for (const byte of bytes) {
      const input = this.#take(byte);
      if (input !== undefined) yield input;
    }
  }

  #take(byte: number): GdbInput | undefined {
    switch (this.#state) {
      case "between":
        return this.#between(byte);
      case "body":
        if (byte === HASH) {
          this.#state = "first digit";
          return undefined;
        }
        this.#sum = (this.#sum + byte) & 0xff;
        if (byte === ESCAPE) this.#state = "escaped";
        else this.#append(byte);
        return undefined;
      case "escaped":
        this.#state = "body";
        this.#sum = (this.#sum + byte) & 0xff;
        this.#append(byte ^ 0x20);
        return undefined;
      case "first digit":
        this.#digit = digitOf(byte);
        this.#state = "second digit";
        return undefined;
      case "second digit": {
        this.#state = "between";
        const sum = this.#digit * 16 + digitOf(byte);
        return sum === this.#sum
          ? { what: "packet", body: this.#body.slice(0, this.#length) }
          : { what: "damaged" };
      }
    }
  }

  #between(byte: number): GdbInput | undefined {
    switch (byte) {
      case DOLLAR:
        this.#state = "body";
        this.#length = this.#sum = 0;
        return undefined;
      case INTERRUPT:
        return { what: "interrupt" };
      case PLUS:
        return { what: "ack" };
      case MINUS:
        return { what: "nak" };
    }
    return undefined;
  }

  #append(byte: number): void {
    if (this.#length >= this.#body.length) {
      throw new Fault("too-large", `Cannot take a packet of GDB's: it has more than ${MAX_GDB_PACKET} bytes`);
    }
    this.#body[this.#length++] = byte;
  }
}

/** Makes a packet from a body: text with one byte per character, or bytes. */
export function packetOf(body: string | Uint8Array): Uint8Array<ArrayBuffer> {
  const plain = typeof body === "string" ? bytesOf(body) : body;
  const out = new Uint8Array(2 * plain.length + 4);
  out[0] = DOLLAR;
  let length = 1;
  let sum = 0;
  const put = (byte: number): void => {
    out[length++] = byte;
    sum = (sum + byte) & 0xff;
  };
  for (const byte of plain) {
    if (byte === DOLLAR || byte === HASH || byte === ESCAPE || byte === STAR) {
      put(ESCAPE);
      put(byte ^ 0x20);
    } else put(byte);
  }
  out[length++] = HASH;
  out.set(bytesOf(sum.toString(16).padStart(2, "0")), length);
  return out.slice(0, length + 2);
}

/** A body as text with one character per byte. */
export function textOfBody(body: Uint8Array): string {
  return LATIN1.decode(body);
}

/** Text of one byte per character as bytes; any other character becomes "?". */
export function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(text, (one) => {
    const code = one.codePointAt(0) as number;
    return code < 0x100 ? code : 0x3f;
  });
}

function digitOf(byte: number): number {
  const digit = parseInt(String.fromCharCode(byte), 16);
  return Number.isNaN(digit) ? 256 : digit;
}
