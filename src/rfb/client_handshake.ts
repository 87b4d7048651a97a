/**
 * The client's part of RFB's handshake (RFC 6143, 7.1 to 7.3): version, security, the server's picture. It is
 * handed bytes as they come, in pieces of any size, and says what to send; it keeps at most
 * {@linkcode KEPT_TEXT_BYTES} of any text, whatever length the server claims.
 *
 * Versions: 3.3, 3.7 and 3.8; other minors of 3 below 7 count as 3.3, and what is higher than 3.8 (some
 * servers say 4 or 3.889) is answered by 3.8, which they take.
 * @module
 */
import { assert } from "../base/assert.ts";
import { Fault } from "../base/fault.ts";
import { printable } from "../base/printable.ts";
import { type PixelFormat, readPixelFormat } from "./pixel_format.ts";
import { CHALLENGE_BYTES, KEPT_TEXT_BYTES, PIXEL_FORMAT_BYTES, SECURITY, VERSION_BYTES } from "./protocol.ts";
import { vncResponse } from "./vnc_auth.ts";

/** What the server says of its picture at the end of the handshake. */
export interface ServerInit {
  /** Pixels in a row; 0 is possible. */
  readonly width: number;
  /** Rows; 0 is possible. */
  readonly height: number;
  /** What it would send if nobody asked for another. */
  readonly format: PixelFormat;
  /** Its name, cut; from outside. */
  readonly name: string;
}

/** How a client presents itself. */
export interface HandshakeOptions {
  /** For servers that ask for one; undefined: a server that does is refused. */
  readonly password?: string | undefined;
  /** Whether other clients may stay. */
  readonly shared: boolean;
}

type Step =
  | "version"
  | "security-3.3"
  | "security-count"
  | "security-list"
  | "challenge"
  | "result"
  | "init"
  /** A length comes: of the name, or, when we were refused, of the reason. */
  | "text-length"
  | "text"
  | "done";

const SERVER_INIT_BYTES = 4 + PIXEL_FORMAT_BYTES;

/** A handshake under way. */
export class ClientHandshake {
  readonly #options: HandshakeOptions;
  readonly #send: (bytes: Uint8Array<ArrayBuffer>) => void;
  #step: Step = "version";
  #minor = 8;
  /** What the server refused, while its reason is read. */
  #refused = "";
  #types = 0;
  #textLeft = 0;
  #text = "";
  #init: Omit<ServerInit, "name"> | undefined;

  /**
   * Starts one; the server speaks first.
   *
   * @param send takes what is to be sent, in order
   */
  constructor(options: HandshakeOptions, send: (bytes: Uint8Array<ArrayBuffer>) => void) {
    this.#options = options;
    this.#send = send;
  }

  /** What the server has said, once the handshake is over; then what follows are messages. */
  get result(): ServerInit | undefined {
    if (this.#step !== "done") return undefined;
    assert(this.#init !== undefined, "a handshake ends with the server's picture");
    return { ...this.#init, name: this.#text };
  }

  /**
   * Goes on with what has come.
   *
   * @param bytes the bytes from `from` to `to`
   * @returns how many were used; hand in the rest again, with more behind it
   * @throws {Fault} `protocol-error`; `refused` when the server does not let us in, with its reason;
   *   `not-supported` when it has no security that we know
   */
  feed(bytes: Uint8Array<ArrayBuffer>, from: number, to: number): number {
    assert(from >= 0 && to <= bytes.length && from <= to, "what is read lies in its buffer");
    let at = from;
    for (let used = -1; used !== 0 && this.#step !== "done"; at += used) {
      used = this.#one(bytes.subarray(at, to));
    }
    return at - from;
  }

  /** Takes one step; 0 when there is too little for it. */
  #one(bytes: Uint8Array<ArrayBuffer>): number {
    switch (this.#step) {
      case "version":
        return bytes.length < VERSION_BYTES ? 0 : this.#version(bytes.subarray(0, VERSION_BYTES));
      case "security-3.3":
        return bytes.length < 4 ? 0 : this.#security33(u32(bytes, 0));
      case "security-count":
        return bytes.length < 1 ? 0 : this.#securityCount(bytes[0] as number);
      case "security-list":
        return bytes.length < this.#types ? 0 : this.#securityList(bytes.subarray(0, this.#types));
      case "challenge":
        return bytes.length < CHALLENGE_BYTES ? 0 : this.#challenge(bytes.subarray(0, CHALLENGE_BYTES));
      case "result":
        return bytes.length < 4 ? 0 : this.#result(u32(bytes, 0));
      case "text-length":
        return bytes.length < 4 ? 0 : this.#textBegins(u32(bytes, 0));
      case "init":
        return bytes.length < SERVER_INIT_BYTES ? 0 : this.#serverInit(bytes.subarray(0, SERVER_INIT_BYTES));
      case "text":
        return this.#textGoesOn(bytes);
      case "done":
        return 0;
    }
  }

  #version(line: Uint8Array): number {
    const text = String.fromCharCode(...line);
    const match = /^RFB (\d{3})\.(\d{3})\n$/.exec(text);
    const major = Number(match?.[1] ?? 0);
    if (match === null || major < 3) {
      throw new Fault("protocol-error", `Cannot speak RFB: the other side begins with ${printable(text)}`);
    }
    const minor = Number(match[2]);
    this.#minor = major > 3 || minor >= 8 ? 8 : minor === 7 ? 7 : 3;
    this.#send(new Uint8Array(new TextEncoder().encode(`RFB 003.00${this.#minor}\n`)));
    this.#step = this.#minor === 3 ? "security-3.3" : "security-count";
    return VERSION_BYTES;
  }

  #security33(type: number): number {
    if (type === SECURITY.INVALID) this.#refuse("the connection");
    else if (type === SECURITY.NONE) this.#clientInit();
    else if (type === SECURITY.VNC) this.#step = "challenge";
    else throw noSecurity([type]);
    return 4;
  }

  #securityCount(count: number): number {
    this.#types = count;
    if (count === 0) this.#refuse("the connection");
    else this.#step = "security-list";
    return 1;
  }

  #securityList(types: Uint8Array): number {
    if (types.includes(SECURITY.NONE)) {
      this.#send(new Uint8Array([SECURITY.NONE]));
      // Only 3.8 answers this.
      if (this.#minor === 8) this.#step = "result";
      else this.#clientInit();
    } else if (types.includes(SECURITY.VNC)) {
      this.#send(new Uint8Array([SECURITY.VNC]));
      this.#step = "challenge";
    } else throw noSecurity([...types]);
    return this.#types;
  }

  #challenge(challenge: Uint8Array): number {
    const { password } = this.#options;
    if (password === undefined) {
      throw new Fault("refused", "Cannot enter the VNC server: it asks for a password, and none is given");
    }
    this.#send(vncResponse(password, challenge));
    this.#step = "result";
    return CHALLENGE_BYTES;
  }

  #result(result: number): number {
    if (result === 0) this.#clientInit();
    else if (this.#minor === 8) this.#refuse("us");
    else throw new Fault("refused", "Cannot enter the VNC server: it refuses us; is the password right?");
    return 4;
  }

  #refuse(what: string): void {
    this.#refused = what;
    this.#step = "text-length";
  }

  #clientInit(): void {
    this.#send(new Uint8Array([this.#options.shared ? 1 : 0]));
    this.#step = "init";
  }

  #serverInit(bytes: Uint8Array<ArrayBuffer>): number {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#init = { width: view.getUint16(0), height: view.getUint16(2), format: readPixelFormat(view, 4) };
    this.#step = "text-length";
    return SERVER_INIT_BYTES;
  }

  #textBegins(length: number): number {
    this.#textLeft = length;
    this.#step = "text";
    if (length === 0) this.#textEnds();
    return 4;
  }

  #textGoesOn(bytes: Uint8Array): number {
    const used = Math.min(bytes.length, this.#textLeft);
    const kept = Math.min(used, KEPT_TEXT_BYTES - this.#text.length);
    // Latin-1, as the protocol has it; what is UTF-8 in it is shown escaped.
    if (kept > 0) this.#text += String.fromCharCode(...bytes.subarray(0, kept));
    this.#textLeft -= used;
    if (this.#textLeft === 0) this.#textEnds();
    return used;
  }

  #textEnds(): void {
    if (this.#init !== undefined) {
      this.#step = "done";
      return;
    }
    const why = this.#text === "" ? "without a reason" : `"${printable(this.#text)}"`;
    throw new Fault("refused", `Cannot enter the VNC server: it refuses ${this.#refused}: ${why}`);
  }
}

function noSecurity(types: readonly number[]): Fault {
  return new Fault(
    "not-supported",
    `Cannot enter the VNC server: it wants security ${
      types.join(", ")
    }, and vmsig knows 1 (none) and 2 (VNC password); let it offer one of these`,
  );
}

function u32(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 24 | (bytes[at + 1] as number) << 16 | (bytes[at + 2] as number) << 8 |
    (bytes[at + 3] as number)) >>> 0;
}
