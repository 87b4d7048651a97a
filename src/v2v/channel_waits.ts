/**
 * The waits of a channel: look whether it is over, ask to be rung, look once more, sleep. A wait that stops
 * the thread and one that lets it go on differ in the sleep alone, and in that the first may look for a while
 * before it sleeps (spin_policy.ts).
 *
 * A sleep is cut into slices, so that an end that changes its state without ringing is noticed.
 * @module
 */
import type { Clock } from "../base/clock.ts";
import type { Fault } from "../base/fault.ts";
import type { ChannelLink } from "./channel_link.ts";
import { SLICE_NS, type WaitFor, type WaitOutcome } from "./channel_parts.ts";
import { type EndpointState, requestsDisconnect } from "./endpoint_state.ts";
import type { Receiver } from "./receiver.ts";
import type { Sender } from "./sender.ts";
import type { SpinPolicy } from "./spin_policy.ts";

const LOOKS_PER_CLOCK = 32;

/** A channel, as its waits see it. */
export interface WaitedChannel {
  /** The outgoing ring. */
  readonly sender: Sender;
  /** The incoming ring. */
  readonly receiver: Receiver;
  /** What the other end did wrong, if it did. */
  readonly fault: Fault | undefined;
  /** Whether this end was disconnected. */
  readonly closed: boolean;
  /** The state of the other end that the user was told last. */
  readonly seenState: EndpointState;
  /** The state of the other end now; without a system call. */
  remoteNow(): EndpointState;
}

/** Waits on a channel's behalf. */
export class ChannelWaits {
  readonly #channel: WaitedChannel;
  readonly #link: ChannelLink;
  readonly #clock: Clock;
  readonly #spinning: SpinPolicy;

  /** Waits on a channel, over its transport. */
  constructor(channel: WaitedChannel, link: ChannelLink, clock: Clock, spinning: SpinPolicy) {
    this.#channel = channel;
    this.#link = link;
    this.#clock = clock;
    this.#spinning = spinning;
  }

  /** Waits, and stops the thread meanwhile. */
  wait(what: WaitFor, deadlineNs: number): WaitOutcome {
    let outcome = this.#lookup(what) ?? this.#spin(what, deadlineNs);
    if (outcome !== undefined) return outcome;
    const sinceNs = this.#clock.nowNs();
    while (outcome === undefined) {
      const sleep = this.#beforeSleep(what, deadlineNs);
      if (typeof sleep !== "number") return sleep;
      this.#link.wait(sleep);
      outcome = this.#lookup(what);
      if (outcome === "ready") this.#spinning.slept(this.#clock.nowNs() - sinceNs);
    }
    return outcome;
  }

  /** Waits while the thread goes on. Its timeout may be late by a slice (100 ms). */
  async waitAsync(what: WaitFor, deadlineNs: number): Promise<WaitOutcome> {
    let outcome = this.#lookup(what);
    while (outcome === undefined) {
      const sleep = this.#beforeSleep(what, deadlineNs);
      if (typeof sleep !== "number") return sleep;
      await this.#link.waitAsync(sleep);
      outcome = this.#lookup(what);
    }
    return outcome;
  }

  /** How long to sleep, ns, having asked to be rung; or how the wait has ended. */
  #beforeSleep(what: WaitFor, deadlineNs: number): number | WaitOutcome {
    const leftNs = deadlineNs - this.#clock.nowNs();
    if (leftNs <= 0) return "timed-out";
    return this.#arm(what) ?? Math.min(leftNs, SLICE_NS);
  }

  /** Looks whether a wait is over; a look for room asks to be rung, too. */
  #lookup(what: WaitFor): WaitOutcome | undefined {
    const channel = this.#channel;
    if (channel.closed || channel.fault !== undefined) return "closed";
    const { sender, receiver } = channel;
    try {
      const data = what === "receive" || what === "any";
      if (data && receiver.pending()) return "ready";
      const remote = channel.remoteNow(); // a sleep that is not to be ends at once, and has seen it
      if (what === "control") return remote === channel.seenState ? undefined : "ready";
      if (requestsDisconnect(remote)) {
        // Looked at again, behind the goodbye: what was sent before it is seen.
        return data && receiver.pending() ? "ready" : "closed";
      }
      if (what === "send" && sender.armSpace()) return "ready";
      if (what === "any" && sender.wantsRoom && sender.armSpace()) return "ready";
    } catch (error) {
      return this.#closedBy(error);
    }
    return undefined;
  }

  /** Asks to be rung, and looks once more. */
  #arm(what: WaitFor): WaitOutcome | undefined {
    // A look for room arms; nobody rings for a state.
    if (what !== "receive" && what !== "any") return undefined;
    try {
      return this.#channel.receiver.armData() ? undefined : "ready";
    } catch (error) {
      return this.#closedBy(error);
    }
  }

  /**
   * Looks without pause for a bounded time: in fast-receive mode, or while the other end composes a batch.
   */
  #spin(what: WaitFor, deadlineNs: number): WaitOutcome | undefined {
    const { sender, receiver } = this.#channel;
    const receive = what !== "send";
    const spinNs = this.#spinning.budgetNs(receive && receiver.peerIsProducing());
    if (spinNs <= 0 || what === "control") return undefined;
    const endNs = Math.min(this.#clock.nowNs() + spinNs, deadlineNs);
    if (receive) receiver.setSpinning(true);
    try {
      do {
        for (let i = 0; i < LOOKS_PER_CLOCK; i++) {
          if (receive ? receiver.pending() : sender.roomReady()) {
            this.#spinning.hit();
            return "ready";
          }
        }
      } while (this.#clock.nowNs() < endNs);
    } catch (error) {
      return this.#closedBy(error);
    } finally {
      if (receive) receiver.setSpinning(false);
    }
    this.#spinning.miss();
    return undefined;
  }

  /** The other end broke the rules: its channel is over. Anything else is the caller's to hear. */
  #closedBy(error: unknown): "closed" {
    if (error !== this.#channel.fault) throw error;
    return "closed";
  }
}
