/**
 * The server's part of RFB's handshake (RFC 6143, 7.1 to 7.3), fed with bytes in pieces of any size: version,
 * security, whether others may stay (they may, whatever a viewer says). It keeps no more than one message's
 * bytes, and a viewer's words are compared and never shown.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { Fault } from "../../base/fault.ts";
import { CHALLENGE_BYTES, SECURITY, VERSION_BYTES } from "../protocol.ts";
import { vncResponse } from "../vnc_auth.ts";

/** What the handshake needs of its viewer. */
export interface HandshakeOwner {
  /** Sends bytes. */
  send(bytes: Uint8Array<ArrayBuffer>): void;
  /**
   * Whether a password may be tried now: a viewer that guesses has to wait. Asked once a viewer, when its
   * answer has come.
   */
  mayTry(): boolean;
  /** A wrong password came. */
  onWrongPassword(): void;
}

type Step = "version" | "security" | "answer" | "init" | "done";

/** Bytes that each step waits for. */
const WANTED: Readonly<Record<Step, number>> = {
  version: VERSION_BYTES,
  security: 1,
  answer: CHALLENGE_BYTES,
  init: 1,
  done: 0,
};

const OK = 0;
const FAILED = 1;

/** A handshake under way. */
export class ServerHandshake {
  readonly #owner: HandshakeOwner;
  readonly #password: string | undefined;
  #step: Step = "version";
  #minor = 8;
  #challenge = new Uint8Array(CHALLENGE_BYTES);

  /**
   * Starts one: says the server's version.
   *
   * @param password undefined: none is asked for
   */
  constructor(owner: HandshakeOwner, password: string | undefined) {
    this.#owner = owner;
    this.#password = password;
    owner.send(new Uint8Array(new TextEncoder().encode("RFB 003.008\n")));
  }

  /** Whether it is over, and messages follow. */
  get isDone(): boolean {
    return this.#step === "done";
  }

  /** How many bytes it waits for. */
  get wanted(): number {
    return WANTED[this.#step];
  }

  /**
   * Takes as many bytes as are {@linkcode wanted}.
   *
   * @throws {Fault} `protocol-error`; `refused` for a wrong password. What the viewer is to be told was sent
   */
  take(bytes: Uint8Array): void {
    assert(bytes.length === this.wanted && !this.isDone, "a step gets the bytes that it waits for");
    switch (this.#step) {
      case "version":
        return this.#version(bytes);
      case "security":
        return this.#security(bytes[0] as number);
      case "answer":
        return this.#answer(bytes);
      case "init":
        this.#step = "done";
        return;
      case "done":
        return;
    }
  }

  #version(line: Uint8Array): void {
    const minor = /^RFB 003\.(\d{3})\n$/.exec(String.fromCharCode(...line))?.[1];
    if (minor === undefined) {
      throw new Fault("protocol-error", "Cannot speak to the viewer: it is not one of RFB 3");
    }
    // Other numbers below 7 are treated as 3.3, as the standard says; 3.889 is a viewer of Apple's: 3.8.
    this.#minor = Number(minor) >= 8 ? 8 : minor === "007" ? 7 : 3;
    const type = this.#password === undefined ? SECURITY.NONE : SECURITY.VNC;
    if (this.#minor === 3) {
      this.#owner.send(new Uint8Array([0, 0, 0, type]));
      this.#begin(type);
    } else {
      this.#owner.send(new Uint8Array([1, type]));
      this.#step = "security";
    }
  }

  #security(type: number): void {
    const offered = this.#password === undefined ? SECURITY.NONE : SECURITY.VNC;
    if (type !== offered) {
      this.#refuse("this security type was not offered");
      throw new Fault(
        "protocol-error",
        `Cannot let the viewer in: it wants security ${type}, which was not offered`,
      );
    }
    // Only 3.8 is told that no security has worked.
    if (type === SECURITY.NONE && this.#minor === 8) this.#owner.send(word(OK));
    this.#begin(type);
  }

  #begin(type: number): void {
    if (type === SECURITY.NONE) {
      this.#step = "init";
      return;
    }
    crypto.getRandomValues(this.#challenge);
    this.#owner.send(this.#challenge);
    this.#step = "answer";
  }

  #answer(answer: Uint8Array): void {
    assert(this.#password !== undefined, "who is asked for a password has to know one");
    const right = vncResponse(this.#password, this.#challenge);
    let differs = this.#owner.mayTry() ? 0 : 1;
    for (let i = 0; i < CHALLENGE_BYTES; i++) differs |= (right[i] as number) ^ (answer[i] as number);
    if (differs !== 0) {
      this.#owner.onWrongPassword();
      this.#refuse("the password is wrong, or too many were tried; wait and try again");
      throw new Fault("refused", "Cannot let the viewer in: its password is wrong");
    }
    this.#owner.send(word(OK));
    this.#step = "init";
  }

  #refuse(why: string): void {
    this.#owner.send(word(FAILED));
    if (this.#minor < 8) return;
    const text = new TextEncoder().encode(why);
    const bytes = new Uint8Array(4 + text.length);
    new DataView(bytes.buffer).setUint32(0, text.length);
    bytes.set(text, 4);
    this.#owner.send(bytes);
  }
}

function word(value: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array([0, 0, 0, value]);
}
