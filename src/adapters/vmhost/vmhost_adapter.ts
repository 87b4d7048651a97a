/**
 * The VMHOST seam of a VM that QEMU runs: its states from QMP events, and the operations of CMD_VM and
 * CMD_LIFECYCLE with QEMU's answer. Each command is answered once, also when QEMU ends before it answers.
 * Snapshots are snapshot_jobs.ts, migration is migration_watch.ts.
 *
 * The core decides who may stop a VM, and releases keys that are held in the guest beforehand.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { CODE, type Code } from "../../base/codes.ts";
import { SECOND } from "../../base/clock.ts";
import type { Adapter, CloseReason, Seat } from "../../core/adapter_port.ts";
import { OPERATION, VM_STATE } from "../../event/body_layout.ts";
import { LIFE, MIGRATION_WAY, VM_OP, VM_STATE_NUMBER } from "../../event/body_number.ts";
import { KIND } from "../../event/kind.ts";
import { SOURCE, type Source } from "../../event/source.ts";
import type { TransferEvent } from "../../event/transfer_event.ts";
import type { QmpReply } from "../../qemu/protocol/qmp_client.ts";
import type { QmpEvent } from "../../qemu/protocol/qmp_message.ts";
import type { QmpLink, QmpLinkUser } from "../../qemu/monitor/qmp_link.ts";
import { statusOf } from "../../qemu/protocol/run_status.ts";
import type { QmpLoss } from "../../qemu/monitor/qmp_loss.ts";
import { MigrationWatch } from "./migration_watch.ts";
import { codeOf, wordsOf } from "./qmp_verdict.ts";
import type { VmState } from "./run_state.ts";
import { SnapshotJobs } from "./snapshot_jobs.ts";
import { askVcpu } from "./vcpu_request.ts";
import { TRACKED_EVENTS, VmTracker } from "./vm_tracker.ts";

/** How long QEMU may take for an operation: stopping flushes the guest's disks. */
const ANSWER_NS = 10 * SECOND;

// CMD_VM's operation to QEMU's command; QUERY has its own way.
const VM_COMMANDS: readonly (string | undefined)[] = [];
const LIFE_COMMANDS: readonly (string | undefined)[] = [];
const commands = (
  table: readonly (string | undefined)[],
  entries: readonly (readonly [number, string])[],
) => {
  for (const [op, name] of entries) (table as (string | undefined)[])[op] = name;
};
commands(VM_COMMANDS, [
  [VM_OP.CONT, "cont"],
  [VM_OP.STOP, "stop"],
  [VM_OP.RESET, "system_reset"],
  [VM_OP.POWERDOWN, "system_powerdown"],
  [VM_OP.QUIT, "quit"],
]);
commands(LIFE_COMMANDS, [
  [LIFE.POWERDOWN, "system_powerdown"],
  [LIFE.RESET, "system_reset"],
  [LIFE.WAKEUP, "system_wakeup"],
  [LIFE.PAUSE, "stop"],
  [LIFE.RESUME, "cont"],
]);

/** What the run state is asked for at a migration's end; a value that is not the name of any QEMU event. */
const MIGRATED = "migration ended";

/** The adapter of one VM's host plane. */
export class VmhostAdapter implements Adapter, QmpLinkUser {
  readonly source: Source = SOURCE.VMHOST;
  readonly name = "vmhost";
  readonly #link: QmpLink;
  #tracker = new VmTracker();
  #seat: Seat | null = null;
  /** The process whose states the tracker has. */
  #pid = 0;
  /** The question for the run state behind an event that is under way, by its number; 0 when none is. */
  #asking = 0;
  /** The event that it is asked for. */
  #askedFor = "";
  #questions = 0;
  readonly #snapshots: SnapshotJobs;
  readonly #migration: MigrationWatch;

  /** Makes it over the endpoint's monitor, which it shares with others. */
  constructor(link: QmpLink) {
    this.#link = link;
    this.#snapshots = new SnapshotJobs(link, () => this.#tracker.current.state === VM_STATE_NUMBER.RUNNING);
    const wayNow = () => this.#tracker.current.migration ?? MIGRATION_WAY.NONE;
    this.#migration = new MigrationWatch(link, wayNow, () => this.#askRunState(MIGRATED));
  }

  open(seat: Seat): void {
    assert(this.#seat === null, "an adapter is opened once");
    this.#seat = seat;
    this.#snapshots.open(seat);
    this.#migration.open(seat);
    this.#link.use(this);
  }

  command(event: TransferEvent): void {
    const seat = this.#seat;
    if (seat === null) return;
    if (event.kind === KIND.CMD_VCPU) return this.#vcpu(seat, event);
    if (event.kind === KIND.CMD_SNAPSHOT) return this.#snapshots.command(seat, event);
    const op = event.view.getUint32(OPERATION.at.op, true);
    if (event.kind === KIND.CMD_VM && op === VM_OP.QUERY) return this.#query(seat, event.ticket);
    const table = event.kind === KIND.CMD_VM ? VM_COMMANDS : LIFE_COMMANDS;
    const command = event.kind === KIND.CMD_VM || event.kind === KIND.CMD_LIFECYCLE ? table[op] : undefined;
    if (command === undefined) return seat.ack(event.ticket, CODE["bad-argument"]);
    this.#execute(seat, command, event.ticket);
  }

  close(_reason: CloseReason, closed: () => void): void {
    assert(this.#seat !== null, "an adapter that closes was opened, and closes once");
    this.#seat = null;
    this.#snapshots.close();
    this.#migration.close();
    this.#link.leave(this);
    closed();
  }

  /** Called by the core: the monitor is lost, and tried again. */
  onFault(error: unknown): void {
    this.#link.onFault(error);
  }

  /** Called by the link. */
  onLinkUp(status: string, pid: number): void {
    const seat = this.#seat;
    if (seat === null) return;
    // Another process is another VM: what was learnt from the last one's events does not hold for it.
    if (pid !== this.#pid) this.#tracker = new VmTracker();
    this.#asking = 0;
    this.#pid = pid;
    seat.up(pid);
    this.#tell(this.#tracker.onRunState(status));
    this.#snapshots.onLinkUp();
    if ((this.#tracker.current.migration ?? MIGRATION_WAY.NONE) !== MIGRATION_WAY.NONE) {
      this.#migration.look();
    }
  }

  /** Called by the link. */
  onLinkDown(loss: QmpLoss): void {
    const seat = this.#seat;
    if (seat === null) return;
    this.#asking = 0;
    this.#snapshots.onLinkDown(loss.code, loss.text);
    this.#migration.onLinkDown();
    seat.down(loss.reason);
    seat.emitError(loss.code, loss.reason, loss.text);
  }

  /** Called by the link. */
  onQmpEvent(event: QmpEvent): void {
    const seat = this.#seat;
    if (seat === null || !seat.isUp) return;
    if (event.name === "JOB_STATUS_CHANGE") return this.#snapshots.onJobEvent(event.data);
    if (event.name === "MIGRATION") return this.#migration.onEvent(event.data);
    if (!TRACKED_EVENTS.has(event.name)) return;
    if (this.#asking > 0) {
      this.#asking = 0;
      const state = this.#tracker.onUnexplained(this.#askedFor);
      if (state !== undefined) this.#tell(state);
    }
    const told = this.#tracker.onEvent(event, seat.loop.clock.nowNs());
    if (told === "nothing") return;
    if (told === "ask") return this.#askRunState(event.name);
    if (!("verify" in told)) return this.#tell(told);
    this.#tell(told.told);
    this.#askRunState(event.name);
  }

  #execute(seat: Seat, command: string, ticket: number): void {
    const tracker = this.#tracker;
    if (command === "system_wakeup") tracker.onWakeAsked();
    if (command === "stop") tracker.onStopAsked(1);
    if (command === "cont") tracker.onResumeAsked(1);
    this.#link.execute(
      command,
      undefined,
      (reply) => {
        if (command === "stop") tracker.onStopAsked(-1);
        if (command === "cont") tracker.onResumeAsked(-1);
        // Closed meanwhile: the core has answered what was left.
        if (this.#seat !== seat) return;
        const code = command === "quit" ? codeOfQuit(reply) : codeOf(reply);
        seat.ack(ticket, code, 0, 0, this.#wordsOf(reply));
        if (reply.outcome === "error") {
          seat.log.info("QEMU refuses", { vm: seat.endpointName, command, why: reply.errorText });
        }
      },
      { timeoutNs: ANSWER_NS },
    );
  }

  #wordsOf(reply: QmpReply): string {
    return wordsOf(reply, this.#link.outlook.away);
  }

  #vcpu(seat: Seat, event: TransferEvent): void {
    const { ticket } = event;
    askVcpu(this.#link, seat, event, {
      isOpen: () => this.#seat === seat,
      refuse: (code, words = "") => seat.ack(ticket, code, 0, 0, words),
      codeOf,
    });
  }

  #query(seat: Seat, ticket: number): void {
    this.#link.execute(
      "query-status",
      undefined,
      (reply) => {
        if (this.#seat !== seat) return;
        if (reply.outcome !== "done") return seat.ack(ticket, codeOf(reply), 0, 0, this.#wordsOf(reply));
        const answer = seat.event(KIND.VM_LIFECYCLE);
        fill(answer, this.#tracker.onRunState(statusOf(reply)));
        seat.reply(ticket, answer);
      },
      { timeoutNs: ANSWER_NS },
    );
  }

  // QEMU sends events and replies in one order: what the reply says is the state right after the event, or a
  // later one.
  #askRunState(askedFor: string): void {
    const question = this.#asking = ++this.#questions;
    this.#askedFor = askedFor;
    this.#link.execute(
      "query-status",
      undefined,
      (reply) => {
        if (this.#asking !== question) return;
        this.#asking = 0;
        if (reply.outcome !== "done") return;
        const before = this.#tracker.current;
        const now = this.#tracker.onRunState(statusOf(reply));
        // A STOP is told with the reason that the answer gives; what was only verified, or stayed as it was,
        // is not told twice.
        const isOther = now.state !== before.state || now.migration !== before.migration;
        if (askedFor === "STOP" || isOther) this.#tell(now);
        // Without events of its own this is the first sign of a migration, and its end is to be found out.
        if (now.migration === MIGRATION_WAY.OUTGOING) {
          if (askedFor === MIGRATED) this.#migration.endLater();
          else this.#migration.look();
        }
      },
      { timeoutNs: ANSWER_NS },
    );
  }

  #tell(state: VmState): void {
    const seat = this.#seat;
    if (seat === null) return;
    const event = seat.event(KIND.VM_LIFECYCLE);
    fill(event, state);
    this.#link.outlook.hasLeft = state.migration === MIGRATION_WAY.LEFT;
    seat.emit(event);
  }
}

function fill(event: TransferEvent, { state, detail, migration = MIGRATION_WAY.NONE }: VmState): void {
  event.view.setUint32(VM_STATE.at.state, state, true);
  event.view.setUint32(VM_STATE.at.detail, detail, true);
  event.view.setUint32(VM_STATE.at.migration, migration, true);
}

// QEMU may end before its answer is out: the end of the stream is the answer.
function codeOfQuit(reply: QmpReply): Code {
  return reply.outcome === "closed" ? CODE.ok : codeOf(reply);
}
