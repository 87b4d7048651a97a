/**
 * Detects losses and duplicates between a host and this reader by the events' numbers
 * (`join/event_numbers.ts`): the server disconnects a reader that is too slow, a connection breaks, a message
 * is delivered twice. A gap is reported as a number of lost events, and duplicates are dropped.
 * @module
 */

/** A number further ahead than this belongs to another run. */
const MOST_GAP = 1 << 20;
/** The same, behind. */
const MOST_BACK = 1 << 12;
/** Maximum number of subjects that are remembered. */
const MOST_STREAMS = 1 << 17;

/** The newest number per subject. */
export class EventGaps {
  readonly #hosts = new Map<string, Map<string, number>>();
  #streams = 0;

  /**
   * Checks a number.
   *
   * @param stream the subject
   * @returns the number of events lost before it; -1: a duplicate
   */
  take(host: string, stream: string, number: number): number {
    let numbers = this.#hosts.get(host);
    if (numbers === undefined) this.#hosts.set(host, numbers = new Map());
    const last = numbers.get(stream);
    if (last === undefined) {
      if (++this.#streams > MOST_STREAMS) this.#clear(numbers, host);
      numbers.set(stream, number);
      return 0;
    }
    const step = (number - last) | 0;
    if (step <= 0 && step > -MOST_BACK) return -1;
    numbers.set(stream, number);
    return step > 0 && step <= MOST_GAP ? step - 1 : 0;
  }

  /** A host was restarted or is gone. */
  forget(host: string): void {
    const numbers = this.#hosts.get(host);
    this.#streams -= numbers?.size ?? 0;
    this.#hosts.delete(host);
  }

  #clear(numbers: Map<string, number>, host: string): void {
    numbers.clear();
    this.#hosts.clear();
    this.#hosts.set(host, numbers);
    this.#streams = 1;
  }
}
