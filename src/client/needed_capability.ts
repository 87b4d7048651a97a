/**
 * Which capability a refused command would have needed. The daemon answers with a code alone; the catalogue,
 * which the client has as well, says which kind needs which capability.
 * @module
 */
import { capsFor } from "../access/requirement.ts";
import { NO_ENDPOINT } from "../base/ids.ts";
import { DIR } from "../event/defaults.ts";
import type { Kind } from "../event/kind.ts";
import type { TransferEvent } from "../event/transfer_event.ts";
import type { Session } from "./session.ts";

/**
 * The capabilities of which a command needs one, a mask: by the command itself, which is made once more.
 *
 * @param fill what wrote the refused command
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
