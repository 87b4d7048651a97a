/**
 * The FRAME seam of a VM that QEMU runs: who wants which pictures, and everything about pictures that needs
 * the VM's monitor. It never touches a pixel: a control with PUBLISH (perception) makes the pictures, and
 * asks this adapter for what it needs of QEMU.
 *
 *   CMD_FRAME (any control) -> FRAME_DEMAND (to whoever publishes) -> pictures, and CMD_DISPLAY "served"
 *     -> the ACT_ACKs of the CMD_FRAMEs that waited
 *
 * Without demand nothing is asked of QEMU but which displays there are: when the monitor comes up, at what
 * may change them, and when somebody asks after a head that is not known. QEMU tells nothing of a display
 * that is plugged in, nor (7.2, bochs-display) of each that is removed.
 * @module
 */
import { CODE, type Code } from "../../base/codes.ts";
import { NEVER, SECOND } from "../../base/clock.ts";
import type { ControlId } from "../../base/ids.ts";
import { MAX_HEADS } from "../../base/limits.ts";
import { assert } from "../../base/assert.ts";
import type { Adapter, CloseReason, Seat, TimerHandler } from "../../core/adapter_port.ts";
import { FRAME_REQUEST } from "../../event/body_layout.ts";
import { FRAME_OP, SEAM_REASON, type SeamReason } from "../../event/body_number.ts";
import { KIND } from "../../event/kind.ts";
import { SOURCE, type Source } from "../../event/source.ts";
import type { TransferEvent } from "../../event/transfer_event.ts";
import type { QmpEvent } from "../../qemu/protocol/qmp_message.ts";
import type { QmpLink, QmpLinkUser } from "../../qemu/monitor/qmp_link.ts";
import { isEndOfProcess, type QmpLoss } from "../../qemu/monitor/qmp_loss.ts";
import { DisplayDesk } from "./display_desk.ts";
import { statusBody } from "./display_reply.ts";
import type { DisplayChoice } from "./display_choice.ts";
import { DisplayLook } from "./display_look.ts";
import type { DisplayAnswer } from "./display_probe.ts";
import { FrameDemand, MAX_RATE } from "./frame_demand.ts";
import { changedPlaces, keepPlaces } from "./head_places.ts";
import { HeadStates, isProducer } from "./head_states.ts";

/** How long a request for one picture may wait until somebody makes it. */
const SERVE_NS = 15 * SECOND;

/** What moves the VM's processors, and with them its pictures; and what changes its displays. */
const RUN_EVENTS: ReadonlyMap<string, boolean> = new Map([
  ["STOP", false],
  ["SUSPEND", false],
  ["SUSPEND_DISK", false],
  ["RESUME", true],
  ["WAKEUP", true],
]);
const DISPLAY_EVENTS: ReadonlySet<string> = new Set(["DEVICE_DELETED", "VNC_INITIALIZED", "RESET"]);
/** Questions after unknown heads that wait for QEMU's answer. */
const MAX_UNKNOWN = 256;

/** A CMD_FRAME that wants something. */
interface Wish {
  readonly op: number;
  readonly head: number;
  readonly perSecond: number;
  readonly ticket: number;
  readonly control: ControlId;
}

/** How the adapter is made. */
export interface DisplayAdapterOptions {
  /** The endpoint's monitor, which it shares with others. */
  readonly link: QmpLink;
  /** What the config says. */
  readonly display: DisplayChoice;
  /** Called when pictures are wanted: somebody who makes them should run. */
  readonly onWanted: () => void;
}

/** The adapter. */
export class DisplayAdapter implements Adapter, QmpLinkUser, TimerHandler {
  readonly source: Source = SOURCE.FRAME;
  readonly name = "display";
  readonly #options: DisplayAdapterOptions;
  readonly #demands = new Map<number, FrameDemand>();
  readonly #heads = new HeadStates();
  readonly #desk: DisplayDesk;
  readonly #look: DisplayLook;
  /** Those after heads that QEMU is asked for. */
  #unknown: Wish[] = [];
  #seat: Seat | null = null;
  #isUp = false;
  #isRunning = true;
  #pid = 0;

  /** Makes it over an endpoint's monitor. */
  constructor(options: DisplayAdapterOptions) {
    this.#options = options;
    const { link, display } = options;
    this.#desk = new DisplayDesk(link, display, {
      heads: this.#heads,
      onServed: (head, kind, serial, { code, frameId, words }) => {
        for (const ticket of this.#demands.get(head)?.served(kind, serial) ?? []) {
          this.#seat?.ack(ticket, code, frameId, 0, words);
        }
        this.#armForLate();
      },
      onHeadState: (head) => this.#onHeadState(head),
      onNoDump: () => this.#look.begin(),
    });
    this.#look = new DisplayLook(link, (answer) => this.#onFound(answer));
  }

  open(seat: Seat): void {
    assert(this.#seat === null, "an adapter is opened once");
    this.#seat = seat;
    this.#desk.open(seat);
    this.#options.link.use(this);
  }

  command(event: TransferEvent): void {
    const seat = this.#seat;
    if (seat === null) return;
    if (event.kind === KIND.CMD_DISPLAY) return this.#desk.command(event);
    assert(event.kind === KIND.CMD_FRAME, "commands of FRAME are pictures wanted, and pictures made");
    this.#onFrameCommand(seat, event);
  }

  /** A control is gone: it wants nothing any more, and what it brought goes with it. */
  controlGone(control: ControlId): void {
    this.#unknown = this.#unknown.filter((wish) => wish.control !== control);
    for (const demand of this.#demands.values()) if (demand.unwatch(control)) this.#tell(demand);
    if (this.#desk.controlGone(control)) this.#updateSeam("the control that made its pictures has left");
  }

  close(_reason: CloseReason, closed: () => void): void {
    assert(this.#seat !== null, "an adapter that closes was opened, and closes once");
    this.#seat?.loop.disarm(this);
    this.#desk.close();
    this.#unknown = [];
    this.#seat = null;
    this.#options.link.leave(this);
    closed();
  }

  /** Called by the core: the monitor is lost, and tried again. */
  onFault(error: unknown): void {
    this.#options.link.onFault(error);
  }

  /** Called by the loop: requests that nobody served are answered. */
  onTimer(nowNs: number): void {
    for (const demand of this.#demands.values()) {
      for (const ticket of demand.late(nowNs - SERVE_NS)) {
        this.#seat?.ack(ticket, CODE["timed-out"], 0, 0, "no picture was made in time");
      }
    }
    this.#armForLate();
  }

  /** Called by the link. */
  onLinkUp(status: string, pid: number): void {
    assert(this.#seat !== null, "a link calls its users only");
    this.#pid = pid;
    this.#isRunning = status === "running";
    this.#look.begin();
  }

  /** Called by the link. */
  onLinkDown(loss: QmpLoss): void {
    this.#desk.lost();
    this.#look.lost();
    // A viewer connection of QEMU's needs no monitor: a source that shows a head goes on, as long as QEMU
    // lives.
    if (isEndOfProcess(loss)) this.#heads.reset([], []);
    this.#down(loss.reason);
    this.#refuseAll(CODE["seam-down"], loss.text);
    this.#refuseUnknowns(CODE["seam-down"], loss.text);
  }

  /** Called by the link. */
  onQmpEvent(event: QmpEvent): void {
    const runs = RUN_EVENTS.get(event.name);
    if (runs !== undefined && runs !== this.#isRunning) {
      this.#isRunning = runs;
      for (const demand of this.#demands.values()) this.#tell(demand);
    }
    if (DISPLAY_EVENTS.has(event.name)) this.#look.begin();
  }

  #onFrameCommand(seat: Seat, event: TransferEvent): void {
    const { at } = FRAME_REQUEST;
    const op = event.words[at.op / 4] as number;
    const head = event.words[at.head / 4] as number;
    const perSecond = event.words[at.perSecond / 4] as number;
    const { ticket } = event;
    if (head >= MAX_HEADS || perSecond > MAX_RATE) return seat.ack(ticket, CODE["bad-argument"]);
    if (op === FRAME_OP.UNWATCH) {
      const demand = this.#demands.get(head);
      if (demand?.unwatch(event.origin as ControlId) === true) this.#tell(demand);
      return seat.ack(ticket, CODE.ok);
    }
    if (op === FRAME_OP.STATUS) return this.#status(seat, ticket);
    if (op !== FRAME_OP.ONCE && op !== FRAME_OP.TEXT && op !== FRAME_OP.WATCH) {
      return seat.ack(ticket, CODE["bad-argument"]);
    }
    if (!this.#options.link.isUp) {
      return seat.ack(ticket, CODE["seam-down"], 0, 0, this.#options.link.outlook.away);
    }
    const wish: Wish = { op, head, perSecond, ticket, control: event.origin as ControlId };
    // Right after the monitor came up nothing is known yet: it waits.
    if (this.#desk.facts === undefined || this.#heads.isThere(head)) return this.#admit(seat, wish);
    const nowNs = seat.loop.clock.nowNs();
    if (this.#unknown.length < MAX_UNKNOWN && this.#look.beginForAsker(nowNs)) this.#unknown.push(wish);
    else this.#refuseUnknown(seat, ticket, head);
  }

  #admit(seat: Seat, { op, head, perSecond, ticket, control }: Wish): void {
    const demand = this.#demandOf(head);
    if (op === FRAME_OP.WATCH) {
      demand.watch(control, perSecond);
      seat.ack(ticket, CODE.ok);
    } else {
      demand.ask(op === FRAME_OP.ONCE ? "picture" : "text", ticket, seat.loop.clock.nowNs());
      this.#armForLate();
    }
    this.#tell(demand);
  }

  /** Refuses what is wanted of a head that is not there. */
  #refuseUnknown(seat: Seat, ticket: number, head: number): void {
    const { code, why } = this.#whyNot(head);
    seat.ack(ticket, code, 0, 0, why);
  }

  /** Why a head that is not there is not. */
  #whyNot(head: number): { readonly code: Code; readonly why: string } {
    const { count } = this.#heads;
    if (count === 0) return { code: CODE["not-supported"], why: "the VM has no display" };
    if (head < count) return { code: CODE["bad-argument"], why: "its device was removed" };
    return { code: CODE["bad-argument"], why: `the VM has ${count} ${count === 1 ? "head" : "heads"}` };
  }

  #status(seat: Seat, ticket: number): void {
    const event = seat.event(KIND.DISPLAY);
    statusBody(event, this.#options.display, this.#desk.facts, this.#heads);
    seat.reply(ticket, event);
  }

  #demandOf(head: number): FrameDemand {
    let demand = this.#demands.get(head);
    if (demand === undefined) {
      demand = new FrameDemand(head);
      this.#demands.set(head, demand);
    }
    return demand;
  }

  /** Tells the control that makes pictures what is wanted now. */
  #tell(demand: FrameDemand): void {
    const seat = this.#seat;
    if (seat === null) return;
    if (!this.#desk.hasMaker && (demand.perSecond > 0 || demand.hasWaiting)) this.#options.onWanted();
    const event = seat.event(KIND.FRAME_DEMAND);
    demand.write(event, !this.#isRunning);
    seat.emit(event);
  }

  /** QEMU has told of its displays. */
  #onFound(answer: DisplayAnswer | undefined): void {
    const seat = this.#seat;
    if (seat === null) return;
    if (answer === undefined) {
      return this.#refuseUnknowns(CODE["seam-down"], "the VM's monitor does not answer");
    }
    const { heads: found, hasVnc, hasDbus } = answer;
    const before = this.#desk.facts?.heads ?? [];
    const heads = keepPlaces(before, found);
    const changed = changedPlaces(before, heads);
    this.#desk.know({ heads, hasVnc, hasDbus });
    this.#heads.reset(heads.map((head) => head !== undefined), changed);
    for (const demand of this.#demands.values()) {
      const { head } = demand;
      // Whatever became of a device, a producer goes on showing its head.
      if (isProducer(this.#heads.of(head))) continue;
      if (changed.includes(head) || !this.#heads.isThere(head)) this.#onRemoved(seat, demand);
    }
    for (const wish of this.#unknown.splice(0)) {
      if (this.#heads.isThere(wish.head)) this.#admit(seat, wish);
      else this.#refuseUnknown(seat, wish.ticket, wish.head);
    }
    this.#updateSeam("the VM has no display");
  }

  /**
   * A head's device is gone, or there was none: tells those who wait and those who watch, and drops their
   * demands.
   */
  #onRemoved(seat: Seat, demand: FrameDemand): void {
    const { head, isWatched } = demand;
    const { code, why } = this.#heads.isThere(head)
      ? { code: CODE["bad-argument"], why: "its device was removed" }
      : this.#whyNot(head);
    const tickets = demand.replaced();
    for (const ticket of tickets) seat.ack(ticket, code, 0, 0, why);
    if (isWatched) seat.emitError(CODE["bad-argument"], head, why);
    this.#armForLate();
    this.#tell(demand);
  }

  #onHeadState(head: number): void {
    const state = this.#heads.of(head);
    if (state.kind === "lost") {
      this.#seat?.log.warn("a display's source is lost", {
        vm: this.#seat.endpointName,
        head,
        why: state.why,
      });
    }
    this.#updateSeam(state.kind === "lost" ? state.why : "", state.kind === "lost" ? state.code : CODE.ok);
  }

  #updateSeam(why: string, code: Code = CODE["not-supported"]): void {
    const seat = this.#seat;
    if (seat === null || !this.#options.link.isUp) return;
    if (this.#heads.isUsable) {
      if (this.#isUp) return;
      this.#isUp = true;
      seat.up(this.#pid);
      // What was kept of the seam went when it was lost: a control that makes pictures later must be told
      // what is wanted.
      for (const demand of this.#demands.values()) this.#tell(demand);
    } else if (this.#desk.facts !== undefined && this.#isUp) {
      this.#down(code === CODE["protocol-error"] ? SEAM_REASON.PROTOCOL_ERROR : SEAM_REASON.PEER_CLOSED);
      seat.emitError(code, 0, why);
    }
  }

  #down(reason: SeamReason): void {
    this.#isUp = false;
    this.#seat?.down(reason, this.#pid);
  }

  #refuseUnknowns(code: Code, words: string): void {
    for (const { ticket } of this.#unknown.splice(0)) this.#seat?.ack(ticket, code, 0, 0, words);
  }

  #refuseAll(code: Code, words: string): void {
    for (const demand of this.#demands.values()) {
      for (const ticket of demand.late(NEVER)) this.#seat?.ack(ticket, code, 0, 0, words);
    }
    this.#armForLate();
  }

  #armForLate(): void {
    const seat = this.#seat;
    if (seat === null) return;
    let oldestNs = NEVER;
    for (const demand of this.#demands.values()) oldestNs = Math.min(oldestNs, demand.oldestNs ?? NEVER);
    if (oldestNs === NEVER) seat.loop.disarm(this);
    else seat.loop.arm(this, oldestNs + SERVE_NS);
  }
}
