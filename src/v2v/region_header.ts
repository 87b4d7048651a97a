/**
 * The head of a v2v region: magic, version, generation, orders, both ends' states, ids and heartbeats. It
 * writes the listener's head, checks what another listener wrote, and keeps the words that both ends look at
 * while they live.
 *
 * Rings are elsewhere, and so is what a state means for a wait.
 * @module
 */
import { assert } from "../base/assert.ts";
import { type EndpointState, STATE, stateFromNumber } from "./endpoint_state.ts";
import {
  CONNECTOR_CONTROL_AT,
  CONTROL,
  HEADER,
  LISTENER_CONTROL_AT,
  MAGIC_HIGH,
  MAGIC_LOW,
  MAX_ORDER,
  REGION_VERSION,
  regionBytes,
  RINGS_AT,
  type Role,
} from "./region_layout.ts";
import type { SharedRegion } from "./shared_region.ts";

/** What a listener decides about its region. */
export interface RegionPlan {
  /** Grows by 1 with every listen on this region or prefix; a u32. */
  readonly generation: number;
  /** Order of the listener's outgoing ring. */
  readonly prodOrder: number;
  /** Order of the listener's incoming ring. */
  readonly consOrder: number;
  /** First doorbell vector (ivshmem). */
  readonly vectorBase?: number;
  /** The listener's peer id (ivshmem). */
  readonly listenerPeerId?: number;
}

/** What a region's head says, after it was checked. */
export type Inspection =
  | {
    readonly ok: true;
    readonly generation: number;
    readonly prodOrder: number;
    readonly consOrder: number;
    readonly vectorBase: number;
    readonly listenerPeerId: number;
  }
  | {
    readonly ok: false;
    readonly reason: string;
    /** Nobody has laid it out, or somebody is just doing it: look again. */
    readonly isBlank: boolean;
  };

const AT = HEADER.at;

/** The head of a region, seen from either end. */
export class RegionHeader {
  readonly #words: Int32Array;
  readonly #sizeBytes: number;
  #beats = 0;

  /**
   * Looks at a region's head; nothing is read or written yet.
   *
   * @param region the memory; it must hold at least the head and the control blocks
   */
  constructor(region: SharedRegion) {
    assert(region.sizeBytes >= RINGS_AT, "a region holds its head");
    this.#words = new Int32Array(region.buffer, 0, RINGS_AT >> 2);
    this.#sizeBytes = region.sizeBytes;
  }

  /** Lays the region out anew, as its listener. The magic comes last: who sees it sees all the rest. */
  initialise(plan: RegionPlan): void {
    assert(regionBytes(plan.prodOrder, plan.consOrder) <= this.#sizeBytes, "the rings fit the region");
    const words = this.#words;
    this.#store(AT.magicLow, 0);
    this.#store(AT.magicHigh, 0);
    for (let at = AT.version; at < HEADER.sizeBytes; at += 4) words[at >> 2] = 0;
    for (let at = LISTENER_CONTROL_AT; at < CONNECTOR_CONTROL_AT + CONTROL.sizeBytes; at += 4) {
      words[at >> 2] = 0;
    }
    // The first message rings, whether its receiver sleeps by then or not.
    words[(LISTENER_CONTROL_AT + CONTROL.at.prodEvent) >> 2] = 1;
    this.#store(AT.version, REGION_VERSION);
    this.#store(AT.generation, plan.generation);
    this.#store(AT.prodOrder, plan.prodOrder);
    this.#store(AT.consOrder, plan.consOrder);
    this.#store(AT.vectorBase, plan.vectorBase ?? 0);
    this.#store(AT.listenerPeerId, plan.listenerPeerId ?? 0);
    this.#store(AT.connectorState, STATE.unready);
    this.#store(AT.listenerState, STATE.listening);
    this.#store(AT.magicLow, MAGIC_LOW);
    this.#store(AT.magicHigh, MAGIC_HIGH);
  }

  /** Checks a head that somebody else wrote. Each field is read once. */
  inspect(): Inspection {
    const low = this.#load(AT.magicLow), high = this.#load(AT.magicHigh);
    if (low !== (MAGIC_LOW | 0) || high !== (MAGIC_HIGH | 0)) {
      return { ok: false, reason: "it has no V2VRING1 magic", isBlank: low === 0 || high === 0 };
    }
    const version = this.#loadU32(AT.version);
    if (version !== REGION_VERSION) {
      return { ok: false, reason: `its version is ${version}, not ${REGION_VERSION}`, isBlank: false };
    }
    const prodOrder = this.#loadU32(AT.prodOrder);
    const consOrder = this.#loadU32(AT.consOrder);
    if (prodOrder > MAX_ORDER || consOrder > MAX_ORDER) {
      return {
        ok: false,
        reason: `its ring orders are ${prodOrder} and ${consOrder}, at most ${MAX_ORDER} is possible`,
        isBlank: false,
      };
    }
    const needed = regionBytes(prodOrder, consOrder);
    if (needed > this.#sizeBytes) {
      const reason = `it has ${this.#sizeBytes} bytes, and its rings need ${needed}`;
      return { ok: false, reason, isBlank: false };
    }
    return {
      ok: true,
      generation: this.#loadU32(AT.generation),
      prodOrder,
      consOrder,
      vectorBase: this.#loadU32(AT.vectorBase),
      listenerPeerId: this.#loadU32(AT.listenerPeerId),
    };
  }

  /** Takes our place in a region as its connector: our block as new, then ids, then the state. */
  join(generation: number, peerId = 0): void {
    const words = this.#words;
    for (let at = 0; at < CONTROL.sizeBytes; at += 4) words[(CONNECTOR_CONTROL_AT + at) >> 2] = 0;
    words[(CONNECTOR_CONTROL_AT + CONTROL.at.prodEvent) >> 2] = 1;
    this.#store(AT.connectorPeerId, peerId);
    this.#store(AT.connectorGeneration, generation);
    this.#store(AT.connectorState, STATE.connected);
  }

  /** The region's generation now: it changes under a connector that is stale. */
  get generation(): number {
    return this.#loadU32(AT.generation);
  }

  /** The generation that the connector says it saw. */
  get connectorGeneration(): number {
    return this.#loadU32(AT.connectorGeneration);
  }

  /** The connector's peer id (ivshmem). */
  get connectorPeerId(): number {
    return this.#loadU32(AT.connectorPeerId);
  }

  /** The state word of an end. */
  state(role: Role): EndpointState {
    return stateFromNumber(this.#load(role === "listener" ? AT.listenerState : AT.connectorState));
  }

  /** Sets the state word of our end; a full fence. */
  setState(role: Role, state: EndpointState): void {
    this.#store(role === "listener" ? AT.listenerState : AT.connectorState, STATE[state]);
  }

  /** The low word of an end's heartbeat: only whether it moves matters. */
  heartbeat(role: Role): number {
    return this.#load(role === "listener" ? AT.listenerHeartbeat : AT.connectorHeartbeat);
  }

  /** Adds 1 to our end's heartbeat. */
  beat(role: Role): void {
    const at = role === "listener" ? AT.listenerHeartbeat : AT.connectorHeartbeat;
    this.#beats++;
    this.#store(at + 4, Math.floor(this.#beats / 2 ** 32));
    this.#store(at, this.#beats);
  }

  // A region that was unmapped has no words left: it reads as zeros, and what is written goes nowhere.

  #load(at: number): number {
    return this.#words.length === 0 ? 0 : Atomics.load(this.#words, at >> 2);
  }

  #loadU32(at: number): number {
    return this.#load(at) >>> 0;
  }

  #store(at: number, value: number): void {
    if (this.#words.length > 0) Atomics.store(this.#words, at >> 2, value | 0);
  }
}
