/**
 * Retained state: the newest event of each kind whose row in the catalogue has a `retained` number (ROSTER,
 * MEMCTX, FRAME_RING, VGPU_STATUS, FRAME_DEMAND, CURSOR_SHAPE, KEYBOARD_LEDS), per endpoint, replayed to
 * controls that join later. It holds one reference to each event, and thus its file descriptors. Events that
 * a control published are dropped when that control leaves, those of an adapter when its seam goes down.
 *
 * If a kind's row in the catalogue names a field (`retainedBy`, for instance one of several heads), the
 * newest event per value of that field is kept, for the {@linkcode MAX_KEPT_BY} values that came last.
 *
 * The reason why an endpoint has no memory context is kept, too: the newest ERROR of its memory seam, until
 * the seam goes up or down, a context is announced, or the VM is reset. Otherwise a control that joins later
 * would wait for a system that is known not to be supported.
 *
 * VGPU_STATUS is kept because no query exists for it. "Lost" is not kept: a control that never heard of a
 * producer need not hear that there is none.
 * @module
 */
import { assert } from "../base/assert.ts";
import type { ControlId, EndpointId } from "../base/ids.ts";
import { MAX_ENDPOINTS } from "../base/limits.ts";
import { CODE } from "../base/codes.ts";
import { ERROR, ROSTER, VGPU_STATUS, VM_STATE } from "../event/body_layout.ts";
import { ROSTER_STATE, VGPU_STATE, VM_STATE_NUMBER } from "../event/body_number.ts";
import { ROWS } from "../event/catalogue.ts";
import { KIND, type Kind, KIND_MAX } from "../event/kind.ts";
import { type KindRow, MAX_KEPT_BY } from "../event/kind_row.ts";
import { SOURCE, type Source } from "../event/source.ts";
import type { TransferEvent } from "../event/transfer_event.ts";

/** A retained kind. */
export interface RetainedKind {
  /** The kind. */
  readonly kind: Kind;
  /** Its source. */
  readonly source: Source;
  /** The word of its inline zone that tells several of one endpoint apart; -1: only one is kept. */
  readonly word: number;
}

/** In the order of replay, as in the catalogue. */
const KINDS: readonly RetainedKind[] = ROWS.map(([, row]) => row)
  .filter((row) => row.retained > 0)
  .sort((a, b) => a.retained - b.retained)
  .map((row) => ({ kind: row.number as Kind, source: row.source, word: wordOf(row) }));

function wordOf({ retainedBy, inline }: KindRow): number {
  const field = retainedBy === undefined ? undefined : inline?.fields[retainedBy];
  return field === undefined ? -1 : field[0] / 4;
}

/** Whether a kind is retained. */
export function isRetained(kind: Kind): boolean {
  return KINDS.some((kept) => kept.kind === kind);
}

/** The newest event of each retained kind, per endpoint. */
export class Retained {
  readonly #kinds: readonly RetainedKind[];
  /** Kind to its index in {@linkcode #kinds}; -1 = it is not kept. */
  readonly #rowOfKind = new Int8Array(KIND_MAX).fill(-1);
  /** By row and endpoint: the kept events, oldest first; undefined where there never was one. */
  readonly #kept: (TransferEvent[] | undefined)[];

  /** Per endpoint, why there is no memory context. */
  readonly #memoryErrors: (TransferEvent | null)[] = new Array(MAX_ENDPOINTS).fill(null);
  /** Whether an endpoint's memory seam is up. */
  readonly #memoryUp = new Uint8Array(MAX_ENDPOINTS);

  /**
   * Starts empty.
   *
   * @param kinds the retained kinds, in the order of {@linkcode replay}: the catalogue's, or a test's
   */
  constructor(kinds: readonly RetainedKind[] = KINDS) {
    this.#kinds = kinds;
    kinds.forEach(({ kind }, row) => this.#rowOfKind[kind] = row);
    this.#kept = new Array(kinds.length * MAX_ENDPOINTS).fill(undefined);
  }

  /**
   * Keeps an event if its kind is retained, replacing the older one. Nothing is kept for an endpoint that is
   * gone.
   */
  note(event: TransferEvent): void {
    const { endpoint, kind } = event;
    if (kind === KIND.ROSTER && event.words[ROSTER.at.state / 4] === ROSTER_STATE.GONE) {
      return this.forget(endpoint);
    }
    if (endpoint >= MAX_ENDPOINTS) return;
    if (event.source === SOURCE.MEMCTX) this.#noteMemory(event);
    else if (kind === KIND.VM_LIFECYCLE) this.#noteState(event);
    if (kind === KIND.SEAM_DOWN) return this.#dropOfSeam(event.source, endpoint);
    if (kind === KIND.VGPU_STATUS && event.words[VGPU_STATUS.at.state / 4] === VGPU_STATE.LOST) {
      return this.drop(kind, endpoint);
    }
    const row = this.#rowOfKind[kind] ?? -1;
    if (row >= 0) this.#keep(row, event);
  }

  #keep(row: number, event: TransferEvent): void {
    const kept = this.#kept[row * MAX_ENDPOINTS + event.endpoint] ??= [];
    const { word } = this.#kinds[row] as RetainedKind;
    const older = kept.findIndex((each) => word < 0 || each.words[word] === event.words[word]);
    if (older >= 0 || kept.length === MAX_KEPT_BY) kept.splice(Math.max(older, 0), 1)[0]?.release();
    kept.push(event.retain());
    assert(kept.length <= (word < 0 ? 1 : MAX_KEPT_BY), "no more is kept than may be");
  }

  #noteMemory(event: TransferEvent): void {
    const { endpoint, kind } = event;
    if (kind === KIND.ERROR) {
      // The report that a flood is being folded says nothing about the seam.
      if (event.words[ERROR.at.code / 4] === CODE.dropped) return;
      this.#dropMemoryError(endpoint);
      this.#memoryErrors[endpoint] = event.retain();
    } else if (kind === KIND.SEAM_UP || kind === KIND.SEAM_DOWN) {
      this.#memoryUp[endpoint] = kind === KIND.SEAM_UP ? 1 : 0;
      this.#dropMemoryError(endpoint);
    } else if (kind === KIND.MEMCTX) this.#dropMemoryError(endpoint);
  }

  /**
   * After a reset another system may run. RAM that could not be opened cannot be opened afterwards either.
   */
  #noteState(event: TransferEvent): void {
    const isReset = event.words[VM_STATE.at.state / 4] === VM_STATE_NUMBER.RESET;
    if (isReset && this.#memoryUp[event.endpoint] === 1) this.#dropMemoryError(event.endpoint);
  }

  #dropMemoryError(endpoint: EndpointId): void {
    this.#memoryErrors[endpoint]?.release();
    this.#memoryErrors[endpoint] = null;
  }

  /** Drops what a control that is gone has published. */
  dropOf(control: ControlId): void {
    for (const kept of this.#kept) {
      if (kept !== undefined) dropFrom(kept, (event) => event.publisher === control);
    }
  }

  /** A seam went down: its adapter's retained events no longer hold. */
  #dropOfSeam(source: Source, endpoint: EndpointId): void {
    for (const { kind, source: itsSource } of this.#kinds) {
      if (itsSource === source) this.drop(kind, endpoint, (event) => event.publisher === 0);
    }
  }

  /** Drops one kind of an endpoint, or part of it. */
  drop(kind: Kind, endpoint: EndpointId, isMeant: (event: TransferEvent) => boolean = () => true): void {
    const row = this.#rowOfKind[kind] ?? -1;
    if (row < 0 || endpoint >= MAX_ENDPOINTS) return;
    const kept = this.#kept[row * MAX_ENDPOINTS + endpoint];
    if (kept !== undefined) dropFrom(kept, isMeant);
  }

  /** Drops everything of an endpoint. */
  forget(endpoint: EndpointId): void {
    for (const { kind } of this.#kinds) this.drop(kind, endpoint);
    if (endpoint >= MAX_ENDPOINTS) return;
    this.#memoryUp[endpoint] = 0;
    this.#dropMemoryError(endpoint);
  }

  /** The kept events of a kind, oldest first. */
  get(kind: Kind, endpoint: EndpointId): readonly TransferEvent[] {
    const row = this.#rowOfKind[kind] ?? -1;
    return row < 0 ? [] : this.#kept[row * MAX_ENDPOINTS + endpoint] ?? [];
  }

  /**
   * Calls `take` with each retained event (borrowed), kind by kind in the catalogue's order (ROSTER first),
   * then the ERRORs. Events of one kind and endpoint come oldest first.
   */
  replay(take: (event: TransferEvent) => void): void {
    for (const kept of this.#kept) {
      // `take` may change what is kept; an event that has been released meanwhile is skipped.
      if (kept !== undefined) { for (let i = 0; i < kept.length; i++) take(kept[i] as TransferEvent); }
    }
    for (const event of this.#memoryErrors) if (event !== null) take(event);
  }

  /** Releases everything. */
  clear(): void {
    for (const kept of this.#kept) if (kept !== undefined) dropFrom(kept, () => true);
    for (let endpoint = 0; endpoint < MAX_ENDPOINTS; endpoint++) {
      this.#dropMemoryError(endpoint as EndpointId);
    }
  }
}

function dropFrom(kept: TransferEvent[], isMeant: (event: TransferEvent) => boolean): void {
  for (let i = kept.length - 1; i >= 0; i--) {
    const event = kept[i] as TransferEvent;
    if (!isMeant(event)) continue;
    kept.splice(i, 1);
    event.release();
  }
}
