/**
 * What lets a person in: a one-time link, whose secret stands behind the `#` of its address, so that no
 * server and no log gets it with a request; and named tokens in a file, of which only hashes are kept. Wrong
 * ones are slowed down for everybody together.
 * @module
 */
import { assert } from "../base/assert.ts";
import { Fault, messageOf } from "../base/fault.ts";
import { printable } from "../base/printable.ts";

/** A token's characters at least: it is made by a machine, so that a plain hash of it is enough. */
export const LEAST_TOKEN = 16;
/** A token's characters at most. */
export const MOST_TOKEN = 256;
/** Bytes of a token file at most. */
const MOST_FILE_BYTES = 65_536;
/** Names in it at most. */
const MOST_NAMES = 1000;
const LINE = /^([A-Za-z0-9][A-Za-z0-9._-]{0,31})[ \t]+([0-9a-f]{64})$/;
const OTHERS = 0o077;
const SECRET_BYTES = 32;

/** Wrong tokens at once, and how long until there may be one more, ms. */
export const MOST_WRONG = 10;
/** See {@linkcode MOST_WRONG}. */
export const WRONG_MS = 1000;

/** Who somebody is: a name, and how it is known. */
export interface Identity {
  /** The name in the token file, or "link". */
  readonly name: string;
}

/** A fresh secret of 256 bits, in characters that addresses and cookies take. */
export function newSecret(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(SECRET_BYTES));
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** SHA-256 of a text, hexadecimal. */
export async function hashOf(text: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Reads a token file's text: lines of NAME and the SHA-256 of a token, hexadecimal; empty lines and those
 * that begin with `#` are left out.
 *
 * @returns hash to name
 * @throws {Fault} `bad-argument`, with the line
 */
export function parseTokens(text: string): Map<string, string> {
  const names = new Map<string, string>();
  const seen = new Set<string>();
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === "" || line.startsWith("#")) continue;
    const bad = (why: string) => new Fault("bad-argument", `line ${i + 1}: ${why}`);
    const [, name = "", hash = ""] = LINE.exec(line.trimEnd()) ?? [];
    if (name === "") {
      throw bad(
        "it is not NAME and the SHA-256 of a token in 64 hexadecimal digits (printf %s TOKEN | sha256sum)",
      );
    }
    if (seen.has(name)) throw bad(`${name} is there twice`);
    if (names.has(hash)) throw bad(`${name} has the token of ${names.get(hash)}`);
    if (names.size >= MOST_NAMES) throw bad(`there are more than ${MOST_NAMES} names`);
    seen.add(name);
    names.set(hash, name);
  }
  return names;
}

/**
 * Reads a token file, which must be this user's and nobody else's to read.
 *
 * @throws {Fault} `refused` with why
 */
export async function readTokens(path: string): Promise<Map<string, string>> {
  const refuse = (why: string, cause?: unknown) =>
    new Fault("refused", `Cannot use the tokens in ${printable(path)}: ${why}`, { cause });
  try {
    using file = await Deno.open(path);
    const { isFile, mode, uid, size } = await file.stat();
    if (!isFile) throw refuse("it is not a plain file");
    if (uid !== Deno.uid() || ((mode ?? 0) & OTHERS) !== 0) {
      throw refuse("others may read it; chmod 600 it, and have it as your own");
    }
    if (size > MOST_FILE_BYTES) throw refuse(`it has more than ${MOST_FILE_BYTES} bytes`);
    const bytes = new Uint8Array(MOST_FILE_BYTES);
    let length = 0;
    for (let n: number | null; (n = await file.read(bytes.subarray(length))) !== null && n > 0;) length += n;
    const tokens = parseTokens(new TextDecoder().decode(bytes.subarray(0, length)));
    if (tokens.size === 0) throw refuse("there is no name in it");
    return tokens;
  } catch (error) {
    if (error instanceof Fault) {
      throw error.code === "refused" ? error : refuse(error.message, error);
    }
    throw refuse(messageOf(error), error);
  }
}

/** Who may come in. */
export class Tokens {
  readonly #file: string | undefined;
  readonly #onUsed: (link: string) => void;
  #linkHash: string | undefined;
  #left = MOST_WRONG;
  #sinceMs = performance.now();

  /**
   * With nobody yet.
   *
   * @param file the token file, read anew at each use, so that a name can be taken out
   * @param onUsed told when the one-time secret was used, with the next one
   */
  constructor(file: string | undefined, onUsed: (secret: string) => void = () => {}) {
    this.#file = file;
    this.#onUsed = onUsed;
  }

  /** Makes a new one-time secret; the one before is worth nothing any more. */
  async newLink(): Promise<string> {
    const secret = newSecret();
    this.#linkHash = await hashOf(secret);
    return secret;
  }

  /**
   * Looks who has a token. The one-time secret is worth nothing afterwards.
   *
   * @returns undefined for nobody; "slow" when too many wrong ones came
   */
  async identify(token: string): Promise<Identity | "slow" | undefined> {
    if (!this.#mayTry()) return "slow";
    if (token.length < LEAST_TOKEN || token.length > MOST_TOKEN) return this.#wrong();
    const hash = await hashOf(token);
    // What is compared are hashes: how long it takes tells nothing of a token.
    if (hash === this.#linkHash) {
      this.#linkHash = undefined;
      this.#onUsed(await this.newLink());
      return { name: "link" };
    }
    if (this.#file === undefined) return this.#wrong();
    const name = (await readTokens(this.#file)).get(hash);
    return name === undefined ? this.#wrong() : { name };
  }

  #mayTry(): boolean {
    const more = Math.floor((performance.now() - this.#sinceMs) / WRONG_MS);
    if (more > 0) {
      this.#left = Math.min(MOST_WRONG, this.#left + more);
      this.#sinceMs = performance.now();
    }
    return this.#left > 0;
  }

  #wrong(): undefined {
    assert(this.#left > -1000, "wrong tokens are bounded");
    if (this.#left > 0) this.#left--;
    return undefined;
  }
}
