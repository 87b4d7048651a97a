/**
 * The source of frames that a guest's own producer is: looks for its region while a system runs, and then
 * publishes its state, cursor and frames without being asked. A state machine that is told the time.
 *
 *   searching -(living region)-> watching -(gone)-> searching
 *
 * A new run epoch forgets the frame ids; a producer that restarted is found by a new look. A producer whose
 * heartbeat stands still is told as lost and kept in view, while others are searched for: a VM that was
 * paused goes on where it was.
 * @module
 */
import { assert } from "../../../base/assert.ts";
import { MS, NEVER, SECOND } from "../../../base/clock.ts";
import { FRAME_SOURCE, VGPU_STATE } from "../../../event/body_number.ts";
import type { GuestOs } from "../../../guest/guest_os.ts";
import type { RegionCandidate } from "../../../vgpu/discovery.ts";

import { RegionSearch } from "../../../vgpu/region_search.ts";
import { Cursor, FrameInfo, Geometry, ProducerState } from "../../../vgpu/snapshots.ts";
import { READ } from "../../../vgpu/vgpu_region.ts";
import type { FramePublisher } from "../frame_publisher.ts";
import { FrameRing } from "../frame_ring.ts";
import { PollPace } from "../poll_pace.ts";
import { ProducerStatus } from "./producer_status.ts";

/** A heartbeat that stands for so long is lost: ten of REGION.md's periods, for guests that run late. */
const STALE_NS = SECOND;
/** Endpoints without a producer look together, so that many of them wake the thread together. */
const IDLE_GRID_NS = 500 * MS;
/** How often a region that stands still is looked at, while others are searched for. */
const STALE_LOOK_NS = 50 * MS;

/** What it needs of the endpoint that it belongs to. */
export interface VgpuSourceOptions {
  /** Takes what it sees. */
  readonly publisher: FramePublisher;
  /** This process's pid, which the ring's header names; undefined: frames are told and not copied. */
  readonly ringPid: number | undefined;
  /** Told when a producer was found. */
  readonly onProducer: (nowNs: number) => void;
}

/** A producer that is watched. */
interface Watch {
  readonly producer: RegionCandidate;
  readonly pace: PollPace;
  beat: number;
  beatNs: number;
  /** The newest frame that was told. */
  frameId: number;
  cursorSeq: number;
}

/** Where it stands while a system runs. */
interface Looking {
  readonly search: RegionSearch;
  watch: Watch | undefined;
}

/** The producer of one endpoint. */
export class VgpuSource implements Disposable {
  readonly #options: VgpuSourceOptions;
  readonly #status: ProducerStatus;
  // Filled in place: a poll makes no garbage.
  readonly #state = new ProducerState();
  readonly #cursor = new Cursor();
  readonly #geometry = new Geometry();
  readonly #info = new FrameInfo();
  #looking: Looking | undefined;
  #ring: FrameRing | undefined;
  /** The geometry that the ring shows. */
  #geometrySeq = -1;
  /** The run that was told last; it outlives its producer, which may come back in it. */
  #runEpoch = 0;

  /** A source that waits for a system. */
  constructor(options: VgpuSourceOptions) {
    this.#options = options;
    this.#status = new ProducerStatus(options.publisher);
  }

  /** Whether a producer is in view, alive or standing still. */
  get hasProducer(): boolean {
    return this.#looking?.watch !== undefined;
  }

  /** Whether a producer is alive: its frames are the endpoint's. */
  get isAlive(): boolean {
    return this.#status.phase === VGPU_STATE.ALIVE;
  }

  /** Id of the frame that was told last; 0 before the first of this producer. */
  get frameId(): number {
    return this.#looking?.watch?.frameId ?? 0;
  }

  /** Tells of its ring again, if it has one. @param isNeeded whether another ring was told meanwhile */
  showRing(isNeeded: boolean): void {
    if (isNeeded && this.#ring !== undefined) {
      this.#options.publisher.ring(this.#ring, { head: 0, runEpoch: this.#runEpoch });
    }
  }

  /** A system runs in which a producer may be. */
  onSystem(os: GuestOs): void {
    assert(this.#looking === undefined, "one system at a time is looked into");
    this.#looking = { search: new RegionSearch(os), watch: undefined };
  }

  /** The system is gone, and its producer with it. */
  onSystemGone(): void {
    this.#lose();
    this.#looking = undefined;
  }

  /**
   * Goes on as far as it can now.
   *
   * @param idleNs when somebody else wakes this endpoint anyway
   * @returns when it wants to be called again
   */
  step(nowNs: number, idleNs: number): number {
    const looking = this.#looking;
    if (looking === undefined) return NEVER;
    if (looking.watch !== undefined) return this.#watch(nowNs, looking, looking.watch);
    return this.#find(nowNs, looking, idleNs);
  }

  /** Ends it; consumers keep what they have mapped. */
  [Symbol.dispose](): void {
    this.onSystemGone();
    this.#ring?.[Symbol.dispose]();
    this.#ring = undefined;
  }

  #find(nowNs: number, looking: Looking, idleNs: number): number {
    const { search } = looking;
    const state = search.step(nowNs);
    if (state === "looking") return nowNs;
    if (state === "found") return this.#adopt(nowNs, looking, search.found as RegionCandidate);
    const hasCandidates = search.candidates.length > 0;
    const { phase } = this.#status;
    if (hasCandidates && phase === VGPU_STATE.LOST) this.#tell(VGPU_STATE.CANDIDATE);
    else if (!hasCandidates && phase === VGPU_STATE.CANDIDATE) this.#tell(VGPU_STATE.LOST);
    const nextNs = Math.min(search.nextNs, idleNs);
    return hasCandidates ? nextNs : Math.ceil(nextNs / IDLE_GRID_NS) * IDLE_GRID_NS;
  }

  #adopt(nowNs: number, looking: Looking, producer: RegionCandidate): number {
    const watch: Watch = {
      producer,
      pace: new PollPace(),
      beat: 0,
      beatNs: nowNs,
      frameId: 0,
      cursorSeq: -1,
    };
    looking.watch = watch;
    this.#geometrySeq = -1;
    this.#options.onProducer(nowNs);
    if (producer.region.readState(this.#state) === READ.GONE) return this.#again(nowNs);
    watch.beat = this.#state.heartbeat;
    // Its run is taken as new by the watch, which then tells of the ring again: the one that is retained
    // names the run before.
    return this.#watch(nowNs, looking, watch);
  }

  #watch(nowNs: number, looking: Looking, watch: Watch): number {
    if (watch.producer.region.readState(this.#state) === READ.GONE) return this.#again(nowNs);
    if (this.#state.heartbeat !== watch.beat) {
      watch.beat = this.#state.heartbeat;
      watch.beatNs = nowNs;
    } else if (nowNs - watch.beatNs > STALE_NS) {
      return this.#stale(nowNs, looking, watch);
    }
    if (this.#state.runEpoch !== this.#runEpoch) this.#newRun(watch);
    if (this.#tell(VGPU_STATE.ALIVE)) watch.pace.onChange(nowNs);
    this.#ring?.beat(this.#state);
    if (!this.#watchCursor(nowNs, watch) || !this.#watchFrame(nowNs, watch)) return this.#again(nowNs);
    return nowNs + watch.pace.periodNs(nowNs);
  }

  /** The producer stands still: told as lost, kept in view, and another one is searched for. */
  #stale(nowNs: number, looking: Looking, watch: Watch): number {
    this.#tell(VGPU_STATE.LOST);
    const { search } = looking;
    const state = search.step(nowNs);
    if (state === "looking") return nowNs;
    if (state !== "found" || search.found === undefined) return nowNs + STALE_LOOK_NS;
    watch.producer.region.close();
    return this.#adopt(nowNs, looking, search.found);
  }

  #watchCursor(nowNs: number, watch: Watch): boolean {
    const { region } = watch.producer;
    const cursor = this.#cursor;
    const result = region.readCursor(cursor);
    if (result === READ.FRESH && cursor.seq !== watch.cursorSeq) {
      // A producer that never wrote a cursor has none to tell.
      if (cursor.seq !== 0) this.#options.publisher.cursor(cursor, 0);
      watch.cursorSeq = cursor.seq;
      this.#ring?.showCursor(cursor);
      watch.pace.onChange(nowNs);
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

  /** Takes and tells the newest frame; false when the region is gone. */
  #watchFrame(nowNs: number, watch: Watch): boolean {
    const { region } = watch.producer;
    const info = this.#info;
    const peeked = region.peekFrame(info);
    if (peeked === READ.GONE) return false;
    if (peeked !== READ.FRESH || info.frameId <= watch.frameId) return true;
    const { ringPid, publisher } = this.#options;
    if (ringPid !== undefined) {
      const taken = this.#ringFor(info.bytes, ringPid).take(region, info);
      if (taken === READ.GONE) return false;
      // The writer was at it: the next look takes the frame that it makes.
      if (taken !== READ.FRESH) return true;
    }
    watch.frameId = info.frameId;
    watch.pace.onFrame(nowNs);
    publisher.frame(info, { source: FRAME_SOURCE.VGPU, head: 0, runEpoch: this.#runEpoch });
    return true;
  }

  #newRun(watch: Watch): void {
    this.#runEpoch = this.#state.runEpoch;
    watch.frameId = 0;
    watch.producer.region.forgetFrames();
    if (this.#ring !== undefined) {
      this.#options.publisher.ring(this.#ring, { head: 0, runEpoch: this.#runEpoch });
    }
  }

  /** The ring, made anew when the frame does not fit. */
  #ringFor(frameBytes: number, pid: number): FrameRing {
    const old = this.#ring;
    if (old !== undefined && frameBytes <= old.slotStride) return old;
    old?.[Symbol.dispose]();
    this.#ring = undefined;
    const ring = FrameRing.create(frameBytes, pid);
    this.#ring = ring;
    ring.beat(this.#state);
    ring.showCursor(this.#cursor);
    this.#geometrySeq = -1;
    this.#options.publisher.ring(ring, { head: 0, runEpoch: this.#runEpoch });
    return ring;
  }

  #again(nowNs: number): number {
    this.#lose();
    this.#looking?.search.again();
    return nowNs;
  }

  #lose(): void {
    const looking = this.#looking;
    looking?.watch?.producer.region.close();
    if (looking !== undefined) looking.watch = undefined;
    if (this.#status.phase !== VGPU_STATE.LOST) this.#tell(VGPU_STATE.LOST);
  }

  #tell(phase: (typeof VGPU_STATE)[keyof typeof VGPU_STATE]): boolean {
    const pid = this.#looking?.watch?.producer.region.header.producerPid ?? 0;
    return this.#status.tell(phase, this.#state, pid);
  }
}
