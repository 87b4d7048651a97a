/**
 * Flow control for QEMU's virtio input devices. QEMU acknowledges input-send-event even if the device's ring
 * is full, and then silently drops the step; a guest that lags gives no other sign. But the ring can be read
 * (x-query-virtio-queue-element, QEMU 7.2 and later): the entries that the guest has made available less
 * those that the device has used are free.
 *
 * It holds back once {@linkcode WINDOW_ENTRIES} of the ring's 64 may not have been taken by the guest. That
 * is less than the ring's size, because the guest's kernel passes them to a buffer of 64 for each reader of
 * /dev/input, which loses what is not read in time. Measured beside two busy loops on two cores, TCG, 2,000
 * transitions per run: without the gauge 8 of 19 runs lost events in that buffer, with it none of 8.
 *
 * A device without a running driver has no ring: QEMU then gives its input to another device, and there is
 * nothing to measure. If the command is not available, or changes, only {@linkcode Pace} applies.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { MS, SECOND } from "../../base/clock.ts";
import type { QmpReply } from "../../qemu/protocol/qmp_client.ts";
import { isObject } from "../../qemu/protocol/qmp_message.ts";
import type { QmpLink } from "../../qemu/monitor/qmp_link.ts";

/** Ring entries that may be outstanding; a key and its SYN_REPORT are two. */
export const WINDOW_ENTRIES = 20;
/** The same for a step that is sent alone, and for a release, which is one bounded step. */
export const ALONE_WINDOW_ENTRIES = 60;
/** Number of outstanding entries from which the ring is read. */
const LOOK_FROM_ENTRIES = 8;
/** The same for steps whose sender waits for each: reading before the next one costs it 0.4 ms. */
const LOOK_FROM_ENTRIES_ALONE = 32;
const ANSWER_NS = 5 * SECOND;
/** Pause before a full ring is read again, ns. */
export const LOOK_GAP_NS: number = 5 * MS;
/**
 * Time without progress after which a guest hangs, ns: then input is sent all the same, and QEMU's answer is
 * all there is.
 */
const HUNG_NS = SECOND;
/** Interval at which a device without a driver is checked, if there is input, ns. */
const IDLE_LOOK_NS = SECOND / 2;
const U16 = 0x1_0000;

/** What is known about the ring. */
type RingState =
  /** The guest's driver does not run, or the ring was not read yet. */
  | { readonly kind: "absent" }
  /** There is room, as far as is known. */
  | { readonly kind: "taking" }
  /** Steps are held back, and the guest has made no progress since then. */
  | { readonly kind: "full"; readonly sinceNs: number }
  /** The guest has taken nothing for {@linkcode HUNG_NS}: steps are sent all the same. */
  | { readonly kind: "hung" };

const ABSENT: RingState = { kind: "absent" };
const TAKING: RingState = { kind: "taking" };
const HUNG: RingState = { kind: "hung" };

/** One virtio input device's ring. */
export class VirtioGauge {
  readonly #link: QmpLink;
  readonly #path: string;
  readonly #onRoom: () => void;
  readonly #onLook = (reply: QmpReply, tag: number) => this.#looked(reply, tag);
  #ring: RingState = ABSENT;
  /** Entries sent that the guest may not have taken. */
  #outstanding = 0;
  /** Entries sent since the read that is under way. */
  #sentSince = 0;
  #isLooking = false;
  #nextIdleLookNs = 0;
  #generation = 0;
  #size = 0;
  #available = -1;

  /**
   * Starts by reading the ring.
   *
   * @param path QEMU's object path of the device
   * @param onRoom called when there is room again
   */
  constructor(link: QmpLink, path: string, onRoom: () => void) {
    this.#link = link;
    this.#path = path;
    this.#onRoom = onRoom;
    this.#look();
  }

  /** Whether the guest's driver runs, and input goes here. */
  get live(): boolean {
    return this.#ring.kind !== "absent";
  }

  /** Whether a step of this many entries may be sent, if at most `window` may be outstanding. */
  hasRoom(entries: number, nowNs: number, window: number = WINDOW_ENTRIES): boolean {
    if (!this.live) {
      if (nowNs >= this.#nextIdleLookNs) {
        this.#nextIdleLookNs = nowNs + IDLE_LOOK_NS;
        this.#look();
      }
      return true;
    }
    if (this.#outstanding + entries <= window || this.#outstanding === 0) return true;
    if (this.#ring.kind === "hung") return true;
    if (this.#ring.kind !== "full") this.#ring = { kind: "full", sinceNs: nowNs };
    else if (nowNs - this.#ring.sinceNs >= HUNG_NS) this.#ring = HUNG;
    this.#look();
    return this.#ring.kind === "hung";
  }

  /** A step was sent; `alone` if nothing else was in flight. */
  take(entries: number, alone: boolean): void {
    assert(entries > 0, "a step has entries");
    if (!this.live) return;
    this.#outstanding += entries;
    this.#sentSince += entries;
    if (this.#outstanding >= (alone ? LOOK_FROM_ENTRIES_ALONE : LOOK_FROM_ENTRIES)) this.#look();
  }

  /** The guest was reset: its ring is gone. */
  reset(): void {
    this.#ring = ABSENT;
    this.#outstanding = this.#sentSince = 0;
    // A read that is under way saw the old ring.
    this.#generation++;
    this.#isLooking = false;
  }

  #look(): void {
    if (this.#isLooking) return;
    this.#isLooking = true;
    this.#sentSince = 0;
    this.#link.execute(
      "x-query-virtio-queue-element",
      { path: this.#path, queue: 0 },
      this.#onLook,
      { tag: this.#generation, timeoutNs: ANSWER_NS },
    );
  }

  // QEMU works in order: entries sent before the read were in the ring that it saw, later ones were not.
  #looked(reply: QmpReply, generation: number): void {
    if (generation !== this.#generation) return;
    assert(this.#isLooking, "a look is answered once");
    this.#isLooking = false;
    const ring = ringOf(reply);
    if (ring === undefined) {
      this.#ring = ABSENT;
      this.#outstanding = 0;
      this.#onRoom();
      return;
    }
    // The states full and hung end when the guest makes an entry available, and only then.
    if (ring.available !== this.#available || !this.live) this.#ring = TAKING;
    this.#available = ring.available;
    const free = (ring.available - ring.used + U16) % U16;
    // The guest fills its ring when it starts: its size is the largest number that was ever free.
    this.#size = Math.max(this.#size, free);
    this.#outstanding = this.#size - free + this.#sentSince;
    if (this.#outstanding < WINDOW_ENTRIES) this.#onRoom();
  }
}

/** The ring's indices in the reply: a u16 each, free-running. Undefined if the device has no ring. */
function ringOf(reply: QmpReply): { available: number; used: number } | undefined {
  const value = reply.outcome === "done" ? reply.value : undefined;
  if (!isObject(value) || !isObject(value["avail"]) || !isObject(value["used"])) return undefined;
  const available = value["avail"]["idx"];
  const used = value["used"]["idx"];
  return typeof available === "number" && typeof used === "number" ? { available, used } : undefined;
}
