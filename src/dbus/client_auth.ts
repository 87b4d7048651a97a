/**
 * The client's side of D-Bus authentication without a bus (D-Bus specification, "Authentication Protocol"):
 * EXTERNAL with our uid, descriptors agreed on, begin. All of it can be sent at once: what comes back is read
 * line by line.
 * @module
 */
import { assert } from "../base/assert.ts";
import { Fault } from "../base/fault.ts";
import { printable } from "../base/printable.ts";

/** A line of a server; it answers OK with a 32-digit number. */
const MAX_LINE_BYTES = 256;
const NEWLINE = 10;

/** What a client says first: authentication and the wish for descriptors. */
export function authRequest(uid: number): Uint8Array<ArrayBuffer> {
  const hex = [...new TextEncoder().encode(String(uid))].map((byte) => byte.toString(16)).join("");
  return new Uint8Array(new TextEncoder().encode(`\0AUTH EXTERNAL ${hex}\r\nNEGOTIATE_UNIX_FD\r\n`));
}

/** What it says once the server has agreed; messages follow. */
export const AUTH_BEGIN = "BEGIN\r\n";

/** Reads what the server answers. */
export class ClientAuth {
  #step: "ok" | "agree" | "done" = "ok";
  #line = "";

  /** Whether the server has let us in, with descriptors. */
  get isDone(): boolean {
    return this.#step === "done";
  }

  /**
   * Goes on with what has come.
   *
   * @returns how many bytes were used; what follows are messages
   * @throws {Fault} `refused` when the server does not let us in, `not-supported` without descriptors,
   *   `protocol-error`
   */
  feed(bytes: Uint8Array<ArrayBuffer>, from: number, to: number): number {
    assert(from >= 0 && from <= to && to <= bytes.length, "what is read lies in its bytes");
    let at = from;
    while (at < to && !this.isDone) {
      const byte = bytes[at++] as number;
      if (byte !== NEWLINE) {
        this.#line += String.fromCharCode(byte);
        if (this.#line.length > MAX_LINE_BYTES) throw this.#wrong("a line does not end");
      } else this.#lineEnds();
    }
    return at - from;
  }

  #lineEnds(): void {
    const line = this.#line;
    this.#line = "";
    if (!line.endsWith("\r")) throw this.#wrong(`it says "${printable(line, 64)}"`);
    const [word] = line.slice(0, -1).split(" ");
    if (this.#step === "ok" && word === "OK") this.#step = "agree";
    else if (this.#step === "agree" && word === "AGREE_UNIX_FD") this.#step = "done";
    else if (this.#step === "agree" && word === "ERROR") {
      throw new Fault("not-supported", "Cannot use the D-Bus peer: it passes no descriptors");
    } else if (word === "REJECTED") {
      throw new Fault("refused", "Cannot enter the D-Bus peer: it does not accept this user (EXTERNAL)");
    } else throw this.#wrong(`it says "${printable(line.slice(0, -1), 64)}"`);
  }

  #wrong(what: string): Fault {
    return new Fault("protocol-error", `Cannot agree with the D-Bus peer: ${what}`);
  }
}
