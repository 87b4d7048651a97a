/**
 * The FRAME seam of a VM that QEMU runs: who wants which pictures, and everything about pictures that needs
 * the VM's monitor. It never touches a pixel: a control with PUBLISH (perception) makes the pictures, and
 * asks this adapter for what it needs of QEMU.
 *
 *   CMD_FRAME (any control) -> FRAME_DEMAND (to whoever publishes) -> pictures, and CMD_DISPLAY "served"
 *     -> the ACT_ACKs of the CMD_FRAMEs that waited
 *
 * Without demand nothing is asked of QEMU but, once each time the monitor comes up, which displays there are.
 * @module
 */
import { CODE, type Code } from "../../base/codes.ts";
import { NEVER, SECOND } from "../../base/clock.ts";
import type { ControlId } from "../../base/ids.ts";
import { MAX_HEADS } from "../../base/limits.ts";
import { assert } from "../../base/assert.ts";
import type { Adapter, CloseReason, Seat, TimerHandler } from "../../core/adapter_port.ts";
import { FRAME_REQUEST } from "../../event/body_layout.ts";
import { FRAME_OP, SEAM_REASON } from "../../event/body_number.ts";
import { KIND } from "../../event/kind.ts";
import { SOURCE, type Source } from "../../event/source.ts";
import type { TransferEvent } from "../../event/transfer_event.ts";
import type { QmpEvent } from "../../qemu/protocol/qmp_message.ts";
import type { QmpLink, QmpLinkUser } from "../../qemu/monitor/qmp_link.ts";
import type { QmpLoss } from "../../qemu/monitor/qmp_loss.ts";
import { DisplayDesk } from "./display_desk.ts";
import { statusBody } from "./display_reply.ts";
import type { DisplayChoice } from "./display_choice.ts";
import { probeDisplays } from "./display_probe.ts";
import { FrameDemand, MAX_RATE } from "./frame_demand.ts";
import { HeadStates } from "./head_states.ts";

/** Why no picture can be had while the monitor is not connected, and what to do. */
const MONITOR_AWAY =
  "the VM's monitor is not connected: QEMU is ending, or another client has it; vmsig probe tells which, and it is tried again by itself";

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
const DISPLAY_EVENTS: ReadonlySet<string> = new Set(["DEVICE_DELETED", "VNC_INITIALIZED"]);

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
          this.#seat?.ack(ticket, code as Code, frameId, 0, words);
        }
        this.#armForLate();
      },
      onHeadState: (head) => this.#onHeadState(head),
    });
  }

  open(seat: Seat): void {
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
    for (const demand of this.#demands.values()) if (demand.unwatch(control)) this.#tell(demand);
    if (this.#desk.controlGone(control)) this.#updateSeam("whoever made its pictures is gone");
  }

  close(_reason: CloseReason, closed: () => void): void {
    this.#seat?.loop.disarm(this);
    this.#desk.close();
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
        this.#seat?.ack(ticket, CODE["timed-out"], 0, 0, "nobody made the picture in time");
      }
    }
    this.#armForLate();
  }

  /** Called by the link. */
  onLinkUp(status: string, pid: number): void {
    this.#pid = pid;
    this.#isRunning = status === "running";
    this.#probe();
  }

  /** Called by the link. */
  onLinkDown(loss: QmpLoss): void {
    this.#desk.lost();
    this.#heads.reset(0);
    this.#down(loss.reason);
    this.#refuseAll(CODE["seam-down"], loss.text);
  }

  /** Called by the link. */
  onQmpEvent(event: QmpEvent): void {
    const runs = RUN_EVENTS.get(event.name);
    if (runs !== undefined && runs !== this.#isRunning) {
      this.#isRunning = runs;
      for (const demand of this.#demands.values()) this.#tell(demand);
    }
    if (DISPLAY_EVENTS.has(event.name)) this.#probe();
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
    if (this.#refuseUnknown(seat, ticket, head)) return;
    const demand = this.#demandOf(head);
    if (op === FRAME_OP.WATCH) {
      demand.watch(event.origin as ControlId, perSecond);
      seat.ack(ticket, CODE.ok);
    } else {
      demand.ask(op === FRAME_OP.ONCE ? "picture" : "text", ticket, seat.loop.clock.nowNs());
      this.#armForLate();
    }
    this.#tell(demand);
  }

  /** Refuses what cannot be had; whether it did. */
  #refuseUnknown(seat: Seat, ticket: number, head: number): boolean {
    const { link } = this.#options;
    const { facts } = this.#desk;
    if (!link.isUp) {
      seat.ack(ticket, CODE["seam-down"], 0, 0, MONITOR_AWAY);
      return true;
    }
    // Right after the monitor came up nothing is known yet: it waits.
    if (facts === undefined || head < this.#heads.count) return false;
    const count = this.#heads.count;
    if (count === 0) seat.ack(ticket, CODE["not-supported"], 0, 0, "the VM has no display");
    else {seat.ack(
        ticket,
        CODE["bad-argument"],
        0,
        0,
        `the VM has ${count} ${count === 1 ? "head" : "heads"}`,
      );}
    return true;
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

  /** Tells whoever makes pictures what is wanted now. */
  #tell(demand: FrameDemand): void {
    const seat = this.#seat;
    if (seat === null) return;
    if (!this.#desk.hasMaker && (demand.perSecond > 0 || demand.hasWaiting)) this.#options.onWanted();
    const event = seat.event(KIND.FRAME_DEMAND);
    demand.write(event, !this.#isRunning);
    seat.emit(event);
  }

  #probe(): void {
    probeDisplays(this.#options.link, (facts) => {
      if (facts === undefined || this.#seat === null) return;
      this.#desk.know(facts);
      this.#heads.reset(facts.heads.length);
      if (this.#heads.count === 0) this.#refuseAll(CODE["not-supported"], "the VM has no display");
      this.#updateSeam("the VM has no display");
    });
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

  #updateSeam(why: string, code: number = CODE["not-supported"]): void {
    const seat = this.#seat;
    if (seat === null || !this.#options.link.isUp) return;
    if (this.#heads.isUsable) {
      if (this.#isUp) return;
      this.#isUp = true;
      seat.up(this.#pid);
      // What was kept of the seam went when it was lost: who makes pictures later must hear what is wanted.
      for (const demand of this.#demands.values()) this.#tell(demand);
    } else if (this.#desk.facts !== undefined && this.#isUp) {
      this.#down(code === CODE["protocol-error"] ? SEAM_REASON.PROTOCOL_ERROR : SEAM_REASON.PEER_CLOSED);
      seat.emitError(code as Code, 0, why);
    }
  }

  #down(reason: number): void {
    this.#isUp = false;
    this.#seat?.down(reason, this.#pid);
  }

  #refuseAll(code: number, words: string): void {
    for (const demand of this.#demands.values()) {
      for (const ticket of demand.late(NEVER)) this.#seat?.ack(ticket, code as Code, 0, 0, words);
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
