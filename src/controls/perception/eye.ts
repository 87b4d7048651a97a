/**
 * One endpoint's eye: from MEMCTX to the living region, and then its state, cursor and frames as events and
 * in a ring. A state machine that is told the time and says when it wants to be told again.
 *
 *   no context -> looking for the system -> looking for a region -> alive -> (heartbeat stands) stale ->
 *     alive, or looking again
 *
 * A new epoch starts anew with the new context; a new run epoch forgets the frame ids; a producer that
 * restarted is found by a new look. A producer whose heartbeat stands still is told as lost and kept in view:
 * a VM that was paused goes on where it was.
 * @module
 */
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { MS, NEVER, SECOND } from "../../base/clock.ts";
import { messageOf } from "../../base/fault.ts";
import { INLINE_BYTES } from "../../base/limits.ts";
import { writeU64 } from "../../base/layout.ts";
import { CURSOR, FRAME_INFO, FRAME_RING, VGPU_STATUS } from "../../event/body_layout.ts";
import { KIND } from "../../event/kind.ts";
import type { FindResult, GuestOs } from "../../guest/guest_os.ts";
import type { PhysicalMemory } from "../../guest/physical_memory.ts";
import { openMemsegs } from "../../ram/memseg_ram.ts";
import type { RegionCandidate } from "../../vgpu/discovery.ts";
import { FRAME_SOURCE } from "../../vgpu/frame_source.ts";
import { RegionSearch } from "../../vgpu/region_search.ts";
import { Cursor, FrameInfo, Geometry, ProducerState } from "../../vgpu/snapshots.ts";
import { READ } from "../../vgpu/vgpu_region.ts";
import type { EyePort } from "./eye_port.ts";
import { findSystem } from "./find_system.ts";
import { FrameRing } from "./frame_ring.ts";
import { PollPace } from "./poll_pace.ts";

/** VGPU_STATUS.state. */
export const EYE_STATE = { lost: 0, candidate: 1, alive: 2 } as const;

/** A heartbeat that stands for so long is lost: ten of REGION.md's periods, for guests that run late. */
const STALE_NS = SECOND;
/**
 * How often the kernel itself is looked after: while there is a producer, and while there is none. A reset is
 * told by the bus.
 */
const KERNEL_LOOK_NS = SECOND;
const IDLE_KERNEL_LOOK_NS = 5 * SECOND;
/**
 * When the system is looked for again, after it was not found: twice as late each time. The daemon looks too,
 * and tells a new context when it finds one.
 */
const SYSTEM_GAP_NS = 2 * SECOND;
const LONGEST_SYSTEM_GAP_NS = 30 * SECOND;
/** Eyes without a producer look together, so that many of them wake the thread together. */
const IDLE_GRID_NS = 500 * MS;
/** How often a region that stands still is looked at, while others are searched for. */
const STALE_LOOK_NS = 50 * MS;

/** What an eye does beside watching. */
export interface EyeOptions {
  /** Whether frames are copied into a ring for consumers. */
  readonly ring: boolean;
  /** This process's pid, which the ring's header names. */
  readonly pid: number;
  /** Finds the guest's system; {@linkcode findSystem} unless told. */
  readonly find?: (memory: PhysicalMemory, liveRoot: number | undefined) => FindResult;
}

/** The eye on one endpoint. */
export class Eye implements Disposable {
  readonly #endpoint: number;
  readonly #port: EyePort;
  readonly #options: EyeOptions;
  readonly #inline = new Uint8Array(INLINE_BYTES);
  readonly #view = new DataView(this.#inline.buffer);
  readonly #state = new ProducerState();
  readonly #cursor = new Cursor();
  readonly #geometry = new Geometry();
  readonly #info = new FrameInfo();
  #memory: PhysicalMemory | undefined;
  #liveRoot = 0;
  #os: GuestOs | undefined;
  #search: RegionSearch | undefined;
  #producer: RegionCandidate | undefined;
  #ring: FrameRing | undefined;
  #pace = new PollPace();
  #told: number = EYE_STATE.lost;
  readonly #toldState = new ProducerState();
  #toldPid = 0;
  #beat = 0;
  #beatNs = 0;
  #frameId = 0;
  #runEpoch = 0;
  #cursorSeq = -1;
  #geometrySeq = -1;
  #nextNs = NEVER;
  #kernelNs = 0;
  #systemGapNs = SYSTEM_GAP_NS;

  /**
   * An eye without a context: it sees nothing yet.
   *
   * @param endpoint the endpoint
   * @param port takes its events
   * @param options what it does beside watching
   */
  constructor(endpoint: number, port: EyePort, options: EyeOptions) {
    this.#endpoint = endpoint;
    this.#port = port;
    this.#options = options;
  }

  /** When it wants {@linkcode step}; NEVER without a context. */
  get nextNs(): number {
    return this.#nextNs;
  }

  /**
   * Takes a MEMCTX: what was seen in the last epoch is gone.
   *
   * @param kcr3 the kernel's root, 0 when the daemon knows none
   * @param body its body: memsegs
   * @param fds its descriptors; owned from now on
   */
  onContext(kcr3: number, body: Uint8Array, fds: readonly OwnedFd[]): void {
    this.onInvalidated();
    try {
      this.#memory = openMemsegs(body, fds, `RAM of endpoint ${this.#endpoint}`);
      this.#liveRoot = kcr3;
      this.#systemGapNs = SYSTEM_GAP_NS;
      this.#nextNs = 0;
    } catch (error) {
      this.#port.say(this.#endpoint, messageOf(error));
    } finally {
      for (const fd of fds) fd.close();
    }
  }

  /** Takes a MEMCTX_INVALIDATED, or the endpoint's end. */
  onInvalidated(): void {
    this.#lose();
    this.#search = undefined;
    this.#os = undefined;
    this.#memory?.[Symbol.dispose]();
    this.#memory = undefined;
    this.#nextNs = NEVER;
  }

  /** Goes on as far as it can now. */
  step(nowNs: number): void {
    if (nowNs < this.#nextNs || this.#memory === undefined) return;
    try {
      this.#nextNs = this.#step(nowNs, this.#memory);
    } catch (error) {
      // RAM that shrank, or a guest's structure that we trip over: this epoch is over for us, the others'
      // eyes stay open.
      this.#port.say(this.#endpoint, messageOf(error));
      this.onInvalidated();
    }
  }

  /** Ends it. */
  [Symbol.dispose](): void {
    this.onInvalidated();
    this.#ring?.[Symbol.dispose]();
    this.#ring = undefined;
  }

  #step(nowNs: number, memory: PhysicalMemory): number {
    if (this.#os === undefined) return this.#findSystem(nowNs, memory);
    if (nowNs >= this.#kernelNs) {
      this.#kernelNs = nowNs + (this.#producer === undefined ? IDLE_KERNEL_LOOK_NS : KERNEL_LOOK_NS);
      if (!this.#os.stillThere()) return this.#forgetSystem(nowNs);
    }
    if (this.#producer !== undefined) return this.#watch(nowNs, this.#producer);
    return this.#find(nowNs, this.#search as RegionSearch);
  }

  #findSystem(nowNs: number, memory: PhysicalMemory): number {
    memory.refresh();
    const find = this.#options.find ?? findSystem;
    const found = find(memory, this.#liveRoot === 0 ? undefined : this.#liveRoot);
    // All of its RAM was looked through: with 64 guests it would be ours by the gigabyte.
    memory.letGo();
    if (!found.found) {
      const gapNs = this.#systemGapNs;
      this.#systemGapNs = Math.min(2 * gapNs, LONGEST_SYSTEM_GAP_NS);
      return nowNs + gapNs;
    }
    this.#os = found.os;
    this.#search = new RegionSearch(found.os);
    this.#kernelNs = nowNs + KERNEL_LOOK_NS;
    return nowNs;
  }

  #forgetSystem(nowNs: number): number {
    this.#lose();
    this.#os = undefined;
    this.#search = undefined;
    this.#systemGapNs = SYSTEM_GAP_NS;
    return nowNs + SYSTEM_GAP_NS;
  }

  #find(nowNs: number, search: RegionSearch): number {
    const state = search.step(nowNs);
    if (state === "looking") return nowNs;
    if (state === "found") return this.#adopt(nowNs, search.found as RegionCandidate);
    if (search.candidates.length > 0 && this.#told === EYE_STATE.lost) this.#tell(EYE_STATE.candidate);
    else if (search.candidates.length === 0 && this.#told === EYE_STATE.candidate) this.#tell(EYE_STATE.lost);
    const nextNs = Math.min(search.nextNs, this.#kernelNs);
    return search.candidates.length > 0 ? nextNs : Math.ceil(nextNs / IDLE_GRID_NS) * IDLE_GRID_NS;
  }

  #adopt(nowNs: number, producer: RegionCandidate): number {
    this.#producer = producer;
    this.#kernelNs = Math.min(this.#kernelNs, nowNs + KERNEL_LOOK_NS);
    this.#pace = new PollPace();
    this.#beatNs = nowNs;
    this.#frameId = 0;
    this.#cursorSeq = this.#geometrySeq = -1;
    if (producer.region.readState(this.#state) === READ.GONE) return this.#again(nowNs);
    this.#beat = this.#state.heartbeat;
    // Its run is taken as new by the watch, which then tells of the ring again: the one that is retained
    // names the run before.
    return this.#watch(nowNs, producer);
  }

  #watch(nowNs: number, producer: RegionCandidate): number {
    const { region } = producer;
    if (region.readState(this.#state) === READ.GONE) return this.#again(nowNs);
    if (this.#state.heartbeat !== this.#beat) {
      this.#beat = this.#state.heartbeat;
      this.#beatNs = nowNs;
    } else if (nowNs - this.#beatNs > STALE_NS) {
      return this.#stale(nowNs);
    }
    if (this.#state.runEpoch !== this.#runEpoch) this.#newRun();
    if (this.#tell(EYE_STATE.alive)) this.#pace.onChange(nowNs);
    this.#ring?.beat(this.#state);
    if (!this.#watchCursor(nowNs, producer) || !this.#watchFrame(nowNs, producer)) return this.#again(nowNs);
    return nowNs + this.#pace.periodNs(nowNs);
  }

  /** The producer stands still: told as lost, kept in view, and another one is searched for. */
  #stale(nowNs: number): number {
    this.#tell(EYE_STATE.lost);
    const search = this.#search as RegionSearch;
    const state = search.step(nowNs);
    if (state === "looking") return nowNs;
    if (state !== "found" || search.found === undefined) return nowNs + STALE_LOOK_NS;
    this.#producer?.region.close();
    return this.#adopt(nowNs, search.found);
  }

  #watchCursor(nowNs: number, { region }: RegionCandidate): boolean {
    const cursor = this.#cursor;
    const result = region.readCursor(cursor);
    if (result === READ.FRESH && cursor.seq !== this.#cursorSeq) {
      // A producer that never wrote a cursor has none to tell.
      if (cursor.seq !== 0) this.#publishCursor(cursor);
      this.#cursorSeq = cursor.seq;
      this.#ring?.showCursor(cursor);
      this.#pace.onChange(nowNs);
    }
    const geometry = this.#geometry;
    if (
      this.#ring !== undefined && region.readGeometry(geometry) === READ.FRESH &&
      geometry.seq !== this.#geometrySeq
    ) {
      this.#geometrySeq = geometry.seq;
      this.#ring.showGeometry(geometry);
    }
    return result !== READ.GONE;
  }

  #watchFrame(nowNs: number, { region }: RegionCandidate): boolean {
    const info = this.#info;
    const peeked = region.peekFrame(info);
    if (peeked === READ.GONE) return false;
    if (peeked !== READ.FRESH || info.frameId <= this.#frameId) return true;
    if (this.#options.ring) {
      if (this.#ring === undefined || info.bytes > this.#ring.slotStride) this.#newRing(info.bytes);
      const taken = (this.#ring as FrameRing).take(region, info);
      if (taken === READ.GONE) return false;
      // The writer was at it: the next look takes the frame that it makes.
      if (taken !== READ.FRESH) return true;
    }
    this.#frameId = info.frameId;
    this.#pace.onFrame(nowNs);
    this.#publishFrame(info);
    return true;
  }

  #newRun(): void {
    this.#runEpoch = this.#state.runEpoch;
    this.#frameId = 0;
    this.#producer?.region.forgetFrames();
    if (this.#ring !== undefined) this.#publishRing(this.#ring);
  }

  #newRing(frameBytes: number): void {
    this.#ring?.[Symbol.dispose]();
    this.#ring = undefined;
    const ring = FrameRing.create(frameBytes, this.#options.pid);
    this.#ring = ring;
    ring.beat(this.#state);
    ring.showCursor(this.#cursor);
    this.#geometrySeq = -1;
    this.#publishRing(ring);
  }

  #again(nowNs: number): number {
    this.#lose();
    this.#search?.again();
    return nowNs;
  }

  #lose(): void {
    this.#producer?.region.close();
    this.#producer = undefined;
    if (this.#told !== EYE_STATE.lost) this.#tell(EYE_STATE.lost);
  }

  /** Publishes VGPU_STATUS when something in it is new; whether it was. */
  #tell(state: number): boolean {
    const s = this.#state;
    const pid = this.#producer?.region.header.producerPid ?? 0;
    if (state === this.#told && (state !== EYE_STATE.alive || !this.#isNews(s, pid))) return false;
    this.#told = state;
    Object.assign(this.#toldState, s);
    this.#toldPid = pid;
    const view = this.#blank();
    const { at } = VGPU_STATUS;
    const known = state !== EYE_STATE.candidate;
    view.setUint32(at.state, state, true);
    view.setUint32(at.runEpoch, known ? s.runEpoch : 0, true);
    view.setUint32(at.status, known ? s.status : 0, true);
    view.setUint32(at.backend, known ? s.backend : 0, true);
    view.setUint32(at.errorCode, known ? s.errorCode : 0, true);
    view.setUint32(at.appliedFps, known ? s.appliedFps : 0, true);
    view.setUint32(at.producerPid, pid, true);
    this.#port.publish(KIND.VGPU_STATUS, this.#endpoint, this.#inline, -1);
    return true;
  }

  #isNews(s: ProducerState, pid: number): boolean {
    const told = this.#toldState;
    return s.runEpoch !== told.runEpoch || s.status !== told.status || s.backend !== told.backend ||
      s.errorCode !== told.errorCode || s.appliedFps !== told.appliedFps || pid !== this.#toldPid;
  }

  #publishCursor(cursor: Cursor): void {
    const view = this.#blank();
    const { at } = CURSOR;
    view.setInt32(at.x, cursor.x, true);
    view.setInt32(at.y, cursor.y, true);
    view.setUint32(at.visible, cursor.visible ? 1 : 0, true);
    view.setUint32(at.seq, cursor.seq, true);
    this.#port.publish(KIND.CURSOR_STATE, this.#endpoint, this.#inline, -1);
  }

  #publishFrame(info: FrameInfo): void {
    const view = this.#blank();
    const { at } = FRAME_INFO;
    writeU64(view, at.frameId, info.frameId);
    writeU64(view, at.timestampNs, info.timestampNs);
    view.setUint32(at.width, info.width, true);
    view.setUint32(at.height, info.height, true);
    view.setUint32(at.stride, info.stride, true);
    view.setUint32(at.format, info.format, true);
    view.setUint32(at.source, FRAME_SOURCE.vgpu, true);
    view.setUint32(at.runEpoch, this.#runEpoch, true);
    this.#port.publish(KIND.FRAME_INFO, this.#endpoint, this.#inline, -1);
  }

  #publishRing(ring: FrameRing): void {
    const view = this.#blank();
    const { at } = FRAME_RING;
    writeU64(view, at.bytes, ring.bytes);
    view.setUint32(at.slotCount, ring.slotCount, true);
    view.setUint32(at.slotStride, ring.slotStride, true);
    view.setUint32(at.runEpoch, this.#state.runEpoch, true);
    this.#port.publish(KIND.FRAME_RING, this.#endpoint, this.#inline, ring.fd);
  }

  #blank(): DataView {
    this.#inline.fill(0);
    return this.#view;
  }
}
