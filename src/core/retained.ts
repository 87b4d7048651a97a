/**
 * Retained state: the newest ROSTER, MEMCTX and FRAME_RING of each endpoint, replayed to whoever comes later. It holds one reference to each event, and
 * with it the event's file descriptors.
 * @module
 */
import { MAX_ENDPOINTS } from "../base/limits.ts";
import { ROSTER } from "../event/body_layout.ts";
import { ROSTER_STATE } from "../event/body_number.ts";
import { KIND } from "../event/kind.ts";
import type { TransferEvent } from "../event/transfer_event.ts";

/** In the order in which a late subscriber gets them. */
const KINDS: readonly number[] = [KIND.ROSTER, KIND.MEMCTX, KIND.FRAME_RING];

/** The newest of each retained kind, an endpoint. */
export class Retained {
  readonly #slots: (TransferEvent | null)[] = new Array(KINDS.length * MAX_ENDPOINTS).fill(null);

  /** Keeps an event if its kind is retained, in place of the older one. Of an endpoint that is gone nothing is kept. */
  note(event: TransferEvent): void {
    if (event.kind === KIND.ROSTER && event.words[ROSTER.at.state / 4] === ROSTER_STATE.GONE) {
      return this.forget(event.endpoint);
    }
    const row = KINDS.indexOf(event.kind);
    if (row < 0 || event.endpoint >= MAX_ENDPOINTS) return;
    const index = row * MAX_ENDPOINTS + event.endpoint;
    const older = this.#slots[index];
    this.#slots[index] = event.retain();
    older?.release();
  }

  /** Forgets one kind of an endpoint. */
  drop(kind: number, endpoint: number): void {
    const row = KINDS.indexOf(kind);
    if (row < 0 || endpoint >= MAX_ENDPOINTS) return;
    const index = row * MAX_ENDPOINTS + endpoint;
    this.#slots[index]?.release();
    this.#slots[index] = null;
  }

  /** Forgets all of an endpoint. */
  forget(endpoint: number): void {
    for (const kind of KINDS) this.drop(kind, endpoint);
  }

  /** The newest of a kind, or null. */
  get(kind: number, endpoint: number): TransferEvent | null {
    const row = KINDS.indexOf(kind);
    return row < 0 ? null : this.#slots[row * MAX_ENDPOINTS + endpoint] ?? null;
  }

  /** Calls `take` with each retained event (borrowed): all ROSTER, then all MEMCTX, then all FRAME_RING. */
  replay(take: (event: TransferEvent) => void): void {
    for (const event of this.#slots) if (event !== null) take(event);
  }

  /** Releases everything. */
  clear(): void {
    for (let index = 0; index < this.#slots.length; index++) {
      this.#slots[index]?.release();
      this.#slots[index] = null;
    }
  }
}
