/**
 * A seam of an endpoint that plays a recording: it emits what it is handed, and says yes to every command, so
 * that a control can be tested without its VM. A query of the VM's state is answered with the state that was
 * played last. Bytes of consoles and pictures are kept, and given to who asks.
 *
 * It does not know the time: `daemon/replay_daemon.ts` hands it each event when it is due.
 * @module
 */
import { assert } from "../../base/assert.ts";
import type { Prio } from "../../event/priority.ts";
import type { Kind } from "../../event/kind.ts";
import { CODE } from "../../base/codes.ts";
import type { ControlId } from "../../base/ids.ts";
import type { Adapter, CloseReason, Seat } from "../../core/adapter_port.ts";
import { VM_OP, VM_STATE_NUMBER } from "../../event/body_number.ts";
import { KIND } from "../../event/kind.ts";
import type { RecordedConsole } from "../../event/recorded_console.ts";
import type { RecordedEvent } from "../../event/recording.ts";
import { type Source, sourceName } from "../../event/source.ts";
import { isSeam } from "../seams.ts";
import { ReplayConsoles } from "./replay_consoles.ts";
import { tellMemory } from "./replay_memory.ts";
import { type MakeRing, ReplayScreen } from "./replay_screen.ts";

/** What a seam is made of. */
export interface ReplaySeamOptions {
  /** Which. */
  readonly source: Source;
  /** Whether it was up when the recording began; else the recording itself says when. */
  readonly isUpAtOpen: boolean;
  /** Heads of which there are pictures. */
  readonly heads: ReadonlySet<number>;
  /** Consoles whose bytes there are, by number. */
  readonly consoles: ReadonlyMap<number, RecordedConsole>;
  /** Makes the rings for them. */
  readonly makeRing: MakeRing;
  /** Where the recording is, with its copies of memory. */
  readonly folder: string;
}

/** One seam. */
export class ReplaySeam implements Adapter {
  readonly source: Source;
  readonly name: string;
  readonly #options: ReplaySeamOptions;
  readonly #screen: ReplayScreen;
  readonly #consoles: ReplayConsoles;
  #seat: Seat | null = null;
  #state: number = VM_STATE_NUMBER.RUNNING;
  #detail = 0;

  /** Makes the seam of a source. */
  constructor(options: ReplaySeamOptions) {
    const { source, makeRing, heads } = options;
    this.source = source;
    this.name = `${sourceName(source).toLowerCase()}/replay`;
    this.#options = options;
    this.#screen = new ReplayScreen(makeRing, heads);
    this.#consoles = new ReplayConsoles(options.consoles);
  }

  /** A recording is told whole, however fast it is played. */
  get isOwn(): boolean {
    return true;
  }

  open(seat: Seat): void {
    assert(this.#seat === null, "an adapter is opened once");
    this.#seat = seat;
    if (this.#options.isUpAtOpen) seat.up();
  }

  /**
   * Emits a recorded event as if it happened now.
   *
   * @returns whether it could: a picture may be damaged, or change one that is not there
   * @throws {Fault | OsError} when a ring or the copy of a memory cannot be had
   */
  play(recorded: RecordedEvent): boolean {
    const seat = this.#seat;
    if (seat === null) return false;
    const { picture, memory } = recorded;
    if (recorded.console !== undefined) {
      this.#consoles.play(seat, recorded);
      return true;
    }
    if (picture !== undefined) return this.#screen.show(seat, recorded, picture);
    if (memory !== undefined) {
      tellMemory(seat, recorded, memory, this.#options.folder);
      return true;
    }
    const event = seat.event(recorded.kind as Kind);
    event.prio = recorded.prio as Prio;
    event.inline.set(recorded.inline);
    if (recorded.body.length > 0) event.copyBody(recorded.bodyFormat, recorded.body, 0, recorded.body.length);
    if (recorded.kind === KIND.VM_LIFECYCLE) {
      this.#state = event.words[0] as number;
      this.#detail = event.words[1] as number;
    }
    seat.emit(event);
    return true;
  }

  command(event: Parameters<Adapter["command"]>[0]): void {
    const seat = this.#seat as Seat;
    if (event.kind === KIND.CMD_VM && event.words[0] === VM_OP.QUERY) {
      const answer = seat.event(KIND.VM_LIFECYCLE);
      answer.words[0] = this.#state;
      answer.words[1] = this.#detail;
      seat.reply(event.ticket, answer);
    } else if (event.kind === KIND.CMD_FRAME) this.#screen.command(seat, event);
    else if (event.kind === KIND.CMD_CONSOLE) this.#consoles.command(seat, event);
    else if (event.kind === KIND.CMD_QUERY_INPUT) {
      seat.reply(event.ticket, seat.event(KIND.INPUT_HELD));
    } else seat.ack(event.ticket, CODE.ok);
  }

  /** A control is gone: nobody waits for its bytes. */
  controlGone(control: ControlId): void {
    this.#consoles.forget(control);
  }

  close(_reason: CloseReason, closed: () => void): void {
    if (this.#seat !== null) this.#consoles.close(this.#seat);
    this.#seat = null;
    this.#screen[Symbol.dispose]();
    closed();
  }
}

/**
 * Why an event of a recording is not played: it is an answer to a command of the recorded session; it came
 * with descriptors, in whose place nothing was kept; the bus says it itself; nothing is known of its
 * endpoint; its picture is told in its place; or what was recorded of it is damaged or missing.
 */
export type NotPlayed = "answer" | "descriptors" | "bus" | "endpoint" | "picture" | "damaged";

/** Why a recorded event cannot be played, whatever its endpoint; undefined when it can. */
export function whyNotPlayed(event: RecordedEvent): NotPlayed | undefined {
  if (event.corr !== 0) return "answer";
  const isKept = event.picture !== undefined || event.memory !== undefined || event.console !== undefined;
  if (isKept) return undefined;
  if (event.fds > 0) return "descriptors";
  switch (event.kind) {
    case KIND.SEAM_UP:
    case KIND.SEAM_DOWN:
    case KIND.ERROR:
    case KIND.VM_LIFECYCLE:
    case KIND.CURSOR_STATE:
    case KIND.FRAME_INFO:
    case KIND.VGPU_STATUS:
    case KIND.MEMCTX_INVALIDATED:
      return isSeam(event.source) ? undefined : "bus";
    default:
      return "bus";
  }
}
