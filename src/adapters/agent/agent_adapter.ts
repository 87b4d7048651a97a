/**
 * The AGENT seam of a VM that QEMU runs: what the QEMU guest agent in the guest tells and does. A question
 * needs a capability. A command that changes the guest needs the AGENT lease, stands in the audit trail with
 * its program or path, and is not sent once the lease has ended.
 *
 * When the owner's lease ends, the files that it has open are closed and the file systems that it has frozen
 * are thawed.
 *
 * An agent is a guest's program: what it says is checked (agent_request.ts), and an agent that does not
 * answer is reported within seconds.
 * @module
 */
import { encode } from "cborg";
import { assert } from "../../base/assert.ts";
import { NEVER, SECOND } from "../../base/clock.ts";
import { CODE } from "../../base/codes.ts";
import { Fault } from "../../base/fault.ts";
import type { ControlId } from "../../base/ids.ts";
import { readU64 } from "../../base/layout.ts";
import { printable } from "../../base/printable.ts";
import type { Adapter, CloseReason, Seat, TimerHandler } from "../../core/adapter_port.ts";
import { AGENT_OP, FIRST_CHANGING_OP } from "../../event/agent_op.ts";
import { AGENT_REPLY, AGENT_REQUEST } from "../../event/body_layout.ts";
import { LEASE_CLASS, type LeaseClass, SEAM_REASON } from "../../event/body_number.ts";
import { KIND } from "../../event/kind.ts";
import { SOURCE, type Source } from "../../event/source.ts";
import { BODY, type TransferEvent } from "../../event/transfer_event.ts";
import type { AgentReply } from "../../qemu/agent/agent_client.ts";
import type { QmpEvent } from "../../qemu/protocol/qmp_message.ts";
import type { QmpLink, QmpLinkUser } from "../../qemu/monitor/qmp_link.ts";
import { isEndOfProcess, type QmpLoss } from "../../qemu/monitor/qmp_loss.ts";
import type { Channel } from "../channel/channel_listing.ts";
import { EarlyRequests, isFirstConnecting } from "../channel/early_requests.ts";
import { findChannels } from "../channel/find_channels.ts";
import { AgentLine } from "./agent_line.ts";
import { refusalOf } from "./agent_refusal.ts";
import { type AgentAsk, readAgentAnswer, readAgentRequest, readProgramResult } from "./agent_request.ts";
import { GuestFreeze } from "./guest_freeze.ts";
import { pieceOf, ProgramResults } from "./program_results.ts";

/** The name of the agent's port: qemu-ga's default. */
const PORT_NAME = "org.qemu.guest_agent.0";
const CLOSE_NS = 5 * SECOND;
/** How long a thaw that is under way may hold up the end of the adapter: to find the channel, and to thaw. */
const LAST_THAW_NS = 16 * SECOND;
/** How often the adapter asks whether an agent runs, for a port of which QEMU sends no events. */
const LOOK_NS = 5 * SECOND;
const MAX_OPEN_FILES = 64;

/** A command that is under way. */
interface Asked {
  readonly seat: Seat;
  readonly ticket: number;
  readonly op: number;
  readonly control: ControlId;
  readonly token: number;
  readonly ask: AgentAsk;
  readonly pid: number;
  readonly outOffset: number;
  readonly errOffset: number;
}

/** The adapter. */
export class AgentAdapter implements Adapter, QmpLinkUser, TimerHandler {
  readonly source: Source = SOURCE.AGENT;
  readonly name = "agent";
  readonly #link: QmpLink;
  readonly #results = new ProgramResults();
  /** Files that a control has open in the guest, by the agent's handle; `token` of those open for writing. */
  readonly #files = new Map<number, { readonly control: ControlId; readonly isWritten: boolean }>();
  #line: AgentLine | null = null;
  #seat: Seat | null = null;
  #freeze: GuestFreeze | null = null;
  #pid = 0;
  /** Requests that wait until the monitor is up, or known to be down. */
  readonly #early = new EarlyRequests();
  /** When it is asked next whether an agent runs. */
  #lookNs = NEVER;
  /** Closes it, once the last thaw is over; {@linkcode LAST_THAW_NS} at most. */
  #closing: { readonly shut: () => void; readonly untilNs: number } | null = null;

  /** Makes it over the endpoint's monitor, which it shares with others. */
  constructor(link: QmpLink) {
    this.#link = link;
  }

  open(seat: Seat): void {
    assert(this.#seat === null, "an adapter is opened once");
    this.#seat = seat;
    this.#line = new AgentLine({
      loop: seat.loop,
      uid: () => this.#link.monitorUid,
      pid: () => this.#link.pid,
      ways: () => this.#link.ways,
      away: () => this.#link.isUp ? "" : this.#link.outlook.away,
      onOpened: () => this.#arm(),
      lookAgain: (done) => this.#look(done),
    });
    this.#freeze = new GuestFreeze({
      log: seat.log,
      execute: (command, refused) => {
        if (this.#line === null) return refused({ code: CODE["seam-down"], why: "" });
        this.#line.execute(command, refused);
        this.#arm();
      },
    });
    this.#link.use(this);
  }

  command(event: TransferEvent): void {
    const seat = this.#seat;
    if (seat === null) return;
    assert(event.kind === KIND.CMD_AGENT, "commands of AGENT are the agent's");
    const isEarly = isFirstConnecting(this.#link) && this.#early.keep(event, seat.loop.clock.nowNs());
    if (!isEarly) this.#run(seat, event);
    this.#arm();
  }

  #run(seat: Seat, event: TransferEvent): void {
    const { at } = AGENT_REQUEST;
    const op = event.words[at.op / 4] as number;
    const asked = {
      seat,
      op,
      ticket: event.ticket,
      control: event.origin,
      token: event.token,
      pid: readU64(event.view, at.handle),
      outOffset: event.words[at.outOffset / 4] as number,
      errOffset: event.words[at.errOffset / 4] as number,
    };
    try {
      const ask = readAgentRequest(event);
      if (op >= FIRST_CHANGING_OP) this.#audit(asked, ask);
      this.#ask({ ...asked, ask });
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      seat.ack(event.ticket, CODE["bad-argument"], 0, 0, error.message);
    }
  }

  /** The owner's lease ended: nothing of it is sent any more, its files are closed, the guest is thawed. */
  finalize(cls: LeaseClass, done: () => void): void {
    if (cls !== LEASE_CLASS.AGENT) return done();
    this.#line?.sweep();
    this.#closeFiles(({ isWritten }) => isWritten);
    this.#releaseFreeze(done);
  }

  /** A control is gone: its files are closed. */
  controlGone(control: ControlId): void {
    this.#early.drop((event) => event.origin === control);
    this.#closeFiles((file) => file.control === control);
  }

  close(_reason: CloseReason, closed: () => void): void {
    assert(
      this.#seat !== null && this.#closing === null,
      "an adapter that closes was opened, and closes once",
    );
    const { loop } = this.#seat;
    this.#early.drop(() => true);
    const shut = () => {
      if (this.#closing === null) return;
      this.#closing = null;
      this.#seat = null;
      this.#link.leave(this);
      loop.disarm(this);
      this.#line?.close("");
      this.#line = null;
      closed();
    };
    this.#closing = { shut, untilNs: loop.clock.nowNs() + LAST_THAW_NS };
    // Nobody thaws the guest when this daemon is gone.
    this.#freeze?.whenIdle(shut);
    if (this.#closing !== null) this.#arm();
  }

  /** Called by the core: the monitor is lost, and tried again. */
  onFault(error: unknown): void {
    this.#link.onFault(error);
  }

  /** Called by the loop. */
  onTimer(nowNs: number): void {
    const seat = this.#seat;
    if (seat === null) return;
    if (this.#closing !== null && this.#closing.untilNs <= nowNs) return this.#closing.shut();
    this.#early.takeDue(nowNs, (event) => this.#run(seat, event));
    this.#line?.tick(nowNs);
    if (this.#lookNs <= nowNs) this.#look();
    this.#arm();
  }

  /** Called by the link. */
  onLinkUp(_status: string, pid: number): void {
    assert(this.#seat !== null, "a link calls its users only");
    if (pid !== this.#pid) this.#forget();
    this.#pid = pid;
    this.#look();
    this.#runEarly();
  }

  /** Called by the link. */
  onLinkDown(loss: QmpLoss): void {
    if (isEndOfProcess(loss)) this.#forget();
    this.#lookNs = NEVER;
    this.#runEarly();
    // For a VM without an agent's port it would report nothing.
    if (this.#seat?.isUp === true) this.#seat.down(loss.reason, this.#pid);
  }

  /** Called by the link. */
  onQmpEvent(event: QmpEvent): void {
    // The agent has opened its port, or closed it: it was started, or ended.
    if (event.name === "VSERPORT_CHANGE") this.#look();
    if (event.name === "RESET") this.#forget();
  }

  #runEarly(): void {
    const seat = this.#seat;
    if (seat !== null) this.#early.takeAll((event) => this.#run(seat, event));
    this.#arm();
  }

  /** Asks where the agent is, and learns it. @param done told it; "unknown": the monitor did not say */
  #look(done?: (channel: Channel | "unknown" | undefined) => void): void {
    this.#lookNs = NEVER;
    findChannels(this.#link, (channels) => {
      const channel = channels === undefined ? "unknown" : channels.find(isAgent);
      if (channel !== "unknown") this.#learn(channel);
      // What is not known yet is asked again: an event that told of a change comes once.
      else if (this.#seat !== null && this.#link.isUp) this.#lookNs = this.#seat.loop.clock.nowNs() + LOOK_NS;
      done?.(channel);
      this.#arm();
    });
  }

  #learn(channel: Channel | undefined): void {
    const seat = this.#seat;
    if (seat === null) return;
    if (channel !== undefined && !channel.isTold) this.#lookNs = seat.loop.clock.nowNs() + LOOK_NS;
    const isThere = channel !== undefined && channel.isGuestOpen &&
      (channel.place.kind !== "other" || this.#link.ways !== undefined);
    if (isThere && !seat.isUp) seat.up(this.#pid);
    if (isThere) this.#thawOwed();
    else this.#line?.lost("the guest's agent has ended");
    if (!isThere && seat.isUp) seat.down(SEAM_REASON.PEER_CLOSED, this.#pid);
    this.#arm();
  }

  #ask(asked: Asked): void {
    const { seat, ticket, op, pid, outOffset, errOffset, ask, token } = asked;
    if (op === AGENT_OP.EXEC_STATUS) {
      const kept = this.#results.piece(pid, outOffset, errOffset);
      if (kept !== undefined) return this.#reply(seat, ticket, op, kept);
    }
    if ((op === AGENT_OP.OPEN_READ || op === AGENT_OP.OPEN_WRITE) && this.#files.size >= MAX_OPEN_FILES) {
      return seat.ack(ticket, CODE.busy, 0, 0, `${MAX_OPEN_FILES} files are open in the guest already`);
    }
    const changes = op >= FIRST_CHANGING_OP;
    const { name, args, limitNs } = ask;
    const onFreeze = op === AGENT_OP.FREEZE ? this.#freeze?.freezing() : undefined;
    this.#line?.execute({
      name,
      ...(args === undefined ? {} : { args }),
      limitNs,
      // A late command never lands.
      ...(changes ? { mayBeSent: () => seat.leaseIsLive(LEASE_CLASS.AGENT, token) } : {}),
      handler: (reply) => {
        onFreeze?.(reply.outcome);
        if (this.#seat === seat) this.#onReply(asked, reply);
      },
    }, ({ code, why }) => {
      onFreeze?.("unsent");
      if (this.#seat === seat) seat.ack(ticket, code, 0, 0, why);
    });
  }

  #onReply(asked: Asked, reply: AgentReply): void {
    const { seat, ticket, op, ask, control, pid, outOffset, errOffset } = asked;
    if (reply.outcome !== "done") {
      if (ask.isUnanswered && (reply.outcome === "timed-out" || reply.outcome === "closed")) {
        return seat.ack(ticket, CODE.ok);
      }
      const { code, words } = refusalOf(reply);
      return seat.ack(ticket, code, 0, 0, words);
    }
    const { value } = reply;
    if (op === AGENT_OP.EXEC_STATUS) {
      const result = readProgramResult(value);
      if (result === undefined) return this.#garbage(asked);
      if (!result.exited) return this.#reply(seat, ticket, op, pieceOf(result, 0, 0));
      this.#results.keep(pid, result);
      return this.#reply(seat, ticket, op, this.#results.piece(pid, outOffset, errOffset));
    }
    const answer = readAgentAnswer(op, value);
    if (answer === undefined) return this.#garbage(asked);
    if (op === AGENT_OP.OPEN_READ || op === AGENT_OP.OPEN_WRITE) {
      const { handle } = answer as { readonly handle: number };
      this.#files.set(handle, { control, isWritten: op === AGENT_OP.OPEN_WRITE });
    }
    if (op === AGENT_OP.FILE_CLOSE) this.#files.delete(pid);
    if (op === AGENT_OP.THAW) this.#freeze?.thawed();
    this.#reply(seat, ticket, op, answer);
  }

  #garbage({ seat, ticket }: Asked): void {
    seat.ack(ticket, CODE["protocol-error"], 0, 0, "the guest's agent sent a malformed answer");
  }

  #reply(seat: Seat, ticket: number, op: number, body: unknown): void {
    const event = seat.event(KIND.AGENT_REPLY);
    event.words[AGENT_REPLY.at.op / 4] = op;
    const bytes = encode(body ?? null);
    event.setBody(BODY.CBOR, bytes);
    seat.reply(ticket, event);
  }

  /** What is done is told with its program or path: the lease alone says too little. */
  #audit({ seat, ticket }: Omit<Asked, "ask">, { name, args }: AgentAsk): void {
    const { path, arg, mode } = (args ?? {}) as { path?: string; arg?: readonly string[]; mode?: string };
    const words = [name, path, mode, ...arg ?? []].filter((word) => word !== undefined);
    if (name === "guest-file-write") return;
    seat.audit(KIND.CMD_AGENT, CODE.ok, {
      ticket,
      cls: LEASE_CLASS.AGENT,
      detail: () => printable(words.join(" "), 512),
    });
  }

  #closeFiles(
    isMeant: (file: { readonly control: ControlId; readonly isWritten: boolean }) => boolean,
  ): void {
    for (const [handle, file] of this.#files) {
      if (!isMeant(file)) continue;
      this.#files.delete(handle);
      this.#quiet("guest-file-close", { handle }, CLOSE_NS, () => {});
    }
  }

  /** A command of the adapter's own, whose answer is not used. */
  #quiet(name: string, args: object | undefined, limitNs: number, done: () => void): void {
    const line = this.#line;
    if (line === null) return done();
    line.execute(
      { name, ...(args === undefined ? {} : { args }), limitNs, handler: () => done() },
      () => done(),
    );
    this.#arm();
  }

  /** Thaws what the owner of a lease that has ended froze. @param done called when that has been tried */
  #releaseFreeze(done: () => void): void {
    const freeze = this.#freeze;
    if (freeze === null) return done();
    freeze.release(() => {
      this.#retryThaw();
      done();
    });
  }

  /** Tries a thaw again that has failed before. */
  #thawOwed(): void {
    if (this.#freeze?.isOwed === true && this.#closing === null) this.#freeze.thaw(() => this.#retryThaw());
  }

  #retryThaw(): void {
    const seat = this.#seat;
    if (seat === null || this.#freeze?.isOwed !== true) return;
    if (this.#link.isUp) this.#lookNs = seat.loop.clock.nowNs() + LOOK_NS;
    this.#arm();
  }

  /** Another system runs, or none: nothing of the old one is left. */
  #forget(): void {
    this.#files.clear();
    this.#results.clear();
    this.#freeze?.thawed();
  }

  #arm(): void {
    const seat = this.#seat;
    if (seat === null) return;
    const dueNs = Math.min(
      this.#line?.deadlineNs ?? NEVER,
      this.#lookNs,
      this.#early.deadlineNs,
      this.#closing?.untilNs ?? NEVER,
    );
    if (dueNs === NEVER) seat.loop.disarm(this);
    else seat.loop.arm(this, dueNs);
  }
}

function isAgent({ role, portName }: Channel): boolean {
  return role === "virtio-port" && portName === PORT_NAME;
}
