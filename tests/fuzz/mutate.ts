/**
 * From a valid input to a wrong one: the mutations that break decoders more often than noise does. They know
 * bytes, and of structure what all formats share: numbers with borders, lengths in front of what they count,
 * nesting, lines, repetition. What a format has of its own comes in as words and openers.
 * @module
 */
import { joinedBytes } from "../../src/base/joined_bytes.ts";
import type { SeededRandom } from "../fixtures/seeded_random.ts";

/** Bytes that a decoder is given. */
export type Bytes = Uint8Array<ArrayBuffer>;

/** What a format has of its own, for the mutations to use. */
export interface Vocabulary {
  /** Pieces that mean something to the decoder: keys, keywords, magic numbers, heads of items. */
  readonly words: readonly Bytes[];
  /** Pieces that open a level of nesting: `[`, `{"a":`, 0x81. */
  readonly openers: readonly Bytes[];
  /** Bytes of an input at most. */
  readonly largest: number;
}

const encoder = new TextEncoder();

/** Text, or bytes as they are, as bytes. */
export function bytesOf(word: string | readonly number[] | Uint8Array): Bytes {
  return typeof word === "string" ? encoder.encode(word) : new Uint8Array(word);
}

const BORDERS = [0, 1, 2, 7, 8, 16, 24, 31, 63, 64, 95, 96, 127, 128, 255, 256, 1023, 4095, 4096, 32_767]
  .concat([32_768, 65_535, 65_536, 0x00ff_ffff, 0x7fff_ffff, 0x8000_0000, 0xffff_fff0, 0xffff_ffff]);
const NUMERALS = [
  "0",
  "1",
  "-1",
  "00",
  "007",
  "255",
  "256",
  "65536",
  "2147483648",
  "4294967295",
  "4294967296",
]
  .concat([
    "9007199254740993",
    "18446744073709551616",
    "9".repeat(40),
    "1e309",
    "-0",
    "0x",
    "0x10",
    "1.5",
    "NaN",
  ])
  .map(bytesOf);
const MOST_LEVELS = 20_000;

/**
 * A wrong input (now and then one that is still right).
 *
 * @param base what to begin with
 * @param from valid inputs, to take pieces from
 */
export function mutated(random: SeededRandom, base: Bytes, from: readonly Bytes[], words: Vocabulary): Bytes {
  let input = base.slice();
  // Most defects need one change and some need several: mostly one to three.
  const changes = 1 + random.below(3) + (random.oneIn(8) ? random.below(16) : 0);
  for (let i = 0; i < changes; i++) input = changed(random, input, from, words);
  return input.length > words.largest ? input.slice(0, words.largest) : input;
}

function changed(random: SeededRandom, input: Bytes, from: readonly Bytes[], words: Vocabulary): Bytes {
  if (random.oneIn(400)) return repeated(random, input, words.largest);
  if (random.oneIn(400)) return nested(random, input, words);
  const place = random.below(input.length + 1);
  switch (random.below(12)) {
    case 0:
      return flipped(random, input);
    case 1: // noise
      for (let i = random.below(8); i >= 0 && input.length > 0; i--) {
        input[random.below(input.length)] = random.u32();
      }
      return input;
    case 2:
      return withNumber(random, input);
    case 3:
      return withNumeral(random, input);
    case 4: // cut
      return input.slice(0, place);
    case 5: // a piece less
      return joinedBytes([
        input.subarray(0, place),
        input.subarray(place + lengthOf(random, input.length - place)),
      ]);
    case 6: { // a piece twice
      const piece = input.slice(place, place + lengthOf(random, input.length - place));
      return joinedBytes([input.subarray(0, place), piece, input.subarray(place)]);
    }
    case 7: { // a piece of another valid input, in place of one of this
      const other = from[random.below(from.length)] as Bytes;
      const start = random.below(other.length + 1);
      const piece = other.subarray(start, start + lengthOf(random, other.length - start));
      const skip = random.oneIn(2) ? 0 : piece.length;
      return joinedBytes([input.subarray(0, place), piece, input.subarray(place + skip)]);
    }
    case 8: { // longer
      const more = new Uint8Array(1 + random.below(64));
      if (random.oneIn(2)) { for (let i = 0; i < more.length; i++) more[i] = random.u32(); }
      return joinedBytes([input, more]);
    }
    case 9: { // lines or pieces in another order
      const second = place + random.below(input.length - place + 1);
      return joinedBytes([input.subarray(second), input.subarray(place, second), input.subarray(0, place)]);
    }
    default: { // a word that means something
      if (words.words.length === 0) return flipped(random, input);
      const word = words.words[random.below(words.words.length)] as Bytes;
      const skip = random.oneIn(2) ? 0 : word.length;
      return joinedBytes([input.subarray(0, place), word, input.subarray(place + skip)]);
    }
  }
}

function flipped(random: SeededRandom, input: Bytes): Bytes {
  for (let i = random.below(3); i >= 0 && input.length > 0; i--) {
    const at = random.below(input.length);
    input[at] = (input[at] as number) ^ (1 << random.below(8));
  }
  return input;
}

/**
 * A number at its type's border, or the input's own length and its neighbours, in any width and byte order.
 */
function withNumber(random: SeededRandom, input: Bytes): Bytes {
  const width = 1 << random.below(4);
  if (input.length < width) return input;
  const isAligned = !random.oneIn(4);
  const at = random.below(input.length - width + 1);
  const view = new DataView(input.buffer);
  const place = isAligned ? at - at % width : at;
  const value = random.oneIn(4)
    ? input.length + random.below(5) - 2
    : BORDERS[random.below(BORDERS.length)] as number;
  const little = !random.oneIn(3);
  if (width === 1) view.setUint8(place, value);
  else if (width === 2) view.setUint16(place, value, little);
  else if (width === 4) view.setUint32(place, value, little);
  else {
    view.setUint32(place + (little ? 0 : 4), value, little);
    view.setUint32(place + (little ? 4 : 0), random.oneIn(2) ? 0 : random.u32(), little);
  }
  return input;
}

/** Another number where one stands in digits. */
function withNumeral(random: SeededRandom, input: Bytes): Bytes {
  const from = random.below(input.length + 1);
  let start = from;
  while (start < input.length && !isDigit(input[start])) start++;
  if (start === input.length) return flipped(random, input);
  let end = start;
  while (end < input.length && isDigit(input[end])) end++;
  const numeral = NUMERALS[random.below(NUMERALS.length)] as Bytes;
  return joinedBytes([input.subarray(0, start), numeral, input.subarray(end)]);
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 48 && byte <= 57;
}

/** A short piece again and again, as much as there may be: what is quadratic shows. */
function repeated(random: SeededRandom, input: Bytes, largest: number): Bytes {
  const room = largest - input.length;
  if (room <= 0 || input.length === 0) return input;
  const start = random.below(input.length);
  const piece = input.subarray(
    start,
    start + 1 + random.below(Math.min(random.oneIn(2) ? 4 : 64, input.length)),
  );
  const total = random.oneIn(3) ? room : random.below(room);
  const run = new Uint8Array(total);
  for (let at = 0; at < total; at += piece.length) run.set(piece.subarray(0, total - at), at);
  const end = start + piece.length;
  return joinedBytes([input.subarray(0, end), run, input.subarray(end)]);
}

/** A level opened again and again. */
function nested(random: SeededRandom, input: Bytes, { openers, largest }: Vocabulary): Bytes {
  const opener = openers[random.below(openers.length)];
  if (opener === undefined) return input;
  const room = Math.floor(Math.max(0, largest - input.length) / opener.length);
  const levels = Math.min(room, MOST_LEVELS, random.oneIn(2) ? random.below(64) : random.below(MOST_LEVELS));
  const run = new Uint8Array(levels * opener.length);
  for (let i = 0; i < levels; i++) run.set(opener, i * opener.length);
  const place = random.oneIn(3) ? 0 : random.below(input.length + 1);
  return joinedBytes([input.subarray(0, place), run, input.subarray(place)]);
}

/** Mostly short, at most `most`. */
function lengthOf(random: SeededRandom, most: number): number {
  return random.below(Math.min(most, random.oneIn(4) ? most : 16) + 1);
}
