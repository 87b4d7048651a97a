/**
 * The rings of frames that a client was handed: the newest of each endpoint and head, mapped when a frame is
 * taken out of it for the first time. It needs the source FRAME in the subscription, and the capability
 * FRAME.
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

/** A ring, mapped or not yet. */
interface Ring {
  readonly fd: OwnedFd;
  readonly bytes: number;
  readonly device: string;
  open: { readonly mapping: Mapping; readonly region: VgpuRegion } | undefined;
}

/** A frame's bytes with what describes them. */
export interface SampledFrame {
  /** What describes it. */
  readonly info: FrameInfo;
  /** Its bytes, a copy. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The display device's id, where it has one. */
  readonly device: string;
}

/** The rings of one client. */
export class FrameRings {
  readonly #rings = new Map<number, Ring>();
  /** Frames that travelled, where there is no ring to hand over. */
  readonly #given = new Map<number, SampledFrame>();

  /** Takes an event in; its descriptor stays the event's. */
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

  /** Takes in a frame that travelled, the newest one of its head; its memory is this table's from now on. */
  give(endpoint: EndpointId, head: number, frame: SampledFrame): void {
    assert(head < MAX_HEADS && frame.bytes.length === frame.info.bytes, "a frame that is given is whole");
    this.#given.set(keyOf(endpoint, head), frame);
  }

  /** Whether a head has a ring, or a frame. */
  has(endpoint: EndpointId, head: number): boolean {
    const key = keyOf(endpoint, head);
    return this.#rings.has(key) || this.#given.has(key);
  }

  /**
   * Copies the newest frame of a head out.
   *
   * @param roomFor memory for so many bytes or more; new memory unless told
   * @returns undefined when the head has no ring, or no frame is in it yet
   * @throws {Fault} `protocol-error` for a ring that is not one
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
      // The next one may be larger, as far as a slot goes.
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
   * Lets somebody read the newest frame of a head where it lies, without a copy of it.
   *
   * @param read takes what it needs: the bytes may change under it, and it is called from the start again
   *   when they did; what it took last counts when there is a result
   * @returns the frame's descriptor; undefined when the head has no ring, or no frame is in it yet, or it is
   *   being replaced all the time
   * @throws {Fault} `protocol-error` for a ring that is not one
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

  /** Lets go of all. */
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

/** Maps a ring. A file that can shrink would end this process when it does. */
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
