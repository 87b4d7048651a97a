/**
 * A seam of an endpoint that plays a recording: it emits what it is handed, and says yes to every command, so
 * that a control can be tested without its VM. A query of the VM's state is answered with the state that was
 * played last.
 *
 * It does not know the time: `daemon/replay_daemon.ts` hands it each event when it is due.
 * @module
 */
import type { Kind } from "../../event/kind.ts";
import { CODE } from "../../base/codes.ts";
import type { Adapter, CloseReason, Seat } from "../../core/adapter_port.ts";
import { VM_OP, VM_STATE_NUMBER } from "../../event/body_number.ts";
import { KIND } from "../../event/kind.ts";
import type { RecordedEvent } from "../../event/recording.ts";
import { type Source, sourceName } from "../../event/source.ts";
import { isSeam } from "../seams.ts";

/** One seam. */
export class ReplaySeam implements Adapter {
  readonly source: Source;
  readonly name: string;
  readonly #isUpAtOpen: boolean;
  #seat: Seat | null = null;
  #state: number = VM_STATE_NUMBER.RUNNING;
  #detail = 0;

  /**
   * Makes the seam of a source.
   *
   * @param isUpAtOpen whether it was up when the recording began; else the recording itself says when
   */
  constructor(source: Source, isUpAtOpen: boolean) {
    this.source = source;
    this.name = `${sourceName(source).toLowerCase()}/replay`;
    this.#isUpAtOpen = isUpAtOpen;
  }

  /** A recording is told whole, however fast it is played. */
  get isOwn(): boolean {
    return true;
  }

  open(seat: Seat): void {
    this.#seat = seat;
    if (this.#isUpAtOpen) seat.up();
  }

  /** Emits a recorded event as if it happened now. */
  play(recorded: RecordedEvent): void {
    const seat = this.#seat;
    if (seat === null) return;
    const event = seat.event(recorded.kind as Kind);
    event.prio = recorded.prio;
    event.inline.set(recorded.inline);
    if (recorded.body.length > 0) event.copyBody(recorded.bodyFormat, recorded.body, 0, recorded.body.length);
    if (recorded.kind === KIND.VM_LIFECYCLE) {
      this.#state = event.words[0] as number;
      this.#detail = event.words[1] as number;
    }
    seat.emit(event);
  }

  command(event: Parameters<Adapter["command"]>[0]): void {
    const seat = this.#seat as Seat;
    if (event.kind === KIND.CMD_VM && event.words[0] === VM_OP.QUERY) {
      const answer = seat.event(KIND.VM_LIFECYCLE);
      answer.words[0] = this.#state;
      answer.words[1] = this.#detail;
      seat.reply(event.ticket, answer);
    } else if (event.kind === KIND.CMD_QUERY_INPUT) {
      seat.reply(event.ticket, seat.event(KIND.INPUT_HELD));
    } else seat.ack(event.ticket, CODE.ok);
  }

  close(_reason: CloseReason, closed: () => void): void {
    this.#seat = null;
    closed();
  }
}

/**
 * Why an event of a recording is not played: it is an answer to a command of the recorded session; it came
 * with descriptors, which no file holds; the bus says it itself; or nothing is known of its endpoint.
 */
export type NotPlayed = "answer" | "descriptors" | "bus" | "endpoint";

/** Why a recorded event cannot be played, whatever its endpoint; undefined when it can. */
export function whyNotPlayed(event: RecordedEvent): NotPlayed | undefined {
  if (event.corr !== 0) return "answer";
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
