/**
 * What is missing between a host and this reader, by the numbers of its events (`join/event_numbers.ts`): the
 * server gives up a reader that is too slow, a connection breaks, a message is delivered twice. A gap is
 * told as a number of lost events, and what came before is not taken a second time.
 * @module
 */

/** A number that is further on than this is another run's. */
const MOST_GAP = 1 << 20;
/** The same, back. */
const MOST_BACK = 1 << 12;
/** Streams that are remembered. */
const MOST_STREAMS = 1 << 17;

/** The newest number of each subject's events. */
export class EventGaps {
  readonly #hosts = new Map<string, Map<string, number>>();
  #streams = 0;

  /**
   * Takes a number in.
   *
   * @param stream the subject
   * @returns how many were lost before it; -1: it came already
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

  /** A host has begun anew, or has gone. */
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
