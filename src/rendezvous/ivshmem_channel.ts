/**
 * Listening and connecting over an ivshmem device of a host process: the handshake lies in the region's head,
 * since there is no socket between the two ends.
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

/** How an end over ivshmem behaves. */
export interface IvshmemChannelOptions {
  /** Listener: order of the outgoing ring; 4, or what the memory holds, unless told. */
  readonly prodOrder?: number;
  /** Listener: order of the incoming ring; 4, or what the memory holds, unless told. */
  readonly consOrder?: number;
  /** How the channel behaves. */
  readonly tuning?: ChannelTuning;
  /** The time. */
  readonly clock?: Clock;
}

/** How often the head is looked at in a handshake. */
const LOOK_NS = 5 * MS;

/** A region of a device that is listened on. */
export class IvshmemListener implements Disposable {
  readonly #device: IvshmemDevice;
  readonly #header: RegionHeader;
  readonly #plan: RegionPlan;
  readonly #link: IvshmemLink;
  readonly #clock: Clock;
  readonly #tuning: ChannelTuning;
  #taken = false;

  /**
   * Lays the region out anew, with the next generation: whatever was in it is over.
   *
   * @throws {Fault} `bad-argument` for an order that cannot be, `too-large` when the rings do not fit the
   *   memory
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
   * Waits for a connector, and stops the thread meanwhile. Once: then listen anew.
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

  /** {@linkcode accept} while the thread goes on. */
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

  /** Ends listening, unless a channel has come of it. */
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
 * @throws {Fault} `no-endpoint` when nobody listens in the region, `busy` when its listener has a connector,
 *   `protocol-error` when the region is not what RING.md says
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
    // What was looked at was the generation before: nobody will ever take us for the connector of this one.
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

/** The usual order, or the largest that the device's memory holds twice. */
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
