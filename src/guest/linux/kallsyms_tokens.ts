/**
 * kallsyms' tokens: the texts that the bytes of a name stand for, and the encoding of a name.
 *
 * The kernel's build (its program kallsyms) creates one token after the other, from number 255 down, each for
 * the pair of bytes that is then most frequent, and replaces that pair everywhere. So a name has only one
 * encoding, which can be computed ({@linkcode TokenTable.encode}): of its pairs, the one with the highest
 * token is replaced first. So a few names can be found without decoding a hundred thousand.
 * @module
 */
import type { AddressSpace } from "../address_space.ts";
import type { KallsymsPlaces } from "./kallsyms_places.ts";

const LATIN1 = new TextDecoder("latin1");
const TOKENS = 256;
const TOKEN_TABLE_BYTES = 4096;

/** The 256 tokens. */
export class TokenTable {
  /** How many letters each stands for. */
  readonly lengths: Uint8Array = new Uint8Array(TOKENS);
  /** The first letter of each. */
  readonly heads: Uint8Array = new Uint8Array(TOKENS);
  /** The second one; 0 when it has one alone. */
  readonly seconds: Uint8Array = new Uint8Array(TOKENS);
  /** The last one. */
  readonly tails: Uint8Array = new Uint8Array(TOKENS);
  readonly #bytes: Uint8Array;
  readonly #starts: Uint16Array;
  /** By two bytes the token of that pair, and one; 0 for none. Made when the first name is encoded. */
  #pairs: Uint16Array | undefined;

  private constructor(bytes: Uint8Array, starts: Uint16Array) {
    this.#bytes = bytes;
    this.#starts = starts;
  }

  /** Parses them; undefined if they cannot be read, or are not valid. */
  static read(space: AddressSpace, places: KallsymsPlaces): TokenTable | undefined {
    const starts = new Uint16Array(TOKENS);
    if (space.read(places.tokenIndex, new Uint8Array(starts.buffer)) < TOKENS * 2) return undefined;
    const bytes = new Uint8Array(TOKEN_TABLE_BYTES);
    const have = space.read(places.tokenTable, bytes);
    const table = new TokenTable(bytes, starts);
    for (let i = 0; i < TOKENS; i++) {
      const start = starts[i] as number;
      const end = bytes.indexOf(0, start);
      if (start >= have || end < 0 || end - start > 255) return undefined;
      table.lengths[i] = end - start;
      table.heads[i] = bytes[start] as number;
      table.seconds[i] = end - start > 1 ? bytes[start + 1] as number : 0;
      table.tails[i] = end === start ? 0 : bytes[end - 1] as number;
    }
    return table;
  }

  /**
   * The tokens with which a name among these may begin and end: two look-ups leave one name in a hundred to
   * be decoded. The first character that is stored is the symbol's type.
   */
  filter(names: readonly string[]): { readonly firsts: Uint8Array; readonly lasts: Uint8Array } {
    const [firsts, lasts] = [new Uint8Array(TOKENS), new Uint8Array(TOKENS)];
    const all = LATIN1.decode(this.#bytes);
    for (let token = 0; token < TOKENS; token++) {
      const start = this.#starts[token] as number;
      const text = all.slice(start, start + (this.lengths[token] as number));
      const rest = text.slice(1);
      if (names.some((name) => name.startsWith(rest))) firsts[token] = 1;
      // A whole name in one token has its type before it.
      if (names.some((name) => name.endsWith(text) || name === rest)) lasts[token] = 1;
    }
    return { firsts, lasts };
  }

  /** Writes a token's letters into an array; returns the index after them. */
  append(token: number, into: Uint8Array, at: number): number {
    const start = this.#starts[token] as number;
    const length = this.lengths[token] as number;
    for (let i = 0; i < length && at < into.length; i++) into[at++] = this.#bytes[start + i] as number;
    return at;
  }

  /**
   * The encoding of a text (a symbol's type and its name) in a table of names, without the length before it.
   *
   * @returns undefined when the tokens are not those of a kernel's build, or lack one of its letters
   */
  encode(text: string): Uint8Array | undefined {
    this.#pairs ??= this.#findPairs();
    const pairs = this.#pairs;
    if (pairs === undefined) return undefined;
    return this.#merged(Array.from(text, (letter) => letter.charCodeAt(0)), pairs);
  }

  #findPairs(): Uint16Array | undefined {
    const pairs = new Uint16Array(65_536);
    for (let token = TOKENS - 1; token >= 0; token--) {
      const length = this.lengths[token] as number;
      if (length < 2) continue;
      const start = this.#starts[token] as number;
      const pair = this.#merged(Array.from(this.#bytes.subarray(start, start + length)), pairs);
      if (pair?.length !== 2) return undefined;
      pairs[(pair[0] as number) << 8 | (pair[1] as number)] = token + 1;
    }
    return pairs;
  }

  /** Letters, with each pair that has a token replaced by it, the highest one first. */
  #merged(bytes: number[], pairs: Uint16Array): Uint8Array | undefined {
    for (const letter of bytes) {
      // A letter stands for itself; where none does, its place is another token's.
      if (this.lengths[letter] !== 1 || this.heads[letter] !== letter) return undefined;
    }
    for (;;) {
      let best = 0;
      for (let i = 1; i < bytes.length; i++) {
        const token = pairs[(bytes[i - 1] as number) << 8 | (bytes[i] as number)] as number;
        if (token > best) best = token;
      }
      if (best === 0) return Uint8Array.from(bytes);
      for (let i = 1; i < bytes.length; i++) {
        if (pairs[(bytes[i - 1] as number) << 8 | (bytes[i] as number)] === best) {
          bytes.splice(i - 1, 2, best - 1);
        }
      }
    }
  }
}
