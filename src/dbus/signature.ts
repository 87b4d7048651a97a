/**
 * D-Bus type signatures (D-Bus specification, "Type System"): checked, and cut into single complete types.
 * @module
 */
import { Fault } from "../base/fault.ts";

/** Characters of a signature at most. */
const MAX_SIGNATURE = 255;
/** Arrays within arrays, and structures within structures, at most. */
const MAX_DEPTH = 32;
const BASIC = "ybnqiuxtdsogh";

/**
 * Checks that a text is a sequence of complete types.
 *
 * @throws {Fault} `protocol-error`
 */
export function checkSignature(signature: string): void {
  if (signature.length > MAX_SIGNATURE) throw wrong("it is too long");
  for (let at = 0; at < signature.length;) at = endOfType(signature, at);
}

/**
 * Where the complete type that begins at a place ends.
 *
 * @throws {Fault} `protocol-error` when none begins there
 */
export function endOfType(signature: string, at: number): number {
  return new Walk(signature).type(at, 0, 0);
}

class Walk {
  readonly #signature: string;

  constructor(signature: string) {
    this.#signature = signature;
  }

  type(at: number, arrays: number, structures: number): number {
    const code = this.#signature.charAt(at);
    if (code === "v" || code !== "" && BASIC.includes(code)) return at + 1;
    if (code === "a") return this.#array(at + 1, arrays + 1, structures);
    if (code === "(") return this.#structure(at + 1, arrays, structures + 1);
    throw wrong(code === "" ? "it ends within a type" : `"${code}" does not begin a type`);
  }

  #array(at: number, arrays: number, structures: number): number {
    if (arrays > MAX_DEPTH) throw wrong("arrays are nested too deeply");
    if (this.#signature.charAt(at) !== "{") return this.type(at, arrays, structures);
    if (structures >= MAX_DEPTH) throw wrong("structures are nested too deeply");
    const key = this.#signature.charAt(at + 1);
    if (key === "" || !BASIC.includes(key)) throw wrong("a key is not a basic type");
    const end = this.type(at + 2, arrays, structures + 1);
    if (this.#signature.charAt(end) !== "}") throw wrong("an entry has more than a key and a value");
    return end + 1;
  }

  #structure(at: number, arrays: number, structures: number): number {
    if (structures > MAX_DEPTH) throw wrong("structures are nested too deeply");
    let end = this.type(at, arrays, structures);
    while (this.#signature.charAt(end) !== ")") end = this.type(end, arrays, structures);
    return end + 1;
  }
}

function wrong(why: string): Fault {
  return new Fault("protocol-error", `Cannot read a D-Bus signature: ${why}`);
}
