/**
 * One of the two threads of shared_word_test.ts. Each maps the memfd for itself, so that the engine sees two
 * unrelated buffers, as it does between processes.
 *
 * publish: side 0 writes plain words, then a sequence number through SharedWords; side 1 loads the number and
 * must find the words at least as new. torn: side 0 stores 64-bit words whose halves are equal; side 1 must
 * never find them different. fence: both store their own word and then load the other's; not both may find
 * the old value (Dekker's test).
 * @module
 */
import { Mapping } from "../../../ffi/mapping.ts";
import { SharedWords } from "../../../ffi/shared_word.ts";

/** Bytes of the memfd. */
export const EXPERIMENT_BYTES = 4096;
/** Which experiment. */
export type ExperimentName = "publish" | "torn" | "fence" | "unfenced";
/** What a side saw. */
export interface ExperimentResult {
  /** How often it looked. */
  readonly looks: number;
  /** How often it saw what must not be. */
  readonly violations: number;
}

interface Order {
  readonly name: ExperimentName;
  readonly side: number;
  readonly fd: number;
  readonly rounds: number;
}

const SEQUENCE = 0;
const WIDE = 16;
const DONE = 64;
const LIMIT = 96;
const READER_HERE = 128;
/** How long two threads that share one core go on. */
const PATIENCE_MS = 2000;
/** Reached by a hang alone. */
const HANG_MS = 180_000;
const PLAIN_AT = 2048;
const PLAIN_WORDS = 16;
const HALVES = 2 ** 32 + 1;

const EXPERIMENTS = { publish, torn, fence, unfenced: fence };

if (typeof WorkerGlobalScope !== "undefined" && self instanceof WorkerGlobalScope) {
  self.onmessage = (message: MessageEvent<Order>): void => {
    const { name, side, fd, rounds } = message.data;
    using mapping = Mapping.map(fd, 0, EXPERIMENT_BYTES, { write: true });
    const words = new SharedWords(mapping.buffer, 0, 512);
    self.postMessage(EXPERIMENTS[name](words, mapping.buffer, side, rounds, name));
  };
}

function publish(words: SharedWords, buffer: ArrayBuffer, side: number, rounds: number): ExperimentResult {
  const plain = new Uint32Array(buffer, PLAIN_AT, PLAIN_WORDS);
  if (side === 0) {
    for (let i = 1; i <= rounds; i++) {
      for (let k = 0; k < PLAIN_WORDS; k++) plain[k] = i;
      words.store32(SEQUENCE, i);
    }
    return { looks: 0, violations: 0 };
  }
  let looks = 0;
  let violations = 0;
  for (let seen = 0; seen < rounds; looks++) {
    seen = words.load32(SEQUENCE);
    for (let k = 0; k < PLAIN_WORDS; k++) if ((plain[k] ?? 0) < seen) violations++;
  }
  return { looks, violations };
}

function torn(words: SharedWords, _buffer: ArrayBuffer, side: number, rounds: number): ExperimentResult {
  if (side === 0) {
    // Begun before the reader is there, on a busy machine all stores are over before its first look.
    const untilMs = performance.now() + HANG_MS;
    while (words.load32(READER_HERE) === 0 && performance.now() < untilMs);
    for (let i = 1; i <= rounds; i++) words.store64(WIDE / 2, (i & 0xf_ffff) * HALVES);
    words.store32(DONE, 1);
    return { looks: 0, violations: 0 };
  }
  let looks = 0;
  let violations = 0;
  words.store32(READER_HERE, 1);
  for (; words.load32(DONE) === 0; looks++) {
    if (words.load64(WIDE / 2) % HALVES !== 0) violations++;
  }
  return { looks, violations };
}

// Words of a round, each in a cache line of its own: mine, what I saw, that I am done, that I am here. Side 0
// ends the experiment early when the two threads have to share one core and each round takes a time slice.
function fence(
  words: SharedWords,
  buffer: ArrayBuffer,
  side: number,
  rounds: number,
  name: ExperimentName,
): ExperimentResult {
  const plain = new Uint32Array(buffer, 0, 512);
  const mine = 128 + side * 128;
  const other = 128 + (1 - side) * 128;
  const end = performance.now() + PATIENCE_MS;
  let violations = 0;
  for (let round = 1; round <= rounds; round++) {
    if (side === 0 && round % 64 === 0 && performance.now() > end) words.store32(LIMIT, round);
    words.store32(mine + 48, round);
    while (words.load32(other + 48) < round);
    if (words.load32(LIMIT) === round) return { looks: round - 1, violations };
    let saw: number;
    if (name === "unfenced") {
      plain[mine] = round;
      saw = plain[other] ?? 0;
    } else {
      words.store32(mine, round);
      saw = words.load32(other);
    }
    words.store32(mine + 16, saw);
    words.store32(mine + 32, round);
    while (words.load32(other + 32) < round);
    if (saw < round && words.load32(other + 16) < round) violations++;
  }
  return { looks: rounds, violations };
}
