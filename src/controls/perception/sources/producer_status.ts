/**
 * What was told of a producer last, so that VGPU_STATUS is published when something in it is new and not
 * otherwise.
 * @module
 */
import { VGPU_STATE } from "../../../event/body_number.ts";
import { ProducerState } from "../../../vgpu/snapshots.ts";
import type { FramePublisher, ProducerPhase } from "../frame_publisher.ts";

/** The last VGPU_STATUS of an endpoint. */
export class ProducerStatus {
  readonly #publisher: FramePublisher;
  readonly #state = new ProducerState();
  #phase: ProducerPhase = VGPU_STATE.LOST;
  #pid = 0;

  /** Nothing was told yet: a producer that never was is lost. */
  constructor(publisher: FramePublisher) {
    this.#publisher = publisher;
  }

  /** The phase that was told last. */
  get phase(): ProducerPhase {
    return this.#phase;
  }

  /**
   * Publishes VGPU_STATUS when something in it is new.
   *
   * @param state what was read of the producer last
   * @param pid the producer's, 0 when there is none
   * @returns whether it was published
   */
  tell(phase: ProducerPhase, state: ProducerState, pid: number): boolean {
    if (phase === this.#phase && (phase !== VGPU_STATE.ALIVE || !this.#isNews(state, pid))) {
      return false;
    }
    this.#phase = phase;
    Object.assign(this.#state, state);
    this.#pid = pid;
    this.#publisher.producer(phase, state, pid);
    return true;
  }

  #isNews(s: ProducerState, pid: number): boolean {
    const told = this.#state;
    return s.runEpoch !== told.runEpoch || s.status !== told.status || s.backend !== told.backend ||
      s.errorCode !== told.errorCode || s.appliedFps !== told.appliedFps || pid !== this.#pid;
  }
}
