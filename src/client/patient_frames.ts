/**
 * A screen's frames for who waits for something on it: a picture that nobody made in time is asked for again,
 * for as long as the waiter waits. On a busy machine a first picture may take longer than one request may.
 * @module
 */
import { Fault } from "../base/fault.ts";
import type { Client } from "./client.ts";
import type { Frame } from "./frame.ts";
import { pause } from "./pause.ts";
import type { FramesOptions } from "./screen_control.ts";
import type { EndpointRef } from "./roster_view.ts";

/** Between two requests: the first has taken its time already. */
const AGAIN_MS = 100;

/**
 * Frames as they come, until the signal says that it is enough.
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
