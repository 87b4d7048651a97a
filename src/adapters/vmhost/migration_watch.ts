/**
 * A VM's migration as QEMU tells it: each change of its state, how much of its RAM has gone, and that it has
 * left. Nothing is asked while nothing migrates.
 *
 * QEMU tells of it by events (MIGRATION) when whoever migrates has set the capability `events`, as libvirt
 * does. Without it the first sign is that the VM stands still for its last part.
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
/** How often it is asked how far it is. */
const LOOK_NS = SECOND;
/** How long until the run state is asked for again that is behind a migration's end. */
const SETTLE_NS = SECOND / 10;
/** States in which nothing migrates (any more). */
const RESTING: ReadonlySet<string> = new Set(["none", "completed", "failed", "cancelled"]);

/** What query-migrate tells. */
export interface MigrationInfo {
  /** QEMU's own word: "active", "completed", …; "none" when there was none. Outside text. */
  readonly status: string;
  /** Bytes of RAM that were sent, are all there is, and are still to be sent. */
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
  /** Which way it goes; NONE while nothing migrates. */
  #way: MigrationWay = MIGRATION_WAY.NONE;
  #told = "";
  #isAsked = false;
  /** Whether the next thing to do is to ask for the run state once more. */
  #isEnding = false;

  /**
   * Makes it over the VM's monitor.
   *
   * @param wayNow which way the VM's run state says
   * @param onEnd told when a migration has ended, one way or the other
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

  /** Ends; is told nothing more. */
  close(): void {
    this.#seat?.loop.disarm(this);
    this.#seat = null;
  }

  /** The monitor is down: what was asked is not answered. */
  onLinkDown(): void {
    this.#seat?.loop.disarm(this);
    this.#way = MIGRATION_WAY.NONE;
    this.#told = "";
    this.#isAsked = false;
    this.#isEnding = false;
  }

  /** A MIGRATION event. */
  onEvent(data: QmpData): void {
    if (typeof data["status"] === "string") this.look();
  }

  /** Something migrates, or has: how it stands is asked and told, and again until it has ended. */
  look(): void {
    this.#isEnding = false;
    if (this.#way === MIGRATION_WAY.NONE) {
      const way = this.#wayNow();
      this.#way = way === MIGRATION_WAY.INCOMING ? way : MIGRATION_WAY.OUTGOING;
    }
    if (this.#isAsked) return;
    this.#isAsked = true;
    this.#link.execute("query-migrate", undefined, (reply) => {
      this.#isAsked = false;
      if (this.#seat === null || reply.outcome === "closed" || reply.outcome === "unsent") return;
      this.#onInfo(readMigration(reply.outcome === "done" ? reply.value : undefined));
    }, { timeoutNs: ANSWER_NS });
  }

  /**
   * It has ended, and the run state says still that it goes on: QEMU tells of the end before it changes that,
   * and not of the change. It is asked for once more in a moment.
   */
  endLater(): void {
    const seat = this.#seat;
    if (seat === null) return;
    this.#isEnding = true;
    seat.loop.arm(this, seat.loop.clock.nowNs() + SETTLE_NS);
  }

  /** Called by the loop. */
  onTimer(): void {
    assert(this.#seat !== null, "a watch that is closed has no timer");
    if (!this.#isEnding) return this.look();
    this.#isEnding = false;
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
    // An incoming VM that waits for its source has nothing to tell but that it waits.
    if (words !== this.#told && status !== "none") this.#tell(seat, info);
    this.#told = words;
    const isComing = this.#way === MIGRATION_WAY.INCOMING && this.#wayNow() === MIGRATION_WAY.INCOMING;
    if (!RESTING.has(status)) return seat.loop.arm(this, seat.loop.clock.nowNs() + LOOK_NS);
    if (isComing && status === "none") return;
    seat.loop.disarm(this);
    this.#way = MIGRATION_WAY.NONE;
    this.#told = "";
    this.#onEnd();
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
