/**
 * What both halves of a ring are made of: where their words lie, the other end's doorbell, and how a half
 * ends once the other end has broken the rules.
 * @module
 */
import { assert } from "../base/assert.ts";
import { Fault } from "../base/fault.ts";
import type { Bell } from "./bell.ts";
import type { SharedRegion } from "./shared_region.ts";

/** Where a ring half finds its words; offsets in bytes. */
export interface RingPlace {
  /** Our control block. */
  readonly mineAt: number;
  /** The other end's control block. */
  readonly theirsAt: number;
  /** The ring. */
  readonly ringAt: number;
  /** Its size, a power of two. */
  readonly ringBytes: number;
}

/** One half of a ring. */
export abstract class RingHalf {
  /** The memory. */
  protected readonly region: SharedRegion;
  /** The doorbell by which the other end hears of what this half did. */
  protected readonly bell: Bell;
  /** The region's words. */
  protected readonly words: Int32Array;
  /** Index of our control block in {@linkcode words}. */
  protected readonly mine: number;
  /** Index of the other end's control block. */
  protected readonly theirs: number;
  /** Offset of the ring in the region, bytes. */
  protected readonly ringAt: number;
  /** The ring's size, bytes. */
  protected readonly ringBytes: number;
  /** That size less 1: turns an index into an offset in the ring. */
  protected readonly mask: number;
  /** Why this half is not used any more; undefined while it is. */
  protected fault: Fault | undefined;

  /**
   * Takes its place in a region; nothing is read or written yet.
   *
   * @param region the memory
   * @param place where our words and the ring are
   * @param bell the doorbell by which the other end hears: of data, or of space
   */
  constructor(region: SharedRegion, place: RingPlace, bell: Bell) {
    const { mineAt, theirsAt, ringAt, ringBytes } = place;
    assert(ringBytes > 0 && (ringBytes & (ringBytes - 1)) === 0, "a ring's size is a power of two");
    assert(((mineAt | theirsAt | ringAt) & 7) === 0, "control blocks and rings are aligned to 8 bytes");
    assert(ringAt + ringBytes <= region.sizeBytes, "a ring lies within its region");
    this.region = region;
    this.bell = bell;
    this.words = new Int32Array(region.buffer, 0, region.sizeBytes >> 2);
    this.mine = mineAt >> 2;
    this.theirs = theirsAt >> 2;
    this.ringAt = ringAt;
    this.ringBytes = ringBytes;
    this.mask = ringBytes - 1;
  }

  /** Ends its use: whatever is asked of it from now on is answered by this fault. */
  abstract shut(fault: Fault): void;

  /** The other end wrote what no correct one writes: says so, and ends this half's use. */
  protected distrust(why: string): never {
    const fault = new Fault(
      "protocol-error",
      `Cannot trust the other end of the channel: ${why}. Disconnect from it.`,
    );
    this.shut(fault);
    this.bell.broken(fault);
    throw fault;
  }
}
