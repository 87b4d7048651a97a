/**
 * The port between the adapter and an actuator for input: QEMU's monitor, or devices of the kernel. The
 * adapter has the frames, the held set and all policy; a driver only carries out frames in order, and reports
 * the outcome of each step.
 * @module
 */
import type { SeamReason } from "../../event/body_number.ts";
import type { Code } from "../../base/codes.ts";
import type { LoopPort } from "../../core/adapter_port.ts";
import type { Log } from "../../base/log.ts";
import type { InputFrame, InputRepertoire } from "./input_frame.ts";

/** The outcome of a step: it reached the guest; it was refused; or this is unknown. */
export type StepOutcome = "applied" | "refused" | "uncertain";

/** The driver's callbacks to the adapter. */
export interface InputDriverHost {
  /**
   * The next frame to carry out; null if there is none, or none may be sent now. Called again after
   * {@linkcode InputDriver.poke}.
   */
  nextFrame(): InputFrame | null;
  /** The records `from` to `to` of a frame are about to be sent. */
  onStepSending(frame: InputFrame, from: number, to: number): void;
  /** The outcome of these records. */
  onStepDone(frame: InputFrame, from: number, to: number, outcome: StepOutcome): void;
  /** A frame is complete; its result is `frame.code`, and it belongs to the adapter again. */
  onFrameDone(frame: InputFrame): void;
  /**
   * The actuator is usable.
   *
   * @param pid QEMU's process; 0 when there is none or it is unknown
   */
  onDriverUp(pid: number): void;
  /**
   * It is not usable, or no longer. Every frame that the driver had is complete already.
   *
   * @param reason SEAM_DOWN's reason
   * @param code ERROR's code
   * @param text ERROR's text, at most 40 bytes; empty if another seam reports it
   * @param away the message for senders of input meanwhile, asked for at each: the next try to come up may
   *   find another cause; by default the text
   */
  onDriverDown(reason: SeamReason, code: Code, text: string, away?: () => string): void;
  /** The guest was reset. */
  onGuestReset(): void;
  /** The guest is paused: no input reaches it. */
  onGuestStopped(): void;
  /** The guest runs, or runs again. */
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
  /** The owner changes: fractions of a notch are dropped. */
  forgetFractions(): void;
  /**
   * A call into it threw: it abandons what is half done, and tells the host that it is down. Omitted: the
   * adapter does.
   */
  onFault?(error: unknown): void;
  /** Ends it. No frame is under way, and the host is not called afterwards. */
  close(): void;
}
