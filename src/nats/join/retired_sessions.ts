/**
 * What became of the requests of sessions that are over, for whoever was parted from this host and asks
 * later. A session that was is never opened a second time: what of it was on its way, or is delivered again,
 * is not done.
 * @module
 */
import { assert } from "../../base/assert.ts";
import type { KeptAnswers } from "./kept_answers.ts";

/** How long they are kept, ms. */
export const RETIRED_MS = 3_600_000;
/** Of one user, the newest. */
const MOST_OF_A_USER = 128;
/** Users; of more the one who was heard of longest ago is forgotten. */
const MOST_USERS = 16;

interface Retired {
  readonly kept: KeptAnswers;
  readonly untilMs: number;
}

/** The sessions. */
export class RetiredSessions {
  readonly #byUser = new Map<string, Map<string, Retired>>();

  /** Sessions that are remembered. */
  get size(): number {
    let size = 0;
    for (const sessions of this.#byUser.values()) size += sessions.size;
    return size;
  }

  /** A session is over. */
  add(user: string, session: string, kept: KeptAnswers, nowMs: number): void {
    kept.retire();
    const sessions = this.#byUser.get(user) ?? new Map<string, Retired>();
    this.#byUser.delete(user);
    this.#byUser.set(user, sessions);
    assert(!sessions.has(session), "a session ends once");
    sessions.set(session, { kept, untilMs: nowMs + RETIRED_MS });
    forgetOldest(sessions, MOST_OF_A_USER);
    forgetOldest(this.#byUser, MOST_USERS);
  }

  /** What is known of a session that is over; undefined: nothing, or no more. */
  find(user: string, session: string): KeptAnswers | undefined {
    return this.#byUser.get(user)?.get(session)?.kept;
  }

  /** Forgets what is too old. */
  expire(nowMs: number): void {
    for (const [user, sessions] of this.#byUser) {
      for (const [session, { untilMs }] of sessions) {
        if (untilMs > nowMs) break;
        sessions.delete(session);
      }
      if (sessions.size === 0) this.#byUser.delete(user);
    }
  }
}

function forgetOldest(map: Map<string, unknown>, most: number): void {
  for (const oldest of map.keys()) {
    if (map.size <= most) return;
    map.delete(oldest);
  }
}
