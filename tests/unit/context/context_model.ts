/**
 * The transfer context as plainly as it can be said: one array of records, searched from the start each time.
 * What the real one is compared with.
 * @module
 */
import type { LanePolicy } from "../../../src/context/policy.ts";
import { DROP } from "../../../src/context/policy.ts";
import { KIND } from "../../../src/event/kind.ts";

/** A waiting event. */
export interface Waiting {
  id: number;
  readonly source: number;
  readonly kind: number;
  readonly endpoint: number;
  readonly prio: number;
  readonly origin: number;
  ticket: number;
  readonly dueNs: number;
  readonly run: number;
  readonly order: number;
  folded: number;
}

/** What a submit did. */
export type ModelSubmit = "queued" | "coalesced" | "dropped" | "blocked";

const URGENT = 3;

/** Urgent events and answers are never held, dropped or blocked. */
function isExempt(event: { readonly prio: number; readonly origin: number }): boolean {
  return event.prio === URGENT || event.origin !== 0;
}

/** The UP direction of the context. */
export class ContextModel {
  readonly policies = new Map<number, LanePolicy>();
  readonly waiting: Waiting[] = [];
  readonly dropped: number[] = [];
  readonly #nextNs = new Map<number, number>();
  readonly #run = new Map<number, { kind: number; run: number }>();
  readonly #youngest = new Map<number, Waiting>();
  #order = 0;

  submit(event: Omit<Waiting, "dueNs" | "run" | "order" | "folded">, nowNs: number): ModelSubmit {
    const policy = this.policies.get(event.source) as LanePolicy;
    const lane = this.waiting.filter((w) => w.source === event.source);
    const last = this.#run.get(event.source);
    const inRun = last !== undefined && last.kind === event.kind;
    // A frame's news is folded without any policy: what waits takes the newer one's content, and nothing is
    // held back for it.
    const folds = policy.coalesceNs > 0 || event.kind === KIND.FRAME_INFO;
    if (folds && inRun) {
      // The youngest open event of this run and endpoint is the only one that may be replaced, while it
      // waits.
      const youngest = this.#youngest.get(event.source * 64 + event.endpoint);
      const older = youngest !== undefined && youngest.run === last.run && lane.includes(youngest)
        ? youngest
        : undefined;
      if (
        older !== undefined && older.ticket === 0 && event.origin === 0 && older.prio === event.prio
      ) {
        older.id = event.id;
        older.ticket = event.ticket;
        older.folded++;
        return "coalesced";
      }
    }
    if (policy.maxInflight > 0 && lane.length >= policy.maxInflight && !isExempt(event)) {
      if (policy.drop === DROP.BLOCK) return "blocked";
      const victims = lane.filter((w) => w.prio <= event.prio && !isExempt(w));
      if (policy.drop === DROP.NEWEST || victims.length === 0) {
        this.dropped.push(event.id);
        return "dropped";
      }
      const lowest = Math.min(...victims.map((w) => w.prio));
      const victim = victims.filter((w) => w.prio === lowest).reduce((a, b) => (a.order < b.order ? a : b));
      this.waiting.splice(this.waiting.indexOf(victim), 1);
      this.dropped.push(victim.id);
    }
    const run = inRun ? last.run : ++this.#order;
    this.#run.set(event.source, { kind: event.kind, run });
    const isOpen = folds && !isExempt(event) && event.ticket === 0;
    const waiting: Waiting = {
      ...event,
      dueNs: isOpen && policy.coalesceNs > 0 ? nowNs + policy.coalesceNs : 0,
      run,
      order: ++this.#order,
      folded: 0,
    };
    this.waiting.push(waiting);
    if (isOpen) this.#youngest.set(event.source * 64 + event.endpoint, waiting);
    return "queued";
  }

  next(nowNs: number): Waiting | null {
    for (let prio = URGENT; prio >= 0; prio--) {
      const heads = new Map<number, Waiting>();
      for (const w of this.waiting) if (w.prio === prio && !heads.has(w.source)) heads.set(w.source, w);
      const ready = [...heads.values()].filter((w) => this.#readyNs(w) <= nowNs);
      if (ready.length === 0) continue;
      const first = ready.reduce((a, b) => (a.order < b.order ? a : b));
      this.waiting.splice(this.waiting.indexOf(first), 1);
      const policy = this.policies.get(first.source) as LanePolicy;
      if (policy.minGapNs > 0) this.#nextNs.set(first.source, nowNs + policy.minGapNs);
      return first;
    }
    return null;
  }

  deadline(): number {
    let earliest = Infinity;
    const seen = new Set<number>();
    for (const w of this.waiting) {
      const key = w.source * 4 + w.prio;
      if (seen.has(key)) continue;
      seen.add(key);
      earliest = Math.min(earliest, this.#readyNs(w));
    }
    return earliest;
  }

  #readyNs(w: Waiting): number {
    const current = this.#run.get(w.source)?.run === w.run;
    return Math.max(current ? w.dueNs : 0, this.#nextNs.get(w.source) ?? 0);
  }
}
