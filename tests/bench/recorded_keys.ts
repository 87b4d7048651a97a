/**
 * What the recorder in a guest (evrec) has seen of the keys, against what it should have: a figure counts
 * only when the keys have arrived.
 * @module
 */
import type { GuestProcess } from "../guest/guest_process.ts";

/** Key events that the guest recorded: "30:1"; repeats of the guest's own are left out. */
function keysOf(text: string): string[] {
  if (/^event\d+ 0 3 0$/m.test(text)) throw new Error("the recorder in the guest lost events");
  return [...text.matchAll(/^event\d+ 1 (\d+) ([01])$/gm)].map(([, code, value]) => `${code}:${value}`);
}

/**
 * Reads until as many key events have come, and compares them.
 *
 * @param recorder evrec
 * @param from where in its text to begin
 * @param expected the events, as "30:1"
 * @throws {Error} when they are others, or too few after a minute
 */
export async function mustHaveRecorded(
  recorder: GuestProcess,
  from: number,
  expected: readonly string[],
): Promise<void> {
  const deadline = performance.now() + 60_000;
  let seen: string[] = [];
  while ((seen = keysOf(recorder.text.slice(from))).length < expected.length) {
    if (performance.now() > deadline) break;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const wrong = expected.findIndex((key, i) => key !== seen[i]);
  if (wrong < 0 && seen.length === expected.length) return;
  throw new Error(
    `the guest saw ${seen.length} of ${expected.length} key events; the first wrong is ${wrong}`,
  );
}
