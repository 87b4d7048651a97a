/**
 * Where frames come from, whatever is behind it: a producer's region, a ring of frames, or QEMU's own
 * screendump.
 * @module
 */
import type { FrameInfo } from "./snapshots.ts";
import type { ReadResult, ReadWhy } from "./read_result.ts";

/** A source of frames; VgpuRegion is one. */
export interface FrameSource {
  /** Why the last read was not FRESH. */
  readonly why: ReadWhy;
  /** Copies the newest frame out when it is newer than the last one; see VgpuRegion. */
  sampleFrame(into: Uint8Array, info: FrameInfo): ReadResult;
  /** Lets the next sample take any frame. */
  forgetFrames(): void;
  /** Ends it; every later read is GONE. */
  close(): void;
}
