/**
 * One harness for the fuzzers of all decoders that outside bytes reach. It makes wrong inputs out of valid
 * ones, 100,000 a decoder, and holds each decoder to three things:
 *
 * - whatever comes in, it throws nothing but a Fault (or returns what its type says);
 * - no input takes much longer than a turn of the daemon's loop, 5 ms of this thread's own processor time
 *   (the time of a busy machine does not count; an input that took longer, perhaps for the compiler's or the
 *   garbage collector's sake, is repeated, and its shortest time counts). A shared processor can be several
 *   times slower for a while: the test fails at 40 ms, and the report line marks what is slower than 5;
 * - the outcomes that it is there for are met: a fuzzer whose inputs are all refused by the first check tests
 *   that check alone.
 *
 * How to add a decoder: write `tests/fuzz/NAME_fuzz_test.ts` with one call of {@linkcode fuzz}. Its `corpus`
 * are valid inputs, made by our own encoders where there is one (else as the other side writes them), small,
 * and one of each shape: mutations find the borders of what is in the corpus, not what is absent. `decode`
 * hands an input to the decoder in the way its caller does, with fresh state each time, asserts what must
 * hold of a result, and returns a short word for the outcome. `mustMeet` lists the words that have to come
 * up. `largest` is the bound that the caller keeps: some inputs are as long as that. `words` and `openers`
 * are what the format has of its own.
 *
 * What the seed is: each input is made from the seed and its own number alone. A failure names both, and
 *
 *     VMSIG_SEED=SEED VMSIG_FUZZ_INPUT=NUMBER deno test -A tests/fuzz/NAME_fuzz_test.ts
 *
 * makes that one input again. VMSIG_FUZZ_INPUTS=N runs N inputs a decoder instead of 100,000, for a long
 * night; VMSIG_FUZZ_GO_ON=1 goes on behind a failure and tells all kinds of them. Only inputs that are
 * harmless to others come in here: they are for our own code; a library's fault that an input shows is
 * bounded in our code, and the input is not kept.
 * @module
 */
import { assert } from "@std/assert";
import { threadCpuNs } from "../../ffi/scheduler.ts";
import { Fault } from "../../src/base/fault.ts";
import { hexOfBytes } from "../../src/base/hex.ts";
import { SeededRandom } from "../fixtures/seeded_random.ts";
import { type Bytes, bytesOf, mutated, type Vocabulary } from "./mutate.ts";

export { type Bytes, bytesOf } from "./mutate.ts";

/** A decoder, and what to feed it. */
export interface Decoder {
  /** What it is called in the report. */
  readonly name: string;
  /** Valid inputs; made once. */
  readonly corpus: () => readonly (Uint8Array | string)[];
  /**
   * Makes an input that is wrong by structure (see `structured.ts`): half of the inputs begin so, and half of
   * those have their bytes changed as well.
   */
  readonly make?: (random: SeededRandom) => Uint8Array | string;
  /** Bytes of the longest input. */
  readonly largest: number;
  /** Pieces that mean something to it. */
  readonly words?: readonly (string | readonly number[] | Uint8Array)[];
  /** Pieces that open a level of nesting. */
  readonly openers?: readonly (string | readonly number[])[];
  /** Makes a checksum right again; done with half of the inputs, so that what lies behind it is reached. */
  readonly repair?: (input: Bytes) => void;
  /**
   * Decodes one input.
   *
   * @param random for choices beside the bytes: where a stream is torn, which options hold
   * @returns the outcome in a word
   */
  readonly decode: (input: Bytes, random: SeededRandom) => string;
  /** Outcomes that must come up. A Fault's is `fault:CODE`. */
  readonly mustMeet: readonly string[];
  /**
   * Fewer than 100,000 inputs, where each is a connection of its own or many messages: how many, in
   * thousandths.
   */
  readonly share?: number;
  /** Called after the last input, for what must hold then. */
  readonly after?: () => void;
}

const INPUTS = 100_000;
/** What a decoder may take on the daemon's loop. */
const TURN_NS = 5_000_000;
/** No verdict may hang on how fast a machine is: only what takes far more than its turn fails. */
const FAILS_NS = 8 * TURN_NS;
const REPEATS = 12;
const SHOWN_BYTES = 2048;
const SHORTENINGS = 4000;
const SHORTEN_NS = 5e9;

/** Makes a test out of a decoder. */
export function fuzz(decoder: Decoder): void {
  const count = Math.ceil((numberFrom("VMSIG_FUZZ_INPUTS") ?? INPUTS) * (decoder.share ?? 1000) / 1000);
  Deno.test(`${decoder.name}: ${count} inputs`, () => new Run(decoder).all(count));
}

class Run {
  readonly #decoder: Decoder;
  readonly #corpus: readonly Bytes[];
  readonly #vocabulary: Vocabulary;
  readonly #seed = new SeededRandom().seed;
  readonly #outcomes = new Map<string, number>();
  /** Failures by their kind, when they are gathered. */
  readonly #gathered: Map<string, string> | undefined = Deno.env.has("VMSIG_FUZZ_GO_ON")
    ? new Map()
    : undefined;
  #slowestNs = 0;
  #slowest = 0;
  #decodingNs = 0;

  constructor(decoder: Decoder) {
    this.#decoder = decoder;
    this.#corpus = decoder.corpus().map((each) => bytesOf(each));
    const { words = [], openers = [], largest } = decoder;
    this.#vocabulary = { words: words.map(bytesOf), openers: openers.map(bytesOf), largest };
  }

  all(count: number): void {
    const only = numberFrom("VMSIG_FUZZ_INPUT");
    if (only !== undefined) return this.#one(only);
    const startNs = threadCpuNs();
    // The corpus itself first, as the inputs before 0: it has to be understood.
    for (let n = -this.#corpus.length; n < count; n++) this.#one(n);
    const outcomes = [...this.#outcomes].sort((a, b) => b[1] - a[1]);
    console.log(
      `${this.#decoder.name}: VMSIG_SEED=${this.#seed}, ${
        inSeconds(threadCpuNs() - startNs)
      } s of processor time, ${inSeconds(this.#decodingNs)} of them to decode, slowest ${
        (this.#slowestNs / 1e6).toFixed(2)
      } ms${this.#slowestNs > TURN_NS ? ", LONGER THAN A TURN" : ""} (input ${this.#slowest}), ${
        outcomes.map(([outcome, times]) => `${outcome} ${times}`).join(", ")
      }`,
    );
    const failures = [...this.#gathered?.values() ?? []];
    assert(failures.length === 0, `${failures.length} kinds of failures:\n\n${failures.join("\n\n")}`);
    const missed = this.#decoder.mustMeet.filter((outcome) => !this.#outcomes.has(outcome));
    assert(missed.length === 0, `never came up: ${missed.join(", ")}`);
    this.#decoder.after?.();
  }

  /** Input number `n`; the same again for the same seed. */
  #input(n: number): Bytes {
    if (n < 0) return (this.#corpus[n + this.#corpus.length] as Bytes).slice();
    const random = this.#random(n, 0x51ed_270b);
    const { make } = this.#decoder;
    const made = make !== undefined && random.oneIn(2) ? bytesOf(make(random)) : undefined;
    const input = made === undefined || random.oneIn(2)
      ? mutated(
        random,
        made ?? this.#corpus[random.below(this.#corpus.length)] as Bytes,
        this.#corpus,
        this.#vocabulary,
      )
      : made.slice(0, this.#decoder.largest);
    if (random.oneIn(2)) this.#decoder.repair?.(input);
    return input;
  }

  #random(n: number, salt: number): SeededRandom {
    return new SeededRandom(Math.imul(n ^ salt, 0x9e37_79b1) ^ this.#seed);
  }

  #one(n: number): void {
    const input = this.#input(n);
    const { outcome, unexpected, ns } = this.#decode(input, n);
    this.#decodingNs += ns;
    if (unexpected !== undefined) return this.#fail(n, input, unexpected);
    if (n < 0 && outcome.startsWith("fault:")) {
      return this.#fail(n, input, `a valid input is refused: ${outcome}`);
    }
    if (ns > this.#slowestNs) this.#weigh(n, input, ns);
    this.#outcomes.set(outcome, (this.#outcomes.get(outcome) ?? 0) + 1);
  }

  #decode(input: Bytes, n: number): { outcome: string; unexpected: string | undefined; ns: number } {
    // A decoder may keep or change what it is given: each time it gets its own.
    const own = input.slice();
    const random = this.#random(n, 0x2c1b_3c6d);
    const startNs = threadCpuNs();
    let outcome = "";
    let unexpected: string | undefined;
    try {
      outcome = this.#decoder.decode(own, random);
    } catch (error) {
      if (error instanceof Fault) outcome = `fault:${error.code}`;
      else unexpected = error instanceof Error ? error.stack ?? error.message : String(error);
    }
    return { outcome, unexpected, ns: threadCpuNs() - startNs };
  }

  /** A long one is looked at again before it counts. */
  #weigh(n: number, input: Bytes, firstNs: number): void {
    let ns = firstNs;
    for (let i = 0; i < REPEATS && ns > TURN_NS; i++) ns = Math.min(ns, this.#decode(input, n).ns);
    if (ns > FAILS_NS) {
      return this.#fail(n, input, `takes ${(ns / 1e6).toFixed(1)} ms of processor time, and a turn has 5`);
    }
    if (ns <= this.#slowestNs) return;
    this.#slowestNs = ns;
    this.#slowest = n;
  }

  #fail(n: number, input: Bytes, what: string): void {
    const kind = kindOf(what);
    if (this.#gathered?.has(kind)) return;
    // What takes too long is told as it is: there is nothing to compare.
    const short = what.startsWith("takes") ? input : this.#shortened(n, input, kind);
    const cut = short.length > SHOWN_BYTES ? `… (${short.length - SHOWN_BYTES} more)` : "";
    const told =
      `${this.#decoder.name}, VMSIG_SEED=${this.#seed} VMSIG_FUZZ_INPUT=${n} (${input.length} bytes): ${what}\n` +
      `  ${short.length} bytes: ${hexOfBytes(short.subarray(0, SHOWN_BYTES))}${cut}`;
    if (this.#gathered === undefined) throw new Error(told);
    this.#gathered.set(kind, told);
  }

  /** The same failure with less: pieces are left out for as long as it fails alike. */
  #shortened(n: number, input: Bytes, like: string): Bytes {
    let best = input;
    let tries = 0;
    const endNs = threadCpuNs() + SHORTEN_NS;
    for (let piece = best.length >> 1; piece > 0; piece >>= 1) {
      for (let at = 0; at < best.length && tries++ < SHORTENINGS && threadCpuNs() < endNs;) {
        const less = new Uint8Array(best.length - Math.min(piece, best.length - at));
        less.set(best.subarray(0, at));
        less.set(best.subarray(at + piece), at);
        const { unexpected } = this.#decode(less, n);
        if (unexpected !== undefined && kindOf(unexpected) === like) best = less;
        else at += piece;
      }
    }
    return best;
  }
}

function inSeconds(ns: number): string {
  return (ns / 1e9).toFixed(1);
}

/** What failed, and where; numbers differ from input to input. */
function kindOf(what: string): string {
  return what.split("\n", 2).join(" ").replaceAll(/[0-9]+/g, "N").slice(0, 200);
}

function numberFrom(name: string): number | undefined {
  const text = Deno.env.get(name);
  if (text === undefined) return undefined;
  assert(/^-?[0-9]+$/.test(text), `${name} is a whole number`);
  return Number(text);
}
