/**
 * A session's first joining, which can be given up: neither a daemon that hangs nor a server that is far away
 * keeps who typed Ctrl-C.
 * @module
 */
import { Fault } from "../base/fault.ts";
import { openLink } from "./open_link.ts";
import type { Session } from "./session.ts";
import type { SessionOptions } from "./session_state.ts";

/**
 * Opens a session's first link, and joins by it.
 *
 * @throws {Fault} as {@linkcode Session.open}; `interrupted`, after which the session is to be closed: it
 *   puts away whatever comes late
 */
export async function openSession(session: Session, options: SessionOptions): Promise<void> {
  const { signal } = options;
  const givenUp = Promise.withResolvers<never>();
  const giveUp = () => givenUp.reject(new Fault("interrupted", "Cannot join the bus: interrupted"));
  if (signal?.aborted) giveUp();
  else signal?.addEventListener("abort", giveUp, { once: true });
  const joining = (async () => {
    await session.open(await openLink(session, options, options.timeoutMs));
  })();
  joining.catch(() => {
    // Told below, unless it was given up before it failed.
  });
  try {
    await Promise.race([givenUp.promise, joining]);
  } finally {
    signal?.removeEventListener("abort", giveUp);
  }
}
