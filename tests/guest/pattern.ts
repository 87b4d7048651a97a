/**
 * The words that the guest program `pattern` fills its memory with, computed again on the host.
 * @module
 */

/** The u32 word number `index` of the pattern with this seed. */
export function patternWord(seed: number, index: number): number {
  let h = (Math.imul(index, 0x9e3779b1) + seed) >>> 0;
  h = Math.imul(h ^ h >>> 16, 0x85ebca6b);
  h = Math.imul(h ^ h >>> 13, 0xc2b2ae35);
  return (h ^ h >>> 16) >>> 0;
}

/**
 * The number of the first word that differs from the pattern, the words starting at number `from`; -1 when
 * all agree.
 */
export function firstPatternError(words: Uint32Array, seed: number, from = 0): number {
  for (let i = 0; i < words.length; i++) {
    if (words[i] !== patternWord(seed, from + i)) return from + i;
  }
  return -1;
}
