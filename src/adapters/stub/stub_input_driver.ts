/**
 * The input driver of a stub endpoint: every key, button and axis that the protocol knows arrives at once at
 * a machine that does not exist. A stopped one refuses, as QEMU does.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { CODE } from "../../base/codes.ts";
import { isKeyboardKey, isPointerButton } from "../input/uinput_devices.ts";
import type { InputDriver, InputDriverHost } from "../input/input_driver.ts";
import type { StubMachine, StubMachineListener } from "./stub_machine.ts";

/** Carries frames out on a {@linkcode StubMachine}. */
export class StubInputDriver implements InputDriver, StubMachineListener {
  readonly name = "stub";
  readonly #machine: StubMachine;
  #host: InputDriverHost | null = null;
  #listenNoMore = () => {};
  #pumping = false;

  /** Makes it over the machine that the VMHOST seam steers. */
  constructor(machine: StubMachine) {
    this.#machine = machine;
  }

  hasKey(code: number): boolean {
    return isKeyboardKey(code);
  }

  hasButton(code: number): boolean {
    return isPointerButton(code);
  }

  open(host: InputDriverHost): void {
    assert(this.#host === null, "a driver is opened once");
    this.#host = host;
    this.#listenNoMore = this.#machine.listen(this);
    host.onDriverUp(0);
  }

  poke(): void {
    if (this.#pumping || this.#host === null) return;
    this.#pumping = true;
    const host = this.#host;
    for (let frame = host.nextFrame(); frame !== null; frame = host.nextFrame()) {
      const outcome = this.#machine.isRunning ? "applied" : "refused";
      host.onStepSending(frame, 0, frame.count);
      host.onStepDone(frame, 0, frame.count, outcome);
      if (outcome === "refused") {
        frame.code = CODE.refused;
        frame.words = "VM not running";
      }
      host.onFrameDone(frame);
    }
    this.#pumping = false;
  }

  forgetFractions(): void {
    // Scrolling has no effect here, so no fractions are kept.
  }

  close(): void {
    if (this.#host === null) return;
    this.#listenNoMore();
    this.#host = null;
  }

  /** Called by the machine. */
  onStubStopped(): void {
    this.#host?.onGuestStopped();
  }

  /** Called by the machine. */
  onStubRuns(): void {
    this.#host?.onGuestRuns();
  }

  /** Called by the machine. */
  onStubReset(): void {
    this.#host?.onGuestReset();
  }
}
