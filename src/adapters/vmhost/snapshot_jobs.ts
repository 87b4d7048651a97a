/**
 * Saves, loads and deletes a VM's snapshots by QEMU's jobs, one at a time: looks up the disks and what runs
 * already, starts the job, reports its progress, fetches its outcome, and dismisses it.
 *
 *   idle --(a command)--> asking --(disks and jobs are in order)--> running --(concluded)--> closing --> idle
 *
 * While it saves or loads, QEMU answers nothing: the monitor may be silent then without being given up. A job
 * goes on without the daemon: one of ours that is found when the monitor comes up is told like any other.
 * @module
 */
import { encode } from "cborg";
import { assert } from "../../base/assert.ts";
import { SECOND } from "../../base/clock.ts";
import { CODE, type Code } from "../../base/codes.ts";
import { writeU64 } from "../../base/layout.ts";
import { printable } from "../../base/printable.ts";
import type { Seat, TimerHandler } from "../../core/adapter_port.ts";
import { SNAPSHOT } from "../../event/body_layout.ts";
import { LEASE_CLASS, SNAPSHOT_OP, SNAPSHOT_STATE, type SnapshotOp } from "../../event/body_number.ts";
import { KIND } from "../../event/kind.ts";
import { BODY, type TransferEvent } from "../../event/transfer_event.ts";
import type { QmpLink } from "../../qemu/monitor/qmp_link.ts";
import type { QmpReply } from "../../qemu/protocol/qmp_client.ts";
import type { QmpData } from "../../qemu/protocol/qmp_message.ts";
import { codeOf, wordsOf } from "./qmp_verdict.ts";
import {
  type Disk,
  listSnapshots,
  planDelete,
  planLoad,
  planSave,
  readDisks,
  type SnapshotPlan,
} from "./snapshot_disks.ts";
import {
  idOfTask,
  isBusyWithSnapshot,
  isOver,
  type Job,
  type JobTask,
  readJobs,
  snapshotWord,
  taskOfId,
} from "../../qemu/monitor/snapshot_job.ts";
import { readSnapshotName } from "./snapshot_name.ts";

const ANSWER_NS = 10 * SECOND;
/** How long a job may keep QEMU from answering: RAM goes to a disk meanwhile. */
const JOB_NS = 3600 * SECOND;
/** How often it is asked how far a job is. */
/** Characters of QEMU's own words in an answer that has more to say. */
const MOST_ERROR_CHARS = 80;
const LOOK_NS = SECOND;
/** Snapshots that are listed at once: a body holds them with the longest names. */
const MAX_LISTED = 200;
const PLANS = {
  [SNAPSHOT_OP.SAVE]: planSave,
  [SNAPSHOT_OP.LOAD]: planLoad,
  [SNAPSHOT_OP.DELETE]: planDelete,
} as const;

/** A job from the command on to its end. */
interface Work extends JobTask {
  /** Who awaits it; null for one that was found. */
  readonly ticket: number | null;
  readonly token: number;
  /** Whether the VM ran before. */
  readonly wasRunning: boolean;
  readonly startedNs: number;
  at: "asking" | "running" | "closing";
  /** What was told last of how far it is. */
  told: number;
  isAsked: boolean;
}

/** The snapshots of one VM. */
export class SnapshotJobs implements TimerHandler {
  readonly #link: QmpLink;
  readonly #isRunning: () => boolean;
  #seat: Seat | null = null;
  #work: Work | null = null;

  /**
   * Makes it over the VM's monitor.
   *
   * @param isRunning whether the VM runs, as far as is known
   */
  constructor(link: QmpLink, isRunning: () => boolean) {
    this.#link = link;
    this.#isRunning = isRunning;
  }

  /** Starts. */
  open(seat: Seat): void {
    assert(this.#seat === null, "its snapshots are opened once");
    this.#seat = seat;
  }

  /** Ends; the core answers what is left. A job goes on without it. */
  close(): void {
    this.#end();
    this.#seat?.loop.disarm(this);
    this.#seat = null;
  }

  /** A CMD_SNAPSHOT. */
  command(seat: Seat, event: TransferEvent): void {
    assert(event.kind === KIND.CMD_SNAPSHOT, "commands of snapshots come here");
    const op = event.words[0] as SnapshotOp;
    if (op === SNAPSHOT_OP.LIST) return this.#list(seat, event.ticket);
    if (!(op in PLANS)) return seat.ack(event.ticket, CODE["bad-argument"]);
    const read = readSnapshotName(event.bodyView(), op === SNAPSHOT_OP.SAVE);
    if ("refusal" in read) return seat.ack(event.ticket, CODE["bad-argument"], 0, 0, read.refusal);
    const { name } = read;
    if (this.#work !== null) {
      const { op: other, name: its } = this.#work;
      const words = `a snapshot job is under way: ${snapshotWord(other)} ${
        printable(its, 40)
      }; try again when it is done`;
      return seat.ack(event.ticket, CODE.busy, 0, 0, words);
    }
    const { ticket, token } = event;
    this.#begin({ op, name, ticket, token });
  }

  /** The monitor is up: a job of ours may run, or have ended unseen. */
  onLinkUp(): void {
    this.#ask("query-jobs", (reply) => {
      if (reply.outcome !== "done" || this.#work !== null) return;
      for (const job of readJobs(reply.value)) {
        const task = taskOfId(job.id);
        if (task === undefined || this.#work !== null) continue;
        this.#seat?.log.info("found a job that saves, loads or deletes a snapshot", {
          vm: this.#seat.endpointName,
          job: snapshotWord(task.op),
          snapshot: printable(task.name),
          status: printable(job.status),
        });
        this.#work = this.#newWork({ ...task, ticket: null, token: 0 });
        this.#work.at = "running";
        this.#tell(this.#work, SNAPSHOT_STATE.RUNNING, job, "");
        if (isOver(job.status)) this.#close(this.#work);
        else this.#watch(this.#work);
      }
    });
  }

  /** The monitor is down. What the job came to is told when it is up again. */
  onLinkDown(code: Code, text: string): void {
    const work = this.#work;
    const seat = this.#seat;
    if (work === null || seat === null) return;
    this.#end();
    if (work.ticket === null) return;
    const words = work.at === "asking"
      ? text
      : `${text}; the job may still run: check it when the VM is back`;
    this.#answer(seat, work, code, words);
  }

  /** A JOB_STATUS_CHANGE. */
  onJobEvent(data: QmpData): void {
    const work = this.#work;
    if (work === null || data["id"] !== idOfTask(work)) return;
    if (isOver(data["status"]) && work.at === "running") this.#close(work);
  }

  /** Called by the loop. */
  onTimer(nowNs: number): void {
    const work = this.#work;
    if (work === null || work.at !== "running") return;
    this.#seat?.loop.arm(this, nowNs + LOOK_NS);
    if (work.isAsked) return;
    work.isAsked = true;
    this.#askJob(work, (job) => {
      work.isAsked = false;
      if (this.#work !== work || work.at !== "running") return;
      if (job === undefined || isOver(job.status)) return this.#close(work);
      if (job.done !== work.told) this.#tell(work, SNAPSHOT_STATE.RUNNING, job, "");
    });
  }

  /** Called by the core: nothing of it is half done but at QEMU. */
  onFault(error: unknown): void {
    this.#link.onFault(error);
  }

  #begin(what: Pick<Work, "op" | "name" | "ticket" | "token">): void {
    assert(this.#work === null, "one snapshot job is under way at a time");
    const work = this.#newWork(what);
    this.#work = work;
    this.#askDisks((disks, reply) => {
      if (this.#work !== work) return;
      if (disks === undefined) return this.#fail(work, ...verdictOf(reply, this.#link.outlook.away));
      const plan = PLANS[work.op as keyof typeof PLANS](disks, work.name, this.#seat?.endpointName ?? "");
      if ("refusal" in plan) return this.#fail(work, plan.code, plan.refusal);
      this.#ask("query-jobs", (jobs) => {
        if (this.#work !== work) return;
        if (jobs.outcome !== "done") return this.#fail(work, codeOf(jobs), wordsOf(jobs));
        const list = readJobs(jobs.value);
        const other = list.find(isBusyWithSnapshot);
        if (other !== undefined) {
          const words = `a snapshot job of another program is under way: ${printable(other.id, 40)}`;
          return this.#fail(work, CODE.busy, words);
        }
        // What was concluded and not dismissed has its id for ever.
        if (list.some(({ id }) => id === idOfTask(work))) this.#dismiss(work);
        this.#start(work, plan);
      });
    });
  }

  #newWork(what: Pick<Work, "op" | "name" | "ticket" | "token">): Work {
    const startedNs = this.#seat?.loop.clock.nowNs() ?? 0;
    return { ...what, wasRunning: this.#isRunning(), startedNs, at: "asking", told: 0, isAsked: false };
  }

  #start(work: Work, plan: Exclude<SnapshotPlan, { refusal: string }>): void {
    const seat = this.#seat;
    if (seat === null) return;
    // A late command never lands.
    if (!seat.leaseIsLive(LEASE_CLASS.POWER, work.token)) return this.#fail(work, CODE["stale-lease"], "");
    const job = { "job-id": idOfTask(work), tag: work.name, devices: plan.devices };
    const args = work.op === SNAPSHOT_OP.DELETE ? job : { ...job, vmstate: plan.vmstate };
    assert(work.at === "asking", "a job is started once");
    work.at = "running";
    this.#watch(work);
    this.#tell(work, SNAPSHOT_STATE.RUNNING, undefined, "");
    this.#link.execute(`snapshot-${snapshotWord(work.op)}`, args, (reply) => {
      // Its end is told by the job's event, which may have come before this answer.
      if (this.#work === work && reply.outcome === "error") this.#fail(work, CODE.refused, wordsOf(reply));
    }, { timeoutNs: JOB_NS });
  }

  /** While it runs QEMU may be silent. */
  #watch(work: Work): void {
    const seat = this.#seat;
    assert(seat !== null && work === this.#work, "what is watched is under way");
    const nowNs = seat.loop.clock.nowNs();
    this.#link.outlook.silentUntilNs = nowNs + JOB_NS;
    seat.loop.arm(this, nowNs + LOOK_NS);
  }

  /** The job has ended: what it came to is asked, then it is dismissed. */
  #close(work: Work): void {
    assert(work === this.#work && work.at === "running", "a job that runs is concluded once");
    work.at = "closing";
    this.#askJob(work, (job) => {
      if (this.#work !== work) return;
      // When the answer arrives, the job is gone, so that the control may begin the same one again.
      this.#dismiss(work, () => {
        if (this.#work !== work) return;
        const error = job?.error ?? "";
        if (error === "") return this.#succeed(work, job);
        const isLeft = work.op === SNAPSHOT_OP.LOAD && work.wasRunning;
        // What becomes of the VM is told whole, whatever QEMU says; an answer has few words.
        const words = isLeft && error.length > MOST_ERROR_CHARS
          ? `${error.slice(0, MOST_ERROR_CHARS)}…`
          : error;
        this.#fail(work, CODE.refused, isLeft ? `${words}; the VM is left stopped` : error, job);
      });
    });
  }

  #succeed(work: Work, job: Job | undefined): void {
    assert(work === this.#work, "a job has one outcome");
    const seat = this.#seat;
    this.#end();
    this.#tell(work, SNAPSHOT_STATE.DONE, job, "");
    if (seat === null) return;
    const tookMs = Math.round((seat.loop.clock.nowNs() - work.startedNs) / 1e6);
    const { endpointName: vm } = seat;
    seat.log.info("snapshot", { vm, what: snapshotWord(work.op), name: printable(work.name), tookMs });
    this.#answer(seat, work, CODE.ok, "");
  }

  #fail(work: Work, code: Code, words: string, job?: Job): void {
    assert(work === this.#work, "a job has one outcome");
    const seat = this.#seat;
    const wasStarted = work.at !== "asking";
    this.#end();
    if (wasStarted) this.#tell(work, SNAPSHOT_STATE.FAILED, job, words);
    if (seat !== null) this.#answer(seat, work, code, words);
  }

  #end(): void {
    this.#work = null;
    this.#link.outlook.silentUntilNs = 0;
    this.#seat?.loop.disarm(this);
  }

  #answer(seat: Seat, { op, name, ticket }: Work, code: Code, words: string): void {
    if (ticket === null) return;
    const what = `${snapshotWord(op)} ${name}`;
    seat.audit(KIND.CMD_SNAPSHOT, code, {
      ticket,
      cls: LEASE_CLASS.POWER,
      detail: () => printable(words === "" ? what : `${what}: ${words}`, 512),
    });
    seat.ack(ticket, code, 0, 0, words);
  }

  #tell(work: Work, state: number, job: Job | undefined, words: string): void {
    const seat = this.#seat;
    if (seat === null) return;
    const { done = 0, total = 0 } = job ?? {};
    work.told = done;
    const event = seat.event(KIND.SNAPSHOT);
    const { at } = SNAPSHOT;
    event.words[at.op / 4] = work.op;
    event.words[at.state / 4] = state;
    writeU64(event.view, at.done, done);
    writeU64(event.view, at.total, total);
    event.setBody(BODY.CBOR, encode({ name: work.name, words: printable(words, 512) }));
    seat.emit(event);
  }

  #list(seat: Seat, ticket: number): void {
    this.#askDisks((disks, reply) => {
      if (this.#seat !== seat) return;
      if (disks === undefined) {
        const [code, words] = verdictOf(reply, this.#link.outlook.away);
        return seat.ack(ticket, code, 0, 0, words);
      }
      const all = listSnapshots(disks);
      const plan = planSave(disks, "");
      const body = {
        snapshots: all.slice(-MAX_LISTED),
        left: Math.max(0, all.length - MAX_LISTED),
        disks: disks.slice(0, 64).map(({ name, format }) => ({ name, format })),
        // Why none can be saved, if so.
        why: "refusal" in plan ? plan.refusal : "",
        job: this.#work === null ? null : { op: this.#work.op, name: this.#work.name },
      };
      const answer = seat.event(KIND.SNAPSHOT_LIST);
      answer.setBody(BODY.CBOR, encode(body));
      seat.reply(ticket, answer);
    });
  }

  #askDisks(done: (disks: Disk[] | undefined, reply: QmpReply) => void): void {
    this.#ask("query-block", (reply) => {
      done(reply.outcome === "done" ? readDisks(reply.value) : undefined, reply);
    });
  }

  #askJob(work: Work, done: (job: Job | undefined) => void): void {
    this.#link.execute("query-jobs", undefined, (reply) => {
      // The monitor is down: that is told by itself.
      if (reply.outcome === "closed" || reply.outcome === "unsent" || reply.outcome === "timed-out") return;
      const jobs = reply.outcome === "done" ? readJobs(reply.value) : [];
      done(jobs.find(({ id }) => id === idOfTask(work)));
    }, { timeoutNs: JOB_NS });
  }

  #dismiss(work: Work, done: () => void = () => {}): void {
    this.#ask("job-dismiss", done, { id: idOfTask(work) });
  }

  #ask(command: string, done: (reply: QmpReply) => void, args?: object): void {
    this.#link.execute(command, args, done, { timeoutNs: ANSWER_NS });
  }
}

/** A question about the disks that has no answer; one that was answered was answered with something else. */
function verdictOf(reply: QmpReply, away: string): [code: Code, words: string] {
  return reply.outcome === "done"
    ? [CODE["protocol-error"], "QEMU lists its disks in an unknown form"]
    : [codeOf(reply), wordsOf(reply, away)];
}
