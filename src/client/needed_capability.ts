/**
 * The capability that a refused command would have needed. The daemon answers with a code only; the
 * catalogue, which the client also has, maps kinds to capabilities.
 * @module
 */
import { capsFor } from "../access/requirement.ts";
import { NO_ENDPOINT } from "../base/ids.ts";
import { DIR } from "../event/defaults.ts";
import type { Kind } from "../event/kind.ts";
import type { TransferEvent } from "../event/transfer_event.ts";
import type { Session } from "./session.ts";

/**
 * The capabilities any one of which a command needs, a mask, found by encoding the command again.
 *
 * @param fill the function that wrote the refused command
 * @returns 0 for an operation that does not exist
 */
export function neededFor(session: Session, kind: Kind, fill: (event: TransferEvent) => void): number {
  const event = session.newEvent(kind, NO_ENDPOINT, DIR.DOWN);
  try {
    fill(event);
    return capsFor(event);
  } finally {
    event.release();
  }
}
