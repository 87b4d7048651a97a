/**
 * Listening and connecting over the ivshmem device of a host process: the handshake is in the region's
 * header, since there is no socket between the two ends.
 * @module
 */
import { monotonicClock } from "../../ffi/clock.ts";
import { type Clock, MS } from "../base/clock.ts";
import { Fault } from "../base/fault.ts";
import { Channel } from "../v2v/channel.ts";
import type { ChannelTuning } from "../v2v/channel_parts.ts";
import { RegionHeader, type RegionPlan } from "../v2v/region_header.ts";
import { MAX_ORDER, regionBytes } from "../v2v/region_layout.ts";
import type { IvshmemDevice } from "./ivshmem_device.ts";
import { IvshmemLink } from "./ivshmem_link.ts";
import { DEFAULT_ORDER } from "./process_listener.ts";

/** Options of an end over ivshmem. */
export interface IvshmemChannelOptions {
  /** Listener: order of the outgoing ring; by default 4, or the largest that fits. */
  readonly prodOrder?: number;
  /** Listener: order of the incoming ring; by default 4, or the largest that fits. */
  readonly consOrder?: number;
  /** Options of the channel. */
  readonly tuning?: ChannelTuning;
  /** The clock. */
  readonly clock?: Clock;
}

/** Interval at which the header is polled during a handshake, ms. */
const LOOK_NS = 5 * MS;

/** A listener on a device's region. */
export class IvshmemListener implements Disposable {
  readonly #device: IvshmemDevice;
  readonly #header: RegionHeader;
  readonly #plan: RegionPlan;
  readonly #link: IvshmemLink;
  readonly #clock: Clock;
  readonly #tuning: ChannelTuning;
  #taken = false;

  /**
   * Initialises the region with the next generation, which ends whatever was in it.
   *
   * @throws {Fault} `bad-argument` for an invalid order, `too-large` when the rings do not fit in the memory
   */
  constructor(device: IvshmemDevice, options: IvshmemChannelOptions = {}) {
    const usual = usualOrder(device);
    const { prodOrder = usual, consOrder = usual } = options;
    checkFit(device, prodOrder, consOrder);
    this.#device = device;
    this.#clock = options.clock ?? monotonicClock;
    this.#tuning = options.tuning ?? {};
    this.#header = new RegionHeader(device.region);
    const generation = (this.#header.generation + 1) >>> 0;
    this.#plan = { generation, prodOrder, consOrder, vectorBase: 0, listenerPeerId: device.id };
    this.#header.initialise(this.#plan);
    this.#link = new IvshmemLink(device, this.#header, "listener", 0, this.#clock);
  }

  /**
   * Waits for a connector, blocking the thread. Can be called once; then a new listener is needed.
   *
   * @throws {Fault} `timed-out`
   */
  accept(timeoutMs: number): Channel {
    const endNs = this.#clock.nowNs() + timeoutMs * MS;
    while (!this.#joined()) {
      if (this.#clock.nowNs() >= endNs) throw this.#late(timeoutMs);
      this.#link.wait(LOOK_NS);
    }
    return this.#establish();
  }

  /** {@linkcode accept} without blocking the thread. */
  async acceptAsync(timeoutMs: number): Promise<Channel> {
    const endNs = this.#clock.nowNs() + timeoutMs * MS;
    while (!this.#joined()) {
      if (this.#clock.nowNs() >= endNs) throw this.#late(timeoutMs);
      await this.#link.waitAsync(LOOK_NS);
    }
    return this.#establish();
  }

  #joined(): boolean {
    if (this.#taken) throw new Fault("busy", "Cannot accept twice: listen anew, with the next generation.");
    const state = this.#header.state("connector");
    const took = state === "connected" || state === "disconnecting" || state === "disconnected";
    return took && this.#header.connectorGeneration === this.#plan.generation;
  }

  #establish(): Channel {
    this.#taken = true;
    this.#link.meet(this.#header.connectorPeerId);
    this.#header.setState("listener", "connected");
    const channel = new Channel({
      role: "listener",
      region: this.#device.region,
      header: this.#header,
      link: this.#link,
      clock: this.#clock,
      tuning: this.#tuning,
      ...this.#plan,
    });
    this.#link.ringData();
    this.#link.ringSpace();
    return channel;
  }

  #late(timeoutMs: number): Fault {
    return new Fault(
      "timed-out",
      `Cannot accept on ${this.#device.socketPath}: nobody connected within ${timeoutMs} ms.`,
    );
  }

  /** Stops listening, unless a channel was made. */
  [Symbol.dispose](): void {
    if (this.#taken) return;
    this.#taken = true;
    this.#header.setState("listener", "disconnected");
    this.#link.close();
  }
}

/**
 * Connects over a device.
 *
 * @throws {Fault} `no-endpoint` when there is no listener in the region, `busy` when it already has a
 *   connector, `protocol-error` when the region violates RING.md
 */
export function connectIvshmem(device: IvshmemDevice, options: IvshmemChannelOptions = {}): Channel {
  const header = new RegionHeader(device.region);
  const found = header.inspect();
  if (!found.ok) {
    throw new Fault(
      found.isBlank ? "no-endpoint" : "protocol-error",
      `Cannot connect over ${device.socketPath}: its region cannot be used: ${found.reason}. Does the other end listen?`,
    );
  }
  const state = header.state("listener");
  if (state !== "listening") {
    throw new Fault(
      state === "connected" ? "busy" : "no-endpoint",
      `Cannot connect over ${device.socketPath}: its listener is ${state}. Let it listen anew.`,
    );
  }
  const clock = options.clock ?? monotonicClock;
  header.join(found.generation, device.id);
  if (header.generation !== found.generation) {
    // The generation has changed since it was read: nobody would accept us as the connector of the new one.
    throw new Fault(
      "no-endpoint",
      `Cannot connect over ${device.socketPath}: its listener has just begun anew. Connect again.`,
    );
  }
  const link = new IvshmemLink(device, header, "connector", found.vectorBase, clock);
  link.meet(found.listenerPeerId);
  link.ringData();
  link.ringSpace();
  return new Channel({
    role: "connector",
    region: device.region,
    header,
    link,
    clock,
    prodOrder: found.prodOrder,
    consOrder: found.consOrder,
    generation: found.generation,
    tuning: options.tuning ?? {},
  });
}

/** The default order, or the largest of which the device's memory holds two rings. */
function usualOrder(device: IvshmemDevice): number {
  let order = DEFAULT_ORDER;
  while (order > 0 && regionBytes(order, order) > device.region.sizeBytes) order--;
  return order;
}

function checkFit(device: IvshmemDevice, prodOrder: number, consOrder: number): void {
  for (const order of [prodOrder, consOrder]) {
    if (!(Number.isInteger(order) && order >= 0 && order <= MAX_ORDER)) {
      throw new Fault("bad-argument", `Cannot listen with a ring of order ${order}: use 0 to ${MAX_ORDER}.`);
    }
  }
  if (regionBytes(prodOrder, consOrder) > device.region.sizeBytes) {
    throw new Fault(
      "too-large",
      `Cannot listen with rings of order ${prodOrder} and ${consOrder}: the device has ${device.region.sizeBytes} bytes.`,
    );
  }
}
