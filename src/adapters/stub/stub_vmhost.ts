/**
 * The VMHOST seam of a stub endpoint: it answers as that of a VM does, without a VM. For developing a
 * control, for tests and benchmarks of the bus. It keeps the state that a VM would have.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { CODE } from "../../base/codes.ts";
import type { Adapter, CloseReason, Seat } from "../../core/adapter_port.ts";
import { LIFE, VM_DETAIL, VM_OP, VM_STATE_NUMBER } from "../../event/body_number.ts";
import { KIND } from "../../event/kind.ts";
import { PRIO } from "../../event/priority.ts";
import { SOURCE, type Source } from "../../event/source.ts";
import { StubMachine } from "./stub_machine.ts";
import type { TransferEvent } from "../../event/transfer_event.ts";

/** QEMU's own words. */
const NOT_SUSPENDED = "Unable to wake up: guest is not in suspended state";

/** The VMHOST seam of a stub endpoint. */
export class StubVmhost implements Adapter {
  readonly source: Source = SOURCE.VMHOST;
  readonly name: string = "vmhost/stub";
  #seat: Seat | null = null;
  readonly #machine: StubMachine;

  /** Makes it over a machine of its own, or over one that other seams share. */
  constructor(machine: StubMachine = new StubMachine()) {
    this.#machine = machine;
  }

  open(seat: Seat): void {
    assert(this.#seat === null, "an adapter is opened once");
    this.#seat = seat;
    seat.up();
  }

  command(event: TransferEvent): void {
    const op = event.words[0] as number;
    // It has no processor whose registers could be read.
    if (event.kind === KIND.CMD_VCPU) return this.#seat?.ack(event.ticket, CODE["not-supported"]);
    if (event.kind === KIND.CMD_SNAPSHOT) {
      return this.#seat?.ack(event.ticket, CODE["not-supported"], 0, 0, "a stub endpoint has no disks");
    }
    if (event.kind === KIND.CMD_VM) this.#vm(event, op);
    else this.#life(event, op);
  }

  close(_reason: CloseReason, closed: () => void): void {
    this.#seat = null;
    closed();
  }

  #vm(event: TransferEvent, op: number): void {
    const seat = this.#seat as Seat;
    switch (op) {
      case VM_OP.QUERY: {
        const answer = seat.event(KIND.VM_LIFECYCLE);
        answer.words[0] = this.#machine.state;
        seat.reply(event.ticket, answer);
        return;
      }
      case VM_OP.CONT:
        return this.#enter(event, VM_STATE_NUMBER.RUNNING);
      case VM_OP.STOP:
        return this.#enter(event, VM_STATE_NUMBER.PAUSED);
      case VM_OP.RESET:
        return this.#pass(event, VM_STATE_NUMBER.RESET);
      case VM_OP.POWERDOWN:
        return this.#pass(event, VM_STATE_NUMBER.POWERDOWN);
      case VM_OP.QUIT:
        return this.#enter(event, VM_STATE_NUMBER.SHUTDOWN);
      default:
        seat.ack(event.ticket, CODE["bad-argument"]);
    }
  }

  #life(event: TransferEvent, op: number): void {
    switch (op) {
      case LIFE.POWERDOWN:
        return this.#pass(event, VM_STATE_NUMBER.POWERDOWN);
      case LIFE.RESET:
        return this.#pass(event, VM_STATE_NUMBER.RESET);
      case LIFE.WAKEUP:
        // Like QEMU: a VM that is not suspended cannot be woken.
        return (this.#seat as Seat).ack(event.ticket, CODE.refused, 0, 0, NOT_SUSPENDED);
      case LIFE.PAUSE:
        return this.#enter(event, VM_STATE_NUMBER.PAUSED);
      case LIFE.RESUME:
        return this.#enter(event, VM_STATE_NUMBER.RUNNING);
      default:
        (this.#seat as Seat).ack(event.ticket, CODE["bad-argument"]);
    }
  }

  /** Enters a state and stays there; no event when it is there already, as with QEMU. */
  #enter(event: TransferEvent, state: number): void {
    const seat = this.#seat as Seat;
    if (this.#machine.enter(state)) this.#tell(state);
    seat.ack(event.ticket, CODE.ok);
  }

  /** Tells of something that leaves the state as it is. */
  #pass(event: TransferEvent, state: number): void {
    if (state === VM_STATE_NUMBER.RESET) this.#machine.reset();
    this.#tell(state);
    (this.#seat as Seat).ack(event.ticket, CODE.ok);
  }

  #tell(state: number): void {
    const seat = this.#seat as Seat;
    const event = seat.event(KIND.VM_LIFECYCLE);
    event.prio = PRIO.URGENT;
    event.words[0] = state;
    event.words[1] = VM_DETAIL.HOST_REQUEST;
    seat.emit(event);
  }
}
