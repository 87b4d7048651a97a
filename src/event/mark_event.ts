/**
 * A trace's mark as the event that carries it in a recording.
 * @module
 */
import type { EndpointId } from "../base/ids.ts";
import { INLINE_BYTES } from "../base/limits.ts";
import { KIND } from "./kind.ts";
import { PRIO } from "./priority.ts";
import type { RecordedMark } from "./recorded_mark.ts";
import type { RecordedEvent } from "./recording.ts";
import { SOURCE } from "./source.ts";

/** A mark as the event that carries it. */
export function eventOfMark(endpoint: EndpointId, tsNs: number, mark: RecordedMark): RecordedEvent {
  return {
    kind: KIND.AUDIT,
    source: SOURCE.CORE,
    prio: PRIO.NORMAL,
    endpoint,
    seq: 0,
    corr: 0,
    tsNs,
    inline: new Uint8Array(INLINE_BYTES),
    bodyFormat: 0,
    body: new Uint8Array(0),
    fds: 0,
    mark,
  };
}
