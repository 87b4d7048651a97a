/**
 * Retained state: the newest ROSTER, MEMCTX, FRAME_RING and VGPU_STATUS of each endpoint, replayed to whoever
 * comes later. It holds one reference to each event, and with it the event's file descriptors. What a control
 * has published is forgotten with that control.
 *
 * Why an endpoint has no memory context is kept, too: the newest ERROR of its memory seam, until the seam
 * comes or goes, a context is told, or the VM is reset. Who comes later would otherwise wait for a system
 * that is known not to be supported.
 *
 * VGPU_STATUS is kept, because there is no question that a late control could ask instead. "Lost" is not
 * kept: who never heard of a producer need not hear that there is none.
 * @module
 */
import { MAX_ENDPOINTS } from "../base/limits.ts";
import { CODE } from "../base/codes.ts";
import { ERROR, ROSTER, VGPU_STATUS, VM_STATE } from "../event/body_layout.ts";
import { ROSTER_STATE, VGPU_STATE, VM_STATE_NUMBER } from "../event/body_number.ts";
import { ROWS } from "../event/catalogue.ts";
import { KIND } from "../event/kind.ts";
import { SOURCE } from "../event/source.ts";
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

  /** Why an endpoint has no memory context. */
  readonly #memoryErrors: (TransferEvent | null)[] = new Array(MAX_ENDPOINTS).fill(null);
  /** Whether an endpoint's memory seam is up. */
  readonly #memoryUp = new Uint8Array(MAX_ENDPOINTS);

  /**
   * Keeps an event if its kind is retained, in place of the older one. Of an endpoint that is gone nothing is
   * kept.
   */
  note(event: TransferEvent): void {
    if (event.kind === KIND.ROSTER && event.words[ROSTER.at.state / 4] === ROSTER_STATE.GONE) {
      return this.forget(event.endpoint);
    }
    if (event.endpoint < MAX_ENDPOINTS) {
      if (event.source === SOURCE.MEMCTX) this.#noteMemory(event);
      else if (event.kind === KIND.VM_LIFECYCLE) this.#noteState(event);
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

  #noteMemory(event: TransferEvent): void {
    const { endpoint, kind } = event;
    if (kind === KIND.ERROR) {
      // That a flood is folded says nothing of the seam.
      if (event.words[ERROR.at.code / 4] === CODE.dropped) return;
      this.#dropMemoryError(endpoint);
      this.#memoryErrors[endpoint] = event.retain();
    } else if (kind === KIND.SEAM_UP || kind === KIND.SEAM_DOWN) {
      this.#memoryUp[endpoint] = kind === KIND.SEAM_UP ? 1 : 0;
      this.#dropMemoryError(endpoint);
    } else if (kind === KIND.MEMCTX) this.#dropMemoryError(endpoint);
  }

  /** After a reset another system may run. RAM that cannot be had is not to be had after it either. */
  #noteState(event: TransferEvent): void {
    const isReset = event.words[VM_STATE.at.state / 4] === VM_STATE_NUMBER.RESET;
    if (isReset && this.#memoryUp[event.endpoint] === 1) this.#dropMemoryError(event.endpoint);
  }

  #dropMemoryError(endpoint: number): void {
    this.#memoryErrors[endpoint]?.release();
    this.#memoryErrors[endpoint] = null;
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
    if (endpoint >= MAX_ENDPOINTS) return;
    this.#memoryUp[endpoint] = 0;
    this.#dropMemoryError(endpoint);
  }

  /** The newest of a kind, or null. */
  get(kind: number, endpoint: number): TransferEvent | null {
    const row = KINDS.indexOf(kind);
    return row < 0 ? null : this.#slots[row * MAX_ENDPOINTS + endpoint] ?? null;
  }

  /**
   * Calls `take` with each retained event (borrowed): all ROSTER, then all MEMCTX, then all FRAME_RING, then
   * all VGPU_STATUS, then the ERRORs.
   */
  replay(take: (event: TransferEvent) => void): void {
    for (const event of this.#slots) if (event !== null) take(event);
    for (const event of this.#memoryErrors) if (event !== null) take(event);
  }

  /** Releases everything. */
  clear(): void {
    for (let index = 0; index < this.#slots.length; index++) {
      this.#slots[index]?.release();
      this.#slots[index] = null;
    }
    for (let endpoint = 0; endpoint < MAX_ENDPOINTS; endpoint++) this.#dropMemoryError(endpoint);
  }
}
