/**
 * Follows a VM's migration through QMP: each change of its state, how much of its RAM has been sent, and that
 * the VM has left. While nothing migrates, QEMU is asked nothing.
 *
 * QEMU sends MIGRATION events if the migration capability `events` is set, as libvirt does. Without it, the
 * first sign of a migration is that the VM is paused for its last part.
 *
 * Format: MigrationInfo of QEMU's qapi/migration.json.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { encode } from "cborg";
import { SECOND } from "../../base/clock.ts";
import { writeU64 } from "../../base/layout.ts";
import { printable } from "../../base/printable.ts";
import type { Seat, TimerHandler } from "../../core/adapter_port.ts";
import { MIGRATION } from "../../event/body_layout.ts";
import { MIGRATION_WAY, type MigrationWay } from "../../event/body_number.ts";
import { KIND } from "../../event/kind.ts";
import { BODY } from "../../event/transfer_event.ts";
import type { QmpLink } from "../../qemu/monitor/qmp_link.ts";
import { isObject, type QmpData } from "../../qemu/protocol/qmp_message.ts";

const ANSWER_NS = 10 * SECOND;
/** Interval of query-migrate while something migrates, ns. */
const LOOK_NS = SECOND;
/** Pause before the run state is asked for again after the end of a migration, ns. */
const SETTLE_NS = SECOND / 10;
/** States in which nothing migrates, or nothing any more. */
const RESTING: ReadonlySet<string> = new Set(["none", "completed", "failed", "cancelled"]);

/**
 * What the watch waits for: nothing, the answer to query-migrate, the time to ask again how far the migration
 * is, or the time to ask for the run state again that should say it has ended.
 */
type Next = "nothing" | "answer" | "progress" | "run-state";

/** The answer to query-migrate. */
export interface MigrationInfo {
  /** QEMU's name of the state: "active", "completed", …; "none" when there was none. Outside text. */
  readonly status: string;
  /** Bytes of RAM that have been sent. */
  readonly transferred: number;
  /** Bytes of RAM in all. */
  readonly total: number;
  /** Bytes of RAM that are still to be sent. */
  readonly remaining: number;
  /** Why it failed; empty when it has not. Outside text. */
  readonly error: string;
}

/** Reads query-migrate's answer; what is missing is 0, or empty. */
export function readMigration(value: unknown): MigrationInfo {
  const info = isObject(value) ? value : {};
  const ram = isObject(info["ram"]) ? info["ram"] : {};
  return {
    status: textOf(info["status"]) || "none",
    transferred: countOf(ram["transferred"]),
    total: countOf(ram["total"]),
    remaining: countOf(ram["remaining"]),
    error: textOf(info["error-desc"]),
  };
}

/** The migration of one VM. */
export class MigrationWatch implements TimerHandler {
  readonly #link: QmpLink;
  readonly #wayNow: () => MigrationWay;
  readonly #onEnd: () => void;
  #seat: Seat | null = null;
  /** The direction; NONE while nothing migrates. */
  #way: MigrationWay = MIGRATION_WAY.NONE;
  #told = "";
  #next: Next = "nothing";

  /**
   * Makes it over the VM's monitor.
   *
   * @param wayNow the direction that the VM's run state implies
   * @param onEnd called when a migration has ended, whatever its result
   */
  constructor(link: QmpLink, wayNow: () => MigrationWay, onEnd: () => void) {
    this.#link = link;
    this.#wayNow = wayNow;
    this.#onEnd = onEnd;
  }

  /** Starts. */
  open(seat: Seat): void {
    assert(this.#seat === null, "a watch is opened once");
    this.#seat = seat;
  }

  /** Ends; nothing is reported afterwards. */
  close(): void {
    this.#seat?.loop.disarm(this);
    this.#seat = null;
  }

  /** The monitor is down: a pending query will not be answered. */
  onLinkDown(): void {
    this.#seat?.loop.disarm(this);
    this.#way = MIGRATION_WAY.NONE;
    this.#told = "";
    this.#next = "nothing";
  }

  /** A MIGRATION event. */
  onEvent(data: QmpData): void {
    if (typeof data["status"] === "string") this.look();
  }

  /** Something migrates, or has: asks for its progress and reports it, again and again until it has ended. */
  look(): void {
    if (this.#way === MIGRATION_WAY.NONE) {
      const way = this.#wayNow();
      this.#way = way === MIGRATION_WAY.INCOMING ? way : MIGRATION_WAY.OUTGOING;
    }
    if (this.#next === "answer") return;
    this.#seat?.loop.disarm(this);
    this.#next = "answer";
    this.#link.execute("query-migrate", undefined, (reply) => {
      this.#next = "nothing";
      if (this.#seat === null || reply.outcome === "closed" || reply.outcome === "unsent") return;
      this.#onInfo(readMigration(reply.outcome === "done" ? reply.value : undefined));
    }, { timeoutNs: ANSWER_NS });
  }

  /**
   * The migration has ended, but the run state still says that it goes on: QEMU reports the end before it
   * changes the run state, and does not report that change. So the run state is asked for again shortly,
   * unless query-migrate has been sent meanwhile: then its answer decides.
   */
  endLater(): void {
    if (this.#seat === null || this.#next === "answer") return;
    this.#await("run-state", SETTLE_NS);
  }

  /** Called by the loop. */
  onTimer(): void {
    assert(this.#seat !== null, "a watch that is closed has no timer");
    assert(this.#next === "progress" || this.#next === "run-state", "the timer runs only while one is due");
    if (this.#next === "progress") return this.look();
    this.#next = "nothing";
    this.#onEnd();
  }

  /** Called by the core. */
  onFault(error: unknown): void {
    this.#link.onFault(error);
  }

  #onInfo(info: MigrationInfo): void {
    const seat = this.#seat;
    if (seat === null) return;
    const { status, transferred, remaining } = info;
    const words = `${status} ${transferred} ${remaining}`;
    // An incoming VM that waits for its source has no progress to report.
    if (words !== this.#told && status !== "none") this.#tell(seat, info);
    this.#told = words;
    const isComing = this.#way === MIGRATION_WAY.INCOMING && this.#wayNow() === MIGRATION_WAY.INCOMING;
    if (!RESTING.has(status)) return this.#await("progress", LOOK_NS);
    if (isComing && status === "none") return;
    this.#way = MIGRATION_WAY.NONE;
    this.#told = "";
    this.#onEnd();
  }

  #await(next: "progress" | "run-state", ns: number): void {
    assert(this.#seat !== null, "only an open watch waits");
    this.#next = next;
    this.#seat.loop.arm(this, this.#seat.loop.clock.nowNs() + ns);
  }

  #tell(seat: Seat, { status, transferred, total, remaining, error }: MigrationInfo): void {
    const event = seat.event(KIND.MIGRATION);
    const { at } = MIGRATION;
    event.words[at.way / 4] = this.#way;
    writeU64(event.view, at.transferredBytes, transferred);
    writeU64(event.view, at.totalBytes, total);
    writeU64(event.view, at.remainingBytes, remaining);
    event.setBody(BODY.CBOR, encode({ status: printable(status, 64), words: printable(error, 512) }));
    seat.emit(event);
  }
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value.slice(0, 512) : "";
}

function countOf(value: unknown): number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : 0;
}
