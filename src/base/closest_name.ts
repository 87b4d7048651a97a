/**
 * "Did you mean": the known name that is closest to what was typed.
 * @module
 */

/** What is longer is not a name that was mistyped; comparing takes time by its length. */
const MAX_TYPED_CHARACTERS = 64;

/** The closest name, undefined when none is close: more than a third of its letters would have to change. */
export function closestName(typed: string, known: Iterable<string>): string | undefined {
  if (typed.length > MAX_TYPED_CHARACTERS) return undefined;
  let best: string | undefined;
  let least = Infinity;
  for (const name of known) {
    const distance = editDistance(typed.toLowerCase(), name.toLowerCase());
    const bound = Math.max(1, Math.ceil(name.length / 3));
    if (distance <= bound && distance < least) {
      best = name;
      least = distance;
    }
  }
  return best;
}

/** " (did you mean NAME?)" or nothing. */
export function suggestion(typed: string, known: Iterable<string>): string {
  const name = closestName(typed, known);
  return name === undefined ? "" : ` (did you mean ${name}?)`;
}

// Letters inserted, removed, replaced, or two neighbours exchanged.
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      let d = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + cost);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        d = Math.min(d, (before[j - 2] ?? 0) + 1);
      }
      row.push(d);
    }
    before = last;
    last = row;
  }
  return last[b.length] ?? 0;
}
