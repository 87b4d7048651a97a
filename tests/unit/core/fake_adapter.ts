/**
 * An adapter whose every step a test decides: it answers, finalizes, lets the VM stop and closes at once,
 * later or never.
 * @module
 */
import type { Code } from "../../../src/base/codes.ts";
import { assert } from "../../../src/base/assert.ts";
import type { ControlId } from "../../../src/base/ids.ts";
import type { Adapter, CloseReason, Seat } from "../../../src/core/adapter_port.ts";
import type { LeaseClass } from "../../../src/event/body_number.ts";
import type { Source } from "../../../src/event/source.ts";
import type { TransferEvent } from "../../../src/event/transfer_event.ts";

/** When a step is done. */
export type When = "now" | "later" | "never";

/** One command as the adapter got it. */
export interface TakenCommand {
  readonly kind: number;
  readonly ticket: number;
  readonly op: number;
  readonly corr: number;
  readonly origin: number;
  readonly token: number;
  readonly bodyBytes: number;
  readonly fds: readonly number[];
}

/** An adapter under a test's control. */
export class FakeAdapter implements Adapter {
  readonly source: Source;
  readonly name = "fake";
  /** When commands are answered. */
  answers: When = "now";
  finalizes: When = "now";
  stops: When = "now";
  closes: When = "now";
  /** What an answer's code is. */
  code = 0;
  readonly commands: TakenCommand[] = [];
  /** What happened, in order: "command OP", "finalize CLS", "stop", "close". */
  readonly steps: string[] = [];
  /** Tickets that wait for an answer. */
  readonly tickets: number[] = [];
  readonly finalizing: { readonly cls: LeaseClass; readonly done: () => void }[] = [];
  readonly stopping: (() => void)[] = [];
  readonly closing: (() => void)[] = [];
  /** What it does with a command's descriptors: takes them, keeps the event, or neither. */
  keeps: "nothing" | "fds" | "event" = "nothing";
  /** Descriptors that it took. */
  readonly taken: number[] = [];
  /** Events that it keeps. */
  readonly kept: TransferEvent[] = [];
  /** Controls that are gone, as it was told. */
  readonly gone: number[] = [];
  seat: Seat | null = null;
  readonly finalize?: (cls: LeaseClass, done: () => void) => void;
  readonly beforeStop?: (done: () => void) => void;

  /** @param canFinalize whether it has `finalize` and `beforeStop` at all */
  constructor(source: Source, canFinalize = true) {
    this.source = source;
    if (!canFinalize) return;
    this.finalize = (cls, done) =>
      this.#step(`finalize ${cls}`, this.finalizes, done, () => {
        this.finalizing.push({ cls, done });
      });
    this.beforeStop = (done) => this.#step("stop", this.stops, done, () => this.stopping.push(done));
  }

  /** Its seat, once it is open. */
  get at(): Seat {
    assert(this.seat !== null, "the adapter is open");
    return this.seat;
  }

  open(seat: Seat): void {
    this.seat = seat;
    seat.up();
  }

  command(event: TransferEvent): void {
    const { kind, ticket, words, corr, origin, token, bodyBytes, fds } = event;
    this.commands.push({
      kind,
      ticket,
      op: words[0] as number,
      corr,
      origin,
      token,
      bodyBytes,
      fds: [...fds],
    });
    this.steps.push(`command ${words[0]}`);
    if (this.keeps === "fds") this.taken.push(...event.takeFds());
    if (this.keeps === "event") this.kept.push(event.retain());
    if (this.answers === "now") this.at.ack(ticket, this.code as Code);
    else this.tickets.push(ticket);
  }

  controlGone(control: ControlId): void {
    this.gone.push(control);
  }

  close(_reason: CloseReason, closed: () => void): void {
    this.#step("close", this.closes, closed, () => this.closing.push(closed));
  }

  /** Answers the oldest command that waits. */
  answer(code = 0): void {
    const ticket = this.tickets.shift();
    assert(ticket !== undefined, "a command waits for its answer");
    this.at.ack(ticket, code as Code);
  }

  #step(name: string, when: When, done: () => void, keep: () => void): void {
    this.steps.push(name);
    if (when === "now") done();
    else if (when === "later") keep();
  }
}
