/**
 * Waiting for a needle: each new frame is looked at once.
 * @module
 */
import type { EndpointId } from "../base/ids.ts";
import { Fault } from "../base/fault.ts";
import { printable } from "../base/printable.ts";
import type { Client } from "../client/client.ts";
import { patientFrames } from "../client/patient_frames.ts";
import type { Needle } from "./needle_file.ts";
import { bestNeedle, type NeedleMatch } from "./needle_match.ts";

/** Frames per second that are looked at. */
const RATE = 20;

/** Which screen is looked at. */
export interface NeedleScreen {
  /** The machine's connection. */
  readonly client: Client;
  /** The endpoint's number. */
  readonly endpoint: EndpointId;
  /** Its name. */
  readonly name: string;
}

/**
 * Waits for one of several needles.
 *
 * @param options `fresh`: what is there at first does not count: it has to be gone once
 * @throws {Fault} `timed-out` with how alike the best was; what the screen is refused with
 */
export async function waitForNeedle(
  { client, endpoint, name }: NeedleScreen,
  needles: readonly Needle[],
  options: { readonly head: number; readonly timeoutMs: number; readonly fresh: boolean },
): Promise<NeedleMatch> {
  const { head, timeoutMs } = options;
  const names = needles.map((needle) => printable(needle.name)).join(", ");
  if (needles.length === 0) throw new Fault("bad-argument", "Cannot wait for a needle: none is named");
  const over = new AbortController();
  const timer = setTimeout(() => over.abort(), timeoutMs);
  let best: NeedleMatch | undefined;
  let isStale = options.fresh;
  try {
    for await (
      const frame of patientFrames(client, endpoint, { head, perSecond: RATE, signal: over.signal })
    ) {
      const seen = bestNeedle(frame.picture(), needles);
      if (seen?.isMatch === true && !isStale) return seen;
      if (seen?.isMatch !== true) isStale = false;
      if (best === undefined || (seen !== undefined && seen.error <= best.error)) best = seen;
    }
  } catch (error) {
    if (!over.signal.aborted) throw error;
  } finally {
    clearTimeout(timer);
    over.abort();
  }
  const alike = best?.areas.map(({ similarity }) => `${(100 * similarity).toFixed(1)} %`).join(", ");
  const told = best === undefined ? "no frame came" : `${printable(best.needle.name)} was alike by ${alike}`;
  throw new Fault(
    "timed-out",
    `Cannot find the needle ${names} on ${name}: not within ${timeoutMs} ms; ${told}`,
  );
}
