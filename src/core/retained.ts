/**
 * Retained state: the newest ROSTER, MEMCTX, FRAME_RING and VGPU_STATUS of each endpoint, replayed to whoever comes later. It holds one reference to each event, and
 * with it the event's file descriptors. What a control has published is forgotten with that control.
 *
 * VGPU_STATUS is more than the contract names: there is no question that a late control could ask instead. "Lost" is not kept: who never heard of a
 * producer need not hear that there is none.
 * @module
 */
import { MAX_ENDPOINTS } from "../base/limits.ts";
import { ROSTER, VGPU_STATUS } from "../event/body_layout.ts";
import { ROSTER_STATE, VGPU_STATE } from "../event/body_number.ts";
import { ROWS } from "../event/catalogue.ts";
import { KIND } from "../event/kind.ts";
import type { TransferEvent } from "../event/transfer_event.ts";

/** In the order in which a late subscriber gets them, as the catalogue says. */
const KINDS: readonly number[] = ROWS.map(([, row]) => row)
  .filter((row) => row.retained > 0)
  .sort((a, b) => a.retained - b.retained)
  .map((row) => row.number);

/** The newest of each retained kind, an endpoint. */
export class Retained {
  readonly #slots: (TransferEvent | null)[] = new Array(KINDS.length * MAX_ENDPOINTS).fill(null);
  /** Which control published that kind of that endpoint last; 0 = none did. */
  readonly #publishers = new Int32Array(KINDS.length * MAX_ENDPOINTS);

  /** Keeps an event if its kind is retained, in place of the older one. Of an endpoint that is gone nothing is kept. */
  note(event: TransferEvent): void {
    if (event.kind === KIND.ROSTER && event.words[ROSTER.at.state / 4] === ROSTER_STATE.GONE) {
      return this.forget(event.endpoint);
    }
    if (event.kind === KIND.VGPU_STATUS && event.words[VGPU_STATUS.at.state / 4] === VGPU_STATE.LOST) {
      return this.drop(event.kind, event.endpoint);
    }
    const row = KINDS.indexOf(event.kind);
    if (row < 0 || event.endpoint >= MAX_ENDPOINTS) return;
    const index = row * MAX_ENDPOINTS + event.endpoint;
    const older = this.#slots[index];
    this.#slots[index] = event.retain();
    older?.release();
  }

  /** Notes that a control has published an event, of whatever kind: see {@linkcode dropOf}. */
  noteControl(control: number, kind: number, endpoint: number): void {
    const row = KINDS.indexOf(kind);
    if (row >= 0 && endpoint < MAX_ENDPOINTS) this.#publishers[row * MAX_ENDPOINTS + endpoint] = control;
  }

  /**
   * Forgets what a control that is gone has published, where nobody else has published since.
   *
   * @param dropped told each kind and endpoint: what still waits on its way here would be kept for good
   */
  dropOf(control: number, dropped: (kind: number, endpoint: number) => void): void {
    for (let index = 0; index < this.#slots.length; index++) {
      if (this.#publishers[index] !== control) continue;
      this.#publishers[index] = 0;
      this.#slots[index]?.release();
      this.#slots[index] = null;
      dropped(KINDS[Math.floor(index / MAX_ENDPOINTS)] as number, index % MAX_ENDPOINTS);
    }
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
    for (const kind of KINDS) {
      this.drop(kind, endpoint);
      this.noteControl(0, kind, endpoint);
    }
  }

  /** The newest of a kind, or null. */
  get(kind: number, endpoint: number): TransferEvent | null {
    const row = KINDS.indexOf(kind);
    return row < 0 ? null : this.#slots[row * MAX_ENDPOINTS + endpoint] ?? null;
  }

  /** Calls `take` with each retained event (borrowed): all ROSTER, then all MEMCTX, then all FRAME_RING, then all VGPU_STATUS. */
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
