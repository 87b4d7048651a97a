/**
 * What is told of peers that do not get in: a few lines per second and user, and then how many there were
 * more. A refused peer chooses how often that happens, and must not fill the disk with it.
 *
 * The table of users is bounded as well: those that find no room in it share one entry. It is empty again
 * when the second is over.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { SECOND } from "../../base/clock.ts";
import type { Log, LogFields } from "../../base/log.ts";
import type { LoopPort, TimerHandler } from "../../core/adapter_port.ts";

/** Lines per second and user. */
const LINES_A_SECOND = 5;
const MOST_USERS = 64;
/** Stands for all users that found no room in the table. */
const OTHERS = -1;

interface Lines {
  told: number;
  untold: number;
}

/** Tells of peers that do not get in. */
export class RefusalLog implements TimerHandler {
  readonly #log: Log;
  readonly #loop: LoopPort;
  readonly #byUser = new Map<number, Lines>();

  /** Has told nothing yet. */
  constructor(log: Log, loop: LoopPort) {
    this.#log = log;
    this.#loop = loop;
  }

  /** A peer was refused by a rule or for lack of room: nothing is wrong. */
  refused(uid: number, fields: LogFields): void {
    if (this.#mayTell(uid)) this.#log.info("refused", { uid, ...fields });
  }

  /** A peer broke the protocol. */
  broke(uid: number, what: string): void {
    if (this.#mayTell(uid)) this.#log.warn("a peer violated the protocol before its HELLO", { uid, what });
  }

  /** Called by the loop: the second is over. */
  onTimer(): void {
    this.close();
  }

  /** Tells what was left out, and is as new. */
  close(): void {
    this.#loop.disarm(this);
    for (const [uid, { untold }] of this.#byUser) {
      if (untold === 0) continue;
      this.#log.info("more peers were refused within a second", {
        uid: uid === OTHERS ? "others" : uid,
        count: untold,
      });
    }
    this.#byUser.clear();
  }

  #mayTell(uid: number): boolean {
    if (this.#byUser.size === 0) this.#loop.arm(this, this.#loop.clock.nowNs() + SECOND);
    const key = this.#byUser.has(uid) || this.#byUser.size < MOST_USERS ? uid : OTHERS;
    let lines = this.#byUser.get(key);
    if (lines === undefined) {
      lines = { told: 0, untold: 0 };
      this.#byUser.set(key, lines);
      assert(this.#byUser.size <= MOST_USERS + 1, "only the place for all others comes on top");
    }
    if (lines.told >= LINES_A_SECOND) {
      lines.untold++;
      return false;
    }
    lines.told++;
    return true;
  }
}
