/**
 * The users of a link, and what each was told: all are told in the order in which they joined, and about a
 * loss once per reason, until the monitor has been up again.
 * @module
 */
import { assert } from "../../base/assert.ts";
import type { QmpEvent } from "../protocol/qmp_message.ts";
import type { QmpLoss } from "./qmp_loss.ts";

/** A user of a link. All are told in the order in which they joined. */
export interface QmpLinkUser {
  /**
   * The monitor is usable.
   *
   * @param status QEMU's run state: "running", "paused", …
   * @param pid QEMU's process, 0 if unknown
   */
  onLinkUp(status: string, pid: number): void;
  /** It is not usable, or no longer. All open commands have been answered already. Called once per reason. */
  onLinkDown(loss: QmpLoss): void;
  /** An event of QEMU, while the link is up. */
  onQmpEvent(event: QmpEvent): void;
}

/** The users of one link. */
export class LinkUsers {
  readonly #users: QmpLinkUser[] = [];
  readonly #toldReasons = new Set<number>();
  #loss: QmpLoss | null = null;

  /** Whether there are no users. */
  get isEmpty(): boolean {
    return this.#users.length === 0;
  }

  /** The reported loss; null while the monitor is up or its state is unknown. */
  get loss(): QmpLoss | null {
    return this.#loss;
  }

  /** Whether an object is one of the users. */
  has(user: QmpLinkUser): boolean {
    return this.#users.includes(user);
  }

  /** Adds a user behind the others. */
  add(user: QmpLinkUser): void {
    assert(!this.#users.includes(user), "a link's user joins once");
    this.#users.push(user);
  }

  /** Removes a user, who is told nothing more. False if there is no such user. */
  remove(user: QmpLinkUser): boolean {
    const at = this.#users.indexOf(user);
    if (at >= 0) this.#users.splice(at, 1);
    return at >= 0;
  }

  /** Forgets what was reported: the monitor is up, or there are no users. */
  forgetLoss(): void {
    this.#loss = null;
    this.#toldReasons.clear();
  }

  /** Tells each user. One that leaves meanwhile is skipped; `tell` returns false to stop. */
  tellAll(tell: (user: QmpLinkUser) => boolean): void {
    for (const user of [...this.#users]) {
      if (this.#users.includes(user) && !tell(user)) return;
    }
  }

  /**
   * Records a loss. False: its reason was already reported; further attempts find the same in other words.
   */
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
