/**
 * How a person signs in: a one-time link, whose secret stands behind the `#` of its address, so that no
 * server and no log gets it with a request; and named tokens in a file, of which only hashes are kept. Wrong
 * ones are slowed down for everybody together, and do not keep those out who have a right one.
 * @module
 */
import { readSecretFile } from "../../ffi/regular_file.ts";
import { assert } from "../base/assert.ts";
import { Fault, messageOf } from "../base/fault.ts";
import { printable } from "../base/printable.ts";

/**
 * The least length of a token, in characters: it is random and not a person's password, so that a plain hash
 * of it is enough.
 */
const LEAST_TOKEN = 16;
/** A token's characters at most. */
export const MOST_TOKEN = 256;
/** What is told of a token that cannot be one. */
export const TOKEN_LENGTH: string = `A token has ${LEAST_TOKEN} to ${MOST_TOKEN} characters.`;
/** Bytes of a token file at most. */
const MOST_FILE_BYTES = 65_536;
/** Names in it at most. */
const MOST_NAMES = 1000;
const LINE = /^([A-Za-z0-9][A-Za-z0-9._-]{0,31})[ \t]+([0-9a-f]{64})$/;
const SECRET_BYTES = 32;

/** Wrong tokens at once, and how long until there may be one more, ms. */
export const MOST_WRONG = 10;
/** See {@linkcode MOST_WRONG}. */
const WRONG_MS = 1000;

/** Who somebody is. */
export interface Identity {
  /** The name in the token file, or "link". */
  readonly name: string;
  /**
   * The principal that the daemon is told: "token:NAME" of a person who came by a token, with the grant of
   * its rule; "" of a person who came by the link, with the grant of the user who runs the server.
   */
  readonly as: string;
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
export function readTokens(path: string): Map<string, string> {
  try {
    const tokens = parseTokens(new TextDecoder().decode(readSecretFile(path, MOST_FILE_BYTES)));
    if (tokens.size === 0) throw new Fault("refused", "there is no name in it");
    return tokens;
  } catch (error) {
    throw new Fault("refused", `Cannot use the tokens in ${printable(path)}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** Who may come in. */
export class Tokens {
  readonly #file: string | undefined;
  readonly #onUsed: (link: string) => void;
  #linkHash: string | undefined;
  /** The file as it was last: what tells a right token while wrong ones are not looked up. */
  #known: ReadonlyMap<string, string> = new Map();
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
   * Finds whose token it is. The one-time secret is not valid afterwards.
   *
   * @returns undefined for nobody; "slow" when too many wrong ones came; "short" for what can be no token
   */
  async identify(token: string): Promise<Identity | "slow" | "short" | undefined> {
    const mayTry = this.#mayTry();
    if (token.length < LEAST_TOKEN || token.length > MOST_TOKEN) {
      this.#wrong();
      return mayTry ? "short" : "slow";
    }
    const hash = await hashOf(token);
    if (!mayTry && hash !== this.#linkHash && !this.#known.has(hash)) return "slow";
    // What is compared are hashes: how long it takes tells nothing of a token.
    if (hash === this.#linkHash) {
      this.#linkHash = undefined;
      this.#onUsed(await this.newLink());
      return { name: "link", as: "" };
    }
    if (this.#file === undefined) return this.#wrong();
    this.#known = readTokens(this.#file);
    const name = this.#known.get(hash);
    return name === undefined ? this.#wrong() : { name, as: `token:${name}` };
  }

  /** The names in the file as it is now; none without one. */
  names(): readonly string[] {
    return this.#file === undefined ? [] : [...readTokens(this.#file).values()];
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
