/**
 * RAM from a LiME image (also written by AVML without compression): uncompressed ranges of physical memory,
 * each preceded by a header of 32 bytes with its first and last address (LiME's own documentation).
 * @module
 */
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { preadInto } from "../../../ffi/stream.ts";
import { Fault } from "../../base/fault.ts";
import { readU64 } from "../../base/layout.ts";
import { MAX_CORE_SEGMENTS } from "../../base/limits.ts";
import { type FileSegment, SegmentFile } from "../segment_file.ts";

const PAGE_BYTES = 4096;
const HEADER_BYTES = 32;
const MAGIC = 0x4c69_4d45;
const VERSION = 1;

/** A LiME image as a RAM source. */
export class LimeImage extends SegmentFile {
  /**
   * Reads the headers and maps the file.
   *
   * @param fd the file, open for reading; owned from now on, even if this throws
   * @param name its name in messages
   * @throws {Fault} `refused` when it is truncated or inconsistent, `not-supported` for another version
   */
  constructor(fd: OwnedFd, name: string) {
    super(fd, "LiME image", name, (sizeBytes) => readRanges(fd.fd, name, sizeBytes));
  }
}

function readRanges(fd: number, name: string, sizeBytes: number): FileSegment[] {
  const segments: FileSegment[] = [];
  const head = new Uint8Array(HEADER_BYTES);
  const view = new DataView(head.buffer);
  for (let at = 0; at < sizeBytes;) {
    if (preadInto(fd, head, 0, HEADER_BYTES, at) < HEADER_BYTES) {
      throw refused(name, "it is cut short within a header; make the dump anew");
    }
    if (view.getUint32(0, true) !== MAGIC) throw refused(name, `there is no range's header at byte ${at}`);
    if (view.getUint32(4, true) !== VERSION) {
      throw new Fault(
        "not-supported",
        `Cannot open ${name}: it is a LiME image of version ${
          view.getUint32(4, true)
        }, and version 1 is known; use format=lime without compress`,
      );
    }
    const first = readU64(view, 8);
    const size = readU64(view, 16) - first + 1;
    if (!(size > 0 && Number.isSafeInteger(first + size))) {
      throw refused(name, "one of its ranges ends before it begins");
    }
    at += HEADER_BYTES;
    if (at + size > sizeBytes) {
      throw refused(name, `it is cut short, ${at + size - sizeBytes} bytes are missing; make the dump anew`);
    }
    // Whole pages only: half of a firmware's last page below 640 KiB may be its own.
    const skip = (PAGE_BYTES - first % PAGE_BYTES) % PAGE_BYTES;
    const whole = Math.floor((size - skip) / PAGE_BYTES) * PAGE_BYTES;
    if (whole > 0) segments.push({ gpa: first + skip, sizeBytes: whole, fileOffset: at + skip });
    if (segments.length > MAX_CORE_SEGMENTS) {
      throw refused(name, `it has more than ${MAX_CORE_SEGMENTS} ranges`);
    }
    at += size;
  }
  return segments;
}

function refused(name: string, why: string): Fault {
  return new Fault("refused", `Cannot open ${name}: ${why}`);
}
