/**
 * Notices that QEMU loads a snapshot by a job, so that RAM is replaced without a reset, maybe with that of
 * the same kernel: what was read of it before says nothing of it. Which jobs load is told by their ids when
 * they are the daemon's own, else asked (query-jobs). HMP's loadvm is not a job; the memory that it leaves is
 * noticed when the context is proved again as the VM runs (guest_watch.ts).
 * @module
 */
import { assert } from "../../base/assert.ts";
import { SECOND } from "../../base/clock.ts";
import { SNAPSHOT_OP } from "../../event/body_number.ts";
import type { QmpLink } from "../../qemu/monitor/qmp_link.ts";
import type { QmpData } from "../../qemu/protocol/qmp_message.ts";
import { isOver, readJobs, taskOfId } from "../../qemu/monitor/snapshot_job.ts";

const ANSWER_NS = 10 * SECOND;

/** Told of it. */
export interface RamReplacementListener {
  /** RAM is being replaced, or was. */
  onReplaced(): void;
  /** That is over: RAM can be looked at. */
  onSettled(): void;
}

/** Watches the jobs of one VM. */
export class RamReplacement {
  readonly #link: Pick<QmpLink, "execute">;
  readonly #listener: RamReplacementListener;
  /** The job that loads; QEMU does one at a time. */
  #loading: string | undefined;

  /** Makes it over the VM's monitor. */
  constructor(link: Pick<QmpLink, "execute">, listener: RamReplacementListener) {
    this.#link = link;
    this.#listener = listener;
  }

  /** The monitor is down: what ran is not known any more. */
  forget(): void {
    this.#loading = undefined;
  }

  /** A JOB_STATUS_CHANGE. */
  onJobEvent({ id, status }: QmpData): void {
    if (typeof id !== "string") return;
    if (id === this.#loading) {
      if (isOver(status)) this.#settle();
      return;
    }
    if (status !== "running") return;
    const task = taskOfId(id);
    if (task === undefined) return this.#ask(id);
    if (task.op === SNAPSHOT_OP.LOAD) this.#begin(id);
  }

  #ask(id: string): void {
    this.#link.execute("query-jobs", undefined, (reply) => {
      const jobs = reply.outcome === "done" ? readJobs(reply.value) : [];
      const job = jobs.find((one) => one.id === id);
      if (job?.type !== "snapshot-load") return;
      this.#begin(id);
      if (isOver(job.status)) this.#settle();
    }, { timeoutNs: ANSWER_NS });
  }

  #begin(id: string): void {
    this.#loading = id;
    this.#listener.onReplaced();
  }

  #settle(): void {
    assert(this.#loading !== undefined, "what has begun is settled, once");
    this.#loading = undefined;
    this.#listener.onSettled();
  }
}
