/**
 * The frame rings that a client has received: the newest of each endpoint and head, mapped when a frame is
 * first taken from it. Needs the source FRAME in the subscription, and the capability FRAME.
 * @module
 */
import type { EndpointId } from "../base/ids.ts";
import { Mapping } from "../../ffi/mapping.ts";
import { getSeals, SEAL, statFd } from "../../ffi/memfd.ts";
import { OsError } from "../../ffi/os_error.ts";
import type { OwnedFd } from "../../ffi/owned_fd.ts";
import { assert } from "../base/assert.ts";
import { Fault } from "../base/fault.ts";
import { MAX_HEADS, MAX_VGPU_SLOT_BYTES } from "../base/limits.ts";
import { FRAME_RING } from "../event/body_layout.ts";
import { ROSTER_STATE } from "../event/body_number.ts";
import { readText } from "../event/inline_text.ts";
import { KIND } from "../event/kind.ts";
import { MappedRegion } from "../vgpu/mapped_region.ts";
import { FrameInfo } from "../vgpu/snapshots.ts";
import { READ, VgpuRegion } from "../vgpu/vgpu_region.ts";
import type { ClientEvent } from "./client_event.ts";

const DEVICE_BYTES = 24;

/** A ring, possibly not mapped yet. */
interface Ring {
  readonly fd: OwnedFd;
  readonly bytes: number;
  readonly device: string;
  open: { readonly mapping: Mapping; readonly region: VgpuRegion } | undefined;
}

/** A frame's pixels and description. */
export interface SampledFrame {
  /** Its description. */
  readonly info: FrameInfo;
  /** Its pixels, a copy. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The display device's id, where it has one. */
  readonly device: string;
}

/** The rings of one client. */
export class FrameRings {
  readonly #rings = new Map<number, Ring>();
  /** Frames that were sent as data, where a ring cannot be passed. */
  readonly #given = new Map<number, SampledFrame>();

  /** Takes an event; its descriptor stays with the event. */
  update(event: ClientEvent): void {
    if (event.kind === KIND.ROSTER && event.as("ROSTER")?.state === ROSTER_STATE.GONE) {
      for (let head = 0; head < MAX_HEADS; head++) {
        this.#replace(keyOf(event.endpoint, head), undefined);
        this.#given.delete(keyOf(event.endpoint, head));
      }
      return;
    }
    const ring = event.as("FRAME_RING");
    if (ring === undefined || event.fdCount !== 1 || ring.head >= MAX_HEADS) return;
    const [fd] = event.share().takeFds();
    if (fd === undefined) return;
    const device = readText(event.inline, FRAME_RING.at.device, DEVICE_BYTES);
    this.#replace(keyOf(event.endpoint, ring.head), { fd, bytes: ring.bytes, device, open: undefined });
  }

  /** Takes a frame that was sent as data, the newest of its head; this table owns its memory from now on. */
  give(endpoint: EndpointId, head: number, frame: SampledFrame): void {
    assert(head < MAX_HEADS && frame.bytes.length === frame.info.bytes, "a frame that is given is whole");
    this.#given.set(keyOf(endpoint, head), frame);
  }

  /** Whether there is a ring or a frame of a head. */
  has(endpoint: EndpointId, head: number): boolean {
    const key = keyOf(endpoint, head);
    return this.#rings.has(key) || this.#given.has(key);
  }

  /**
   * Copies out the newest frame of a head.
   *
   * @param roomFor returns memory of at least this many bytes; by default new memory
   * @returns undefined when the head has no ring, or there is no frame in it yet
   * @throws {Fault} `protocol-error` for a ring that is not valid
   */
  sample(
    endpoint: EndpointId,
    head: number,
    roomFor: (bytes: number) => Uint8Array<ArrayBuffer> = (bytes) => new Uint8Array(bytes),
  ): SampledFrame | undefined {
    const given = this.#given.get(keyOf(endpoint, head));
    if (given !== undefined) return copyOf(given, roomFor(given.bytes.length));
    const ring = this.#rings.get(keyOf(endpoint, head));
    if (ring === undefined) return undefined;
    const { region } = ring.open ??= openRing(ring);
    const info = new FrameInfo();
    region.forgetFrames();
    const peeked = region.peekFrame(info);
    if (peeked === READ.FRESH) {
      // The next frame may be larger, up to the size of a slot.
      for (let room = info.bytes; room <= MAX_VGPU_SLOT_BYTES;) {
        const bytes = roomFor(room);
        if (region.sampleFrame(bytes, info) === READ.FRESH) {
          return { info, bytes: bytes.subarray(0, info.bytes), device: ring.device };
        }
        if (region.why !== "too-large") break;
        room = info.bytes;
      }
    }
    if (region.why === "none-yet" || region.why === "busy") return undefined;
    throw new Fault("protocol-error", `Cannot take a frame: the ring is not valid (${region.why})`);
  }

  /**
   * Reads the newest frame of a head in place, without copying it.
   *
   * @param read copies what it needs. The pixels may change meanwhile, and then it is called again from the
   *   start; only what its last call took is valid, and only if there is a result
   * @returns the frame's descriptor; undefined when the head has no ring, there is no frame in it yet, or it
   *   is replaced too fast
   * @throws {Fault} `protocol-error` for a ring that is not valid
   */
  read(
    endpoint: EndpointId,
    head: number,
    read: (info: FrameInfo, bytes: Uint8Array<ArrayBuffer>) => void,
  ): FrameInfo | undefined {
    const given = this.#given.get(keyOf(endpoint, head));
    if (given !== undefined) {
      read(given.info, given.bytes);
      return given.info;
    }
    const ring = this.#rings.get(keyOf(endpoint, head));
    if (ring === undefined) return undefined;
    const { region } = ring.open ??= openRing(ring);
    const info = new FrameInfo();
    region.forgetFrames();
    const result = region.readFrame(info, ([view, ...others]) => {
      assert(view !== undefined && others.length === 0, "a ring of one mapping has its frames in one run");
      read(info, view as Uint8Array<ArrayBuffer>);
    });
    if (result === READ.FRESH) return info;
    if (region.why === "none-yet" || region.why === "busy") return undefined;
    throw new Fault("protocol-error", `Cannot read a frame: the ring is not valid (${region.why})`);
  }

  /** Unmaps and drops everything. */
  clear(): void {
    for (const key of [...this.#rings.keys()]) this.#replace(key, undefined);
    this.#given.clear();
  }

  #replace(key: number, ring: Ring | undefined): void {
    const before = this.#rings.get(key);
    before?.open?.mapping[Symbol.dispose]();
    before?.fd.close();
    if (ring === undefined) this.#rings.delete(key);
    else this.#rings.set(key, ring);
  }
}

function keyOf(endpoint: EndpointId, head: number): number {
  return endpoint * MAX_HEADS + head;
}

function copyOf({ info, bytes, device }: SampledFrame, room: Uint8Array<ArrayBuffer>): SampledFrame {
  const copy = new FrameInfo();
  copy.assign(info);
  room.set(bytes);
  return { info: copy, bytes: room.subarray(0, bytes.length), device };
}

/** Maps a ring. A file that can be truncated would end this process when that happens, so it is refused. */
function openRing({ fd, bytes }: Ring): { mapping: Mapping; region: VgpuRegion } {
  const bad = (why: string, cause?: unknown): Fault =>
    new Fault("protocol-error", `Cannot read the frames: ${why}`, { cause });
  let mapping: Mapping;
  try {
    if ((getSeals(fd.fd) & SEAL.SHRINK) === 0) throw bad("their memory is not sealed");
    if (statFd(fd.fd).sizeBytes < bytes) throw bad("their memory is smaller than announced");
    mapping = Mapping.map(fd.fd, 0, bytes, { write: false });
  } catch (error) {
    if (error instanceof OsError) throw bad(error.message, error);
    throw error;
  }
  const opened = VgpuRegion.open(new MappedRegion(mapping.buffer));
  if (opened.ok) return { mapping, region: opened.region };
  mapping[Symbol.dispose]();
  throw bad(`their ring is not valid (${opened.defect})`);
}
