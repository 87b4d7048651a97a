/**
 * Who uses a link, and what each of them was told: all are told in the order in which they came, and of a
 * loss once a reason, until the monitor has been up again.
 * @module
 */
import { assert } from "../../base/assert.ts";
import type { QmpEvent } from "../protocol/qmp_message.ts";
import type { QmpLoss } from "./qmp_loss.ts";

/** One of a link's users. All are told in the order in which they came. */
export interface QmpLinkUser {
  /**
   * The monitor can be used.
   *
   * @param status QEMU's run state: "running", "paused", …
   * @param pid QEMU's process, 0 when it cannot be seen
   */
  onLinkUp(status: string, pid: number): void;
  /** It cannot be used (any more). Everything that was under way is answered already. Told once a reason. */
  onLinkDown(loss: QmpLoss): void;
  /** An event of QEMU's, while up. */
  onQmpEvent(event: QmpEvent): void;
}

/** The users of one link. */
export class LinkUsers {
  readonly #users: QmpLinkUser[] = [];
  readonly #toldReasons = new Set<number>();
  #loss: QmpLoss | null = null;

  /** Whether nobody is left. */
  get isEmpty(): boolean {
    return this.#users.length === 0;
  }

  /** Why the monitor is down, as it was told; null while it is up or not known to be down. */
  get loss(): QmpLoss | null {
    return this.#loss;
  }

  /** Whether somebody is one of them. */
  has(user: QmpLinkUser): boolean {
    return this.#users.includes(user);
  }

  /** Takes one more, behind the others. */
  add(user: QmpLinkUser): void {
    assert(!this.#users.includes(user), "a link's user joins once");
    this.#users.push(user);
  }

  /** Lets one go, who is told nothing more. False when there is no such user. */
  remove(user: QmpLinkUser): boolean {
    const at = this.#users.indexOf(user);
    if (at >= 0) this.#users.splice(at, 1);
    return at >= 0;
  }

  /** Nothing counts as told any more: the monitor is up, or nobody is left. */
  forgetLoss(): void {
    this.#loss = null;
    this.#toldReasons.clear();
  }

  /** Tells each user of a moment. Whoever leaves meanwhile is passed over; `tell` says false to end it. */
  tellAll(tell: (user: QmpLinkUser) => boolean): void {
    for (const user of [...this.#users]) {
      if (this.#users.includes(user) && !tell(user)) return;
    }
  }

  /** Notes a loss. False: its reason is known, and the tries that follow find the same in other words. */
  noteLoss(loss: QmpLoss): boolean {
    if (this.#toldReasons.has(loss.reason)) return false;
    this.#toldReasons.add(loss.reason);
    this.#loss = loss;
    return true;
  }

  /** Tells each user of an event. */
  tellEvent(event: QmpEvent): void {
    for (const user of [...this.#users]) user.onQmpEvent(event);
  }
}
