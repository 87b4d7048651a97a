/**
 * A screen's frames for a wait: if a picture is not made in time, it is requested again for as long as the
 * wait lasts. On a busy machine the first picture may take longer than one request may.
 * @module
 */
import { Fault } from "../base/fault.ts";
import type { Client } from "./client.ts";
import type { Frame } from "./frame.ts";
import { pause } from "./pause.ts";
import type { FramesOptions } from "./screen_control.ts";
import type { EndpointRef } from "./roster_view.ts";

/** Pause between two requests; the first has already taken its time limit, ms. */
const AGAIN_MS = 100;

/**
 * Frames as they arrive, until the signal aborts.
 *
 * @throws {Fault} as `Client.frames`, but not `timed-out`
 */
export async function* patientFrames(
  client: Client,
  ref: EndpointRef,
  options: FramesOptions & { readonly signal: AbortSignal },
): AsyncGenerator<Frame, void, void> {
  for (;;) {
    try {
      return yield* client.frames(ref, options);
    } catch (error) {
      const isLate = error instanceof Fault && error.code === "timed-out";
      if (!isLate || options.signal.aborted) throw error;
      await pause(AGAIN_MS, options.signal);
      if (options.signal.aborted) throw error;
    }
  }
}
