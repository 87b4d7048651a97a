/**
 * Pairs of events where the later one takes back what the earlier one said, and has the higher priority: a
 * seam that came up and went down, a lease that was granted and revoked. Whoever queues by priority lets the
 * earlier one go first all the same; a receiver that got them the other way round would go on believing what
 * is no longer so.
 *
 * Everything else may overtake: that is what priority is for. (A memory context that was not told yet when
 * its epoch ends is not told at all: the code that queues it withdraws it.)
 * @module
 */
import { KIND } from "./kind.ts";
import type { TransferEvent } from "./transfer_event.ts";

/**
 * Whether a kind takes back what another kind said: asked for every event, so that {@linkcode takesBack} is
 * asked for few.
 */
export function mayTakeBack(kind: number): boolean {
  return kind === KIND.SEAM_DOWN || kind === KIND.LEASE_REVOKED;
}

/** Whether `later` takes back what `earlier` said, and must not arrive before it. */
export function takesBack(later: TransferEvent, earlier: TransferEvent): boolean {
  if (earlier.endpoint !== later.endpoint) return false;
  switch (later.kind) {
    case KIND.SEAM_DOWN:
      return earlier.kind === KIND.SEAM_UP && earlier.source === later.source;
    case KIND.LEASE_REVOKED:
      return earlier.kind === KIND.LEASE_GRANTED && earlier.origin === later.origin &&
        earlier.words[0] === later.words[0];
    default:
      return false;
  }
}
