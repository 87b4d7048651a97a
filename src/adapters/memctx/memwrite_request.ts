/**
 * CMD_MEMWRITE as it was sent, checked: address, source bytes, root and mode. What depends on the guest
 * (extents, pages) is not looked at here.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { CODE, type Code } from "../../base/codes.ts";
import { MAX_MEMWRITE_BYTES } from "../../base/limits.ts";
import { MEMWRITE } from "../../event/body_layout.ts";
import { MEMWRITE_FLAG } from "../../event/body_number.ts";
import { BODY, type TransferEvent } from "../../event/transfer_event.ts";

const KNOWN_FLAGS = MEMWRITE_FLAG.INLINE | MEMWRITE_FLAG.PAYLOAD | MEMWRITE_FLAG.CR3 | MEMWRITE_FLAG.SEQLOCK;
const TAIL_BYTES = 32;
const ROOT_BYTES = 8;
/** Bytes of the sequence word in front of the source. */
export const SEQUENCE_BYTES = 4;
const PAGE_SHIFT = 12;
/** Bits 52 to 62 of a root: no physical address has them. Bit 63 is a flag of the CR3 register. */
const ROOT_RESERVED_HI = 0x7ff0_0000;

/** One write; reused from command to command. */
export class MemwriteRequest {
  /** Address, high half, int32. */
  hi = 0;
  /** Address, low half, int32. */
  lo = 0;
  /** Bytes of the source. */
  length = 0;
  /** Bytes in the guest: the source, and the sequence word in front of it. */
  span = 0;
  /** Whether `hi`, `lo` name a sequence word. */
  seqlock = false;
  /** Whether the write names a root. */
  hasRoot = false;
  /** That root's frame number. */
  rootFrame = 0;
  /** Where it begins in that frame, a multiple of 64: of page tables whose first is smaller than a page. */
  rootOffset = 0;
  /** Where the source is. */
  source: Uint8Array = new Uint8Array(0);
  /** Its first byte in `source`. */
  sourceAt = 0;

  /** Whether the address lies in the kernel's half. */
  get isKernelHalf(): boolean {
    return this.hi < 0;
  }

  /** Whether the first address is canonical, where so many bits of an address count. */
  isCanonical(addressBits: number): boolean {
    const unused = 64 - addressBits;
    return this.hi << unused >> unused === this.hi;
  }

  /**
   * Reads a command. The source stays where it is: it is valid as long as the event.
   *
   * @returns CODE.ok, bad-argument or too-large
   */
  read(event: TransferEvent): Code {
    const { view } = event;
    this.hasRoot = this.seqlock = false;
    this.lo = view.getInt32(MEMWRITE.at.gva, true);
    this.hi = view.getInt32(MEMWRITE.at.gva + 4, true);
    this.length = view.getUint32(MEMWRITE.at.len, true);
    const flags = view.getUint32(MEMWRITE.at.flags, true);
    const inline = (flags & MEMWRITE_FLAG.INLINE) !== 0;
    if ((flags & ~KNOWN_FLAGS) !== 0 || inline === ((flags & MEMWRITE_FLAG.PAYLOAD) !== 0)) {
      return CODE["bad-argument"];
    }
    if (this.length === 0) return CODE["bad-argument"];
    if (this.length > MAX_MEMWRITE_BYTES) return CODE["too-large"];
    this.seqlock = (flags & MEMWRITE_FLAG.SEQLOCK) !== 0;
    this.span = this.length + (this.seqlock ? SEQUENCE_BYTES : 0);
    if (this.seqlock && (this.lo & (SEQUENCE_BYTES - 1)) !== 0) return CODE["bad-argument"];
    if (this.hi === -1 && (this.lo >>> 0) + this.span > 2 ** 32) return CODE["bad-argument"];
    this.hasRoot = (flags & MEMWRITE_FLAG.CR3) !== 0;
    if (this.hasRoot && !this.#readRoot(view)) return CODE["bad-argument"];
    return inline ? this.#readInline(event) : this.#readBody(event);
  }

  #readRoot(view: DataView): boolean {
    const lo = view.getUint32(MEMWRITE.at.tail, true);
    const hi = view.getUint32(MEMWRITE.at.tail + 4, true);
    const frame = (hi & 0xf_ffff) * 2 ** (32 - PAGE_SHIFT) + (lo >>> PAGE_SHIFT);
    if ((hi & ROOT_RESERVED_HI) !== 0 || frame === 0 || frame > 0x7fff_ffff) return false;
    this.rootFrame = frame;
    this.rootOffset = lo & 0xfc0;
    return true;
  }

  #readInline(event: TransferEvent): Code {
    const skip = this.hasRoot ? ROOT_BYTES : 0;
    if (this.length > TAIL_BYTES - skip) return CODE["too-large"];
    this.source = event.inline;
    this.sourceAt = MEMWRITE.at.tail + skip;
    this.#assertInside();
    return CODE.ok;
  }

  #readBody(event: TransferEvent): Code {
    if (event.bodyFormat !== BODY.RAW || event.bodyBytes !== this.length) return CODE["bad-argument"];
    this.source = event.body;
    this.sourceAt = event.bodyOffset;
    this.#assertInside();
    return CODE.ok;
  }

  #assertInside(): void {
    assert(this.sourceAt + this.length <= this.source.length, "the source of a write lies in its event");
  }
}
