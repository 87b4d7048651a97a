/**
 * Events that another thread of this process submits as if a seam of their endpoint had emitted them: wire
 * frames, checked like those of a peer.
 * @module
 */
import type { Log } from "../base/log.ts";
import type { Core } from "../core/core.ts";
import { checkFrame, decodeFrame } from "../protocol/frame.ts";
import { CLASS, kindClass } from "../event/kind.ts";
import { SOURCE, SOURCE_MAX } from "../event/source.ts";

/** Submits the event of one frame, or logs why it is refused. */
export function submitForeign(core: Core, log: Log, bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const defect = checkFrame(view, 0, bytes.length, 0);
  if (defect !== "") return log.error("foreign frame refused", { defect });
  const event = core.bus.pool.acquire();
  decodeFrame(event, bytes, view, 0);
  if (kindClass(event.kind) !== CLASS.UP || event.source >= SOURCE_MAX || event.source === SOURCE.NONE) {
    log.error("foreign frame refused", { kind: event.kind, source: event.source });
    return event.release();
  }
  // Stamped with the time of submission here, which the context uses for pacing.
  event.tsNs = core.bus.clock.nowNs();
  core.bus.up(event);
}
