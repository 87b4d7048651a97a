/**
 * The keyboard and mouse of a VM in the hands of at most one viewer of many, under the input lease. A viewer
 * only looks until it takes them: with a key or a click, with a click alone, or as it comes in, and only
 * while nobody else has them. It loses them when it goes, when another control pre-empts it, and when it has
 * done nothing for a while; what it held down is released in the guest with the lease.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { Fault } from "../../base/fault.ts";
import type { Viewer, ViewerSeat } from "../../rfb/server/rfb_server.ts";
import type { Client } from "../client.ts";
import { InputControl } from "../input_control.ts";
import type { InputRecord } from "../input_record.ts";
import type { Lease } from "../lease.ts";
import { holderWords, type LeaseHolder } from "../lease_holder.ts";
import type { EndpointRef } from "../roster_view.ts";
import { InputQueue } from "./input_queue.ts";
import { ViewerKeyboard } from "./viewer_keyboard.ts";

/** What makes a viewer take keyboard and mouse: "asked": `take` alone; "never": it only looks. */
export type TakeBy = "key" | "click" | "connect" | "asked" | "never";

/** How a seat is made. */
export interface SeatOptions {
  /** Who acquires the lease. */
  readonly client: Client;
  /** The VM. */
  readonly ref: EndpointRef;
  /** What makes a viewer take them. */
  readonly takeBy: TakeBy;
  /** After how long without a key or a motion they are given back, ms, unless something is held down. */
  readonly idleMs: number;
  /** The picture's size, for the pointer. */
  readonly size: () => { readonly width: number; readonly height: number };
  /** A control in words, for who is refused: its principal's unless told. */
  readonly whoIs?: (holder: LeaseHolder) => Promise<string>;
  /** Told of each change: who has them now, and why; and who took them, where somebody did. */
  readonly onChange?: (owner: Viewer | undefined, why: string, taker?: LeaseHolder) => void;
}

/** The daemon takes the lease back when this process has been silent for so long. */
const TTL_MS = 10_000;
/** What viewers that only look are told. */
const LOOKS = "view only";

/** A viewer that has keyboard and mouse, or is about to. */
interface Owner {
  readonly viewer: Viewer;
  readonly keyboard: ViewerKeyboard;
  readonly queue: InputQueue;
  lease: Lease | undefined;
  lastMs: number;
}

/** The seat. */
export class InputSeat implements ViewerSeat, AsyncDisposable {
  readonly #options: SeatOptions;
  readonly #viewers = new Set<Viewer>();
  #owner: Owner | undefined;
  /** What has been given back, and is not yet confirmed. */
  #returning: Promise<void> = Promise.resolve();
  #timer: ReturnType<typeof setInterval> | undefined;

  /** A seat that nobody has. */
  constructor(options: SeatOptions) {
    this.#options = options;
  }

  /** Who has keyboard and mouse. */
  get owner(): Viewer | undefined {
    return this.#owner?.lease === undefined ? undefined : this.#owner.viewer;
  }

  /** The lease of who has them, for keys that come another way than from the viewer. */
  get lease(): Lease | undefined {
    return this.#owner?.lease;
  }

  onEnter(viewer: Viewer): void {
    this.#viewers.add(viewer);
    viewer.note = LOOKS;
    if (this.#options.takeBy === "connect" && this.#owner === undefined) this.take(viewer);
  }

  onKey(viewer: Viewer, down: boolean, keysym: number, scanCode: number | undefined): void {
    const { takeBy } = this.#options;
    const owner = this.#ownerFor(viewer, down && takeBy !== "click" && takeBy !== "asked");
    if (owner !== undefined) this.#add(owner, owner.keyboard.key(down, keysym, scanCode));
  }

  onPointer(viewer: Viewer, buttons: number, x: number, y: number): void {
    const owner = this.#ownerFor(viewer, buttons !== 0 && this.#options.takeBy !== "asked");
    if (owner !== undefined) {
      this.#add(owner, owner.keyboard.pointer(buttons, { x, y, ...this.#options.size() }));
    }
  }

  onLeave(viewer: Viewer): void {
    this.#viewers.delete(viewer);
    if (this.#owner?.viewer === viewer) this.#giveUp("the viewer disconnected");
  }

  /**
   * Has a viewer take keyboard and mouse; `onChange` and the viewer's title tell the outcome. Nothing when
   * another viewer has them.
   *
   * @param message why, for whoever has them or watches
   */
  take(viewer: Viewer, message = ""): void {
    if (this.#owner !== undefined || this.#options.takeBy === "never") return;
    const keyboard = new ViewerKeyboard();
    const queue = new InputQueue(
      (records) => this.#send(owner, records),
      (fault) => this.#onRefused(owner, fault),
    );
    const owner: Owner = { viewer, keyboard, queue, lease: undefined, lastMs: performance.now() };
    this.#owner = owner;
    void this.#acquire(owner, message);
  }

  /** Takes keyboard and mouse from whoever has them here. @param why for the log */
  giveBack(why: string): void {
    if (this.#owner !== undefined) this.#giveUp(why);
  }

  /** Gives everything back, and waits until the guest is neutral. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.giveBack("the server ends");
    this.#viewers.clear();
    await this.#returning;
  }

  /** The viewer's part of the seat: it takes it if it may. */
  #ownerFor(viewer: Viewer, mayTake: boolean): Owner | undefined {
    if (this.#owner === undefined && mayTake) this.take(viewer);
    if (this.#owner?.viewer === viewer) {
      this.#owner.lastMs = performance.now();
      return this.#owner;
    }
    if (mayTake) viewer.bell();
    return undefined;
  }

  #add(owner: Owner, records: readonly InputRecord[]): void {
    if (records.length === 0 || owner.queue.add(records)) return;
    owner.viewer.end("it sends keys faster than the VM takes them");
  }

  async #acquire(owner: Owner, message: string): Promise<void> {
    const { client, ref } = this.#options;
    try {
      // What the last one held is released before the next one presses a key.
      await this.#returning;
      const lease = await client.acquire(ref, "input", { ttlMs: TTL_MS, message });
      if (this.#owner !== owner) return await lease.release();
      owner.lease = lease;
      void lease.lost.then((reason) => {
        const by = lease.takenBy === undefined ? "" : ` by ${holderWords(lease.takenBy)}`;
        if (this.#owner === owner) this.#lose(owner, `taken away: ${reason}${by}`, lease.takenBy);
      });
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      const why = await this.#whyNot(error);
      if (this.#owner === owner) this.#lose(owner, why);
      return;
    }
    owner.viewer.note = "in control";
    owner.queue.open();
    this.#timer ??= setInterval(() => this.#checkIdle(), Math.max(10, this.#options.idleMs / 4));
    this.#options.onChange?.(owner.viewer, "");
  }

  /** Why the lease cannot be had: who has it. */
  async #whyNot(fault: Fault): Promise<string> {
    if (fault.code !== "busy") return fault.message;
    const { client, ref, whoIs = (holder) => Promise.resolve(holderWords(holder)) } = this.#options;
    try {
      const { owner } = await client.leaseStatus(ref, "input");
      if (owner !== undefined) return `${await whoIs(owner)} has keyboard and mouse`;
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
    }
    return "another control has keyboard and mouse";
  }

  async #send(owner: Owner, records: readonly InputRecord[]): Promise<void> {
    const { lease } = owner;
    assert(lease !== undefined, "keys go under a lease");
    await new InputControl(this.#options.client, lease).frame(records);
  }

  #onRefused(owner: Owner, fault: Fault): void {
    if (this.#owner !== owner) return;
    owner.viewer.note = `in control; ${fault.message}`;
    owner.viewer.bell();
  }

  #checkIdle(): void {
    const owner = this.#owner;
    if (owner?.lease === undefined || owner.keyboard.isHolding || !owner.queue.isIdle) return;
    if (performance.now() - owner.lastMs >= this.#options.idleMs) {
      this.#giveUp("nothing was done for a while");
    }
  }

  /** The owner has nothing any more; the lease has gone already. */
  #lose(owner: Owner, why: string, taker?: LeaseHolder): void {
    this.#clear(owner);
    owner.viewer.note = `${LOOKS}: ${why}`;
    owner.viewer.bell();
    this.#options.onChange?.(undefined, why, taker);
  }

  #giveUp(why: string): void {
    const owner = this.#owner;
    assert(owner !== undefined, "what is given back is had");
    this.#clear(owner);
    if (this.#viewers.has(owner.viewer)) owner.viewer.note = LOOKS;
    const { lease } = owner;
    if (lease === undefined) return;
    this.#returning = lease.release().catch((error) => {
      // The daemon has gone, or has taken it back already.
      if (!(error instanceof Fault)) throw error;
    });
    this.#options.onChange?.(undefined, why);
  }

  #clear(owner: Owner): void {
    this.#owner = undefined;
    owner.queue.end();
    owner.keyboard.forget();
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
