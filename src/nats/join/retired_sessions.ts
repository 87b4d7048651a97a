/**
 * The outcomes of requests of ended sessions, for readers that were disconnected and ask later. A session is
 * never opened a second time: its requests that arrive late, or are delivered again, are not carried out.
 * @module
 */
import { assert } from "../../base/assert.ts";
import type { KeptAnswers } from "./kept_answers.ts";

/** How long they are kept, ms. */
export const RETIRED_MS = 3_600_000;
/** Per user: the newest are kept. */
const MOST_OF_A_USER = 128;
/** Number of users; above that, the one heard from longest ago is dropped. */
const MOST_USERS = 16;

interface Retired {
  readonly kept: KeptAnswers;
  readonly untilMs: number;
}

/** The ended sessions. */
export class RetiredSessions {
  readonly #byUser = new Map<string, Map<string, Retired>>();

  /** Number of sessions kept. */
  get size(): number {
    let size = 0;
    for (const sessions of this.#byUser.values()) size += sessions.size;
    return size;
  }

  /** A session has ended. */
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

  /** What is known about an ended session; undefined if nothing is, or no longer. */
  find(user: string, session: string): KeptAnswers | undefined {
    return this.#byUser.get(user)?.get(session)?.kept;
  }

  /** Drops entries that are too old. */
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
