/**
 * Retained state: the newest ROSTER, MEMCTX, FRAME_RING and VGPU_STATUS of each endpoint, replayed to
 * controls that come later. It holds one reference to each event, and with it the event's file descriptors.
 * What a control has published is forgotten with that control, what an adapter has told with its seam.
 *
 * Of a kind whose row in the catalogue names a field (`retainedBy`: one of several heads) the newest event
 * for each of the field's values is kept, and of those the {@linkcode MAX_KEPT_BY} that came last.
 *
 * Why an endpoint has no memory context is kept, too: the newest ERROR of its memory seam, until the seam
 * comes or goes, a context is told, or the VM is reset. A later control would otherwise wait for a system
 * that is known not to be supported.
 *
 * VGPU_STATUS is kept, because there is no question that a late control could ask instead. "Lost" is not
 * kept: a control that never heard of a producer need not hear that there is none.
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

/** A kind that is kept. */
export interface RetainedKind {
  /** Which. */
  readonly kind: Kind;
  /** The seam that it crosses. */
  readonly source: Source;
  /** The word of its inline zone that separates several of one endpoint; -1: one is kept. */
  readonly word: number;
}

/** In the order in which a late subscriber gets them, as the catalogue says. */
const KINDS: readonly RetainedKind[] = ROWS.map(([, row]) => row)
  .filter((row) => row.retained > 0)
  .sort((a, b) => a.retained - b.retained)
  .map((row) => ({ kind: row.number as Kind, source: row.source, word: wordOf(row) }));

function wordOf({ retainedBy, inline }: KindRow): number {
  const field = retainedBy === undefined ? undefined : inline?.fields[retainedBy];
  return field === undefined ? -1 : field[0] / 4;
}

/** Whether a kind is kept for late subscribers. */
export function isRetained(kind: Kind): boolean {
  return KINDS.some((kept) => kept.kind === kind);
}

/** The newest of each retained kind, an endpoint. */
export class Retained {
  readonly #kinds: readonly RetainedKind[];
  /** Kind to its place in {@linkcode #kinds}; -1 = it is not kept. */
  readonly #rowOfKind = new Int8Array(KIND_MAX).fill(-1);
  /** By row and endpoint: what is kept, oldest first; undefined where nothing ever was. */
  readonly #kept: (TransferEvent[] | undefined)[];

  /** Why an endpoint has no memory context. */
  readonly #memoryErrors: (TransferEvent | null)[] = new Array(MAX_ENDPOINTS).fill(null);
  /** Whether an endpoint's memory seam is up. */
  readonly #memoryUp = new Uint8Array(MAX_ENDPOINTS);

  /**
   * Starts empty.
   *
   * @param kinds what is kept, in the order of {@linkcode replay}: the catalogue's, or a test's
   */
  constructor(kinds: readonly RetainedKind[] = KINDS) {
    this.#kinds = kinds;
    kinds.forEach(({ kind }, row) => this.#rowOfKind[kind] = row);
    this.#kept = new Array(kinds.length * MAX_ENDPOINTS).fill(undefined);
  }

  /**
   * Keeps an event if its kind is retained, in place of the older one. Of an endpoint that is gone nothing is
   * kept.
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

  #dropMemoryError(endpoint: EndpointId): void {
    this.#memoryErrors[endpoint]?.release();
    this.#memoryErrors[endpoint] = null;
  }

  /** Forgets what a control that is gone has published. */
  dropOf(control: ControlId): void {
    for (const kept of this.#kept) {
      if (kept !== undefined) dropFrom(kept, (event) => event.publisher === control);
    }
  }

  /** A seam went down: what its adapter had told is not so any more. */
  #dropOfSeam(source: Source, endpoint: EndpointId): void {
    for (const { kind, source: itsSource } of this.#kinds) {
      if (itsSource === source) this.drop(kind, endpoint, (event) => event.publisher === 0);
    }
  }

  /** Forgets one kind of an endpoint, or some of it. */
  drop(kind: Kind, endpoint: EndpointId, isMeant: (event: TransferEvent) => boolean = () => true): void {
    const row = this.#rowOfKind[kind] ?? -1;
    if (row < 0 || endpoint >= MAX_ENDPOINTS) return;
    const kept = this.#kept[row * MAX_ENDPOINTS + endpoint];
    if (kept !== undefined) dropFrom(kept, isMeant);
  }

  /** Forgets all of an endpoint. */
  forget(endpoint: EndpointId): void {
    for (const { kind } of this.#kinds) this.drop(kind, endpoint);
    if (endpoint >= MAX_ENDPOINTS) return;
    this.#memoryUp[endpoint] = 0;
    this.#dropMemoryError(endpoint);
  }

  /** What is kept of a kind, oldest first. */
  get(kind: Kind, endpoint: EndpointId): readonly TransferEvent[] {
    const row = this.#rowOfKind[kind] ?? -1;
    return row < 0 ? [] : this.#kept[row * MAX_ENDPOINTS + endpoint] ?? [];
  }

  /**
   * Calls `take` with each retained event (borrowed): all ROSTER, then all MEMCTX, then all FRAME_RING, then
   * all VGPU_STATUS, then the ERRORs. Of one kind and endpoint the oldest comes first.
   */
  replay(take: (event: TransferEvent) => void): void {
    for (const kept of this.#kept) {
      // What is kept may change while it is given out: never is one given that was let go.
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
