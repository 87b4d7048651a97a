/**
 * A binary search in anything sorted by a number: segments, records, runs of pages.
 * @module
 */

/**
 * The last element whose key is at or below a value.
 *
 * @param count number of elements
 * @param value the value to look for
 * @param keyOf the key of an element; must not decrease from one to the next
 * @returns its index, or -1 if all keys are above the value
 */
export function indexAtOrBelow(count: number, value: number, keyOf: (index: number) => number): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (keyOf(middle) <= value) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
