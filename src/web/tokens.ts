/**
 * Signing in: a one-time link, whose secret is after the `#` of its address, so that no request or log
 * contains it; and named tokens in a file that has only their hashes. Wrong tokens are rate-limited for
 * everybody together, which does not affect people with a right one.
 * @module
 */
import { readSecretFile } from "../../ffi/regular_file.ts";
import { assert } from "../base/assert.ts";
import { Fault, messageOf } from "../base/fault.ts";
import { printable } from "../base/printable.ts";

/** Minimum length of a token, characters: it is random and not a password, so that a plain hash suffices. */
const LEAST_TOKEN = 16;
/** Maximum length of a token, characters. */
export const MOST_TOKEN = 256;
/** The message for a text that cannot be a token. */
export const TOKEN_LENGTH: string = `A token has ${LEAST_TOKEN} to ${MOST_TOKEN} characters.`;
/** Size limit of a token file, bytes. */
const MOST_FILE_BYTES = 65_536;
/** Maximum number of names in it. */
const MOST_NAMES = 1000;
const LINE = /^([A-Za-z0-9][A-Za-z0-9._-]{0,31})[ \t]+([0-9a-f]{64})$/;
const SECRET_BYTES = 32;

/** Burst of wrong tokens, and the time until another is allowed, ms. */
export const MOST_WRONG = 10;
/** See {@linkcode MOST_WRONG}. */
const WRONG_MS = 1000;

/** Who has signed in. */
export interface Identity {
  /** The name in the token file, or "link". */
  readonly name: string;
  /**
   * The principal for the daemon: "token:NAME" for a person with a token, with the grant of its rule; "" for
   * a person with the link, with the grant of the user who runs the server.
   */
  readonly as: string;
}

/** A new secret of 256 bits, in characters valid in addresses and cookies. */
export function newSecret(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(SECRET_BYTES));
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** SHA-256 of a text, in hexadecimal. */
export async function hashOf(text: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Parses a token file: lines of NAME and the SHA-256 of a token in hexadecimal; empty lines and those that
 * begin with `#` are ignored.
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
 * Reads a token file, which must belong to this user and be readable by nobody else.
 *
 * @throws {Fault} `refused` with the reason
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

/** Decides who may sign in. */
export class Tokens {
  readonly #file: string | undefined;
  readonly #onUsed: (link: string) => void;
  #linkHash: string | undefined;
  /**
   * The last contents of the file, with which right tokens are recognised while wrong ones are rate-limited.
   */
  #known: ReadonlyMap<string, string> = new Map();
  #left = MOST_WRONG;
  #sinceMs = performance.now();

  /**
   * Starts without secrets.
   *
   * @param file the token file, read at each use, so that a name can be removed
   * @param onUsed called when the one-time secret was used, with the next one
   */
  constructor(file: string | undefined, onUsed: (secret: string) => void = () => {}) {
    this.#file = file;
    this.#onUsed = onUsed;
  }

  /** Makes a new one-time secret, which replaces the previous one. */
  async newLink(): Promise<string> {
    const secret = newSecret();
    this.#linkHash = await hashOf(secret);
    return secret;
  }

  /**
   * Finds the owner of a token. A one-time secret is invalid afterwards.
   *
   * @returns undefined for nobody; "slow" after too many wrong ones; "short" for a text that cannot be a
   *   token
   */
  async identify(token: string): Promise<Identity | "slow" | "short" | undefined> {
    const mayTry = this.#mayTry();
    if (token.length < LEAST_TOKEN || token.length > MOST_TOKEN) {
      this.#wrong();
      return mayTry ? "short" : "slow";
    }
    const hash = await hashOf(token);
    if (!mayTry && hash !== this.#linkHash && !this.#known.has(hash)) return "slow";
    // Hashes are compared, so that the time reveals nothing about a token.
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

  /** The current names in the file; empty without one. */
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
