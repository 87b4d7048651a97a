/**
 * What was told of a producer last, so that VGPU_STATUS is published when something in it is new and not
 * otherwise.
 * @module
 */
import { VGPU_STATE } from "../../../event/body_number.ts";
import { ProducerState } from "../../../vgpu/snapshots.ts";
import type { FramePublisher, ProducerVerdict } from "../frame_publisher.ts";

/** The last VGPU_STATUS of an endpoint. */
export class ProducerStatus {
  readonly #publisher: FramePublisher;
  readonly #state = new ProducerState();
  #verdict: ProducerVerdict = VGPU_STATE.LOST;
  #pid = 0;

  /** Nothing was told yet: a producer that never was is lost. */
  constructor(publisher: FramePublisher) {
    this.#publisher = publisher;
  }

  /** The verdict that was told last. */
  get verdict(): ProducerVerdict {
    return this.#verdict;
  }

  /**
   * Publishes VGPU_STATUS when something in it is new.
   *
   * @param state what was read of the producer last
   * @param pid the producer's, 0 when there is none
   * @returns whether it was published
   */
  tell(verdict: ProducerVerdict, state: ProducerState, pid: number): boolean {
    if (verdict === this.#verdict && (verdict !== VGPU_STATE.ALIVE || !this.#isNews(state, pid))) {
      return false;
    }
    this.#verdict = verdict;
    Object.assign(this.#state, state);
    this.#pid = pid;
    this.#publisher.producer(verdict, state, pid);
    return true;
  }

  #isNews(s: ProducerState, pid: number): boolean {
    const told = this.#state;
    return s.runEpoch !== told.runEpoch || s.status !== told.status || s.backend !== told.backend ||
      s.errorCode !== told.errorCode || s.appliedFps !== told.appliedFps || pid !== this.#pid;
  }
}
