/**
 * The port behind which an actuator for input hides: QEMU's monitor, or devices of the kernel. The adapter
 * owns frames, the held set and all policy; a driver only carries frames out, in order, and says what became
 * of each step.
 * @module
 */
import type { SeamReason } from "../../event/body_number.ts";
import type { Code } from "../../base/codes.ts";
import type { LoopPort } from "../../core/adapter_port.ts";
import type { Log } from "../../base/log.ts";
import type { InputFrame, InputRepertoire } from "./input_frame.ts";

/** What became of a step: it reached the guest; it was refused and did not; nobody knows. */
export type StepOutcome = "applied" | "refused" | "uncertain";

/** What a driver tells the adapter. */
export interface InputDriverHost {
  /**
   * The next frame to carry out; null when there is none, or none may go now. Asked again after {@linkcode
   * InputDriver.poke}.
   */
  nextFrame(): InputFrame | null;
  /** The records `from` to `to` of a frame are about to be sent. */
  onStepSending(frame: InputFrame, from: number, to: number): void;
  /** What became of them. */
  onStepDone(frame: InputFrame, from: number, to: number, outcome: StepOutcome): void;
  /** A frame is over, `frame.code` says how; it is the adapter's again. */
  onFrameDone(frame: InputFrame): void;
  /**
   * The actuator can be used.
   *
   * @param pid QEMU's process; 0 when there is none or it is unknown
   */
  onDriverUp(pid: number): void;
  /**
   * It cannot be used (any more). Every frame that the driver had is over already.
   *
   * @param reason SEAM_DOWN's reason
   * @param code ERROR's code
   * @param text ERROR's text, at most 40 bytes; empty when another seam tells it
   * @param away what whoever sends input meanwhile is told; the text when it is left out
   */
  onDriverDown(reason: SeamReason, code: Code, text: string, away?: string): void;
  /** The guest was reset. */
  onGuestReset(): void;
  /** The guest stands still: nothing reaches it. */
  onGuestStopped(): void;
  /** The guest runs (again). */
  onGuestRuns(): void;
}

/** An actuator for input. */
export interface InputDriver extends InputRepertoire {
  /** For logs: "qmp", "uinput". */
  readonly name: string;
  /** Starts; it tells the host when it is up. */
  open(host: InputDriverHost, loop: LoopPort, log: Log, endpointName: string): void;
  /** There may be a frame. */
  poke(): void;
  /** The owner changes: what is left of fractions of a notch is forgotten. */
  forgetFractions(): void;
  /**
   * Something that was done for it threw: it ends what is half done, and tells the host that it is down.
   * Absent: the adapter does.
   */
  onFault?(error: unknown): void;
  /** Ends it. No frame is under way; the host is told nothing more. */
  close(): void;
}
