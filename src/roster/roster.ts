/**
 * The roster: which VMs there are, with their seams and processes. It attaches and detaches endpoints at run
 * time and keeps one retained ROSTER entry each. How an endpoint's adapters are made is the factory's; where
 * endpoints come from (config, trigger directory, probe) is told by the caller.
 * @module
 */
import type { EndpointId } from "../base/ids.ts";
import { MAX_ENDPOINTS } from "../base/limits.ts";
import type { Log } from "../base/log.ts";
import type { Adapter, CloseReason } from "../core/adapter_port.ts";
import type { Core } from "../core/core.ts";
import type { EndpointSlot } from "../core/endpoint_slot.ts";
import { ROSTER_STATE } from "../event/body_number.ts";
import { SOURCE } from "../event/source.ts";
import { Slots } from "./slots.ts";

/** What the roster must know of an endpoint to attach it. */
export interface EndpointRequest {
  /** What it is called; unique. */
  readonly name: string;
  /** 0 = none. */
  readonly vmid: number;
  /**
   * Makes the adapters for the number it got. Must not throw: an adapter that cannot work says so when
   * opened.
   */
  make(id: EndpointId): Adapter[];
}

/** What became of an attach. */
export type AttachOutcome =
  | { readonly ok: true; readonly id: EndpointId }
  /** `passes`: what stands in the way is on its way out; its `done` tells when. */
  | { readonly ok: false; readonly reason: string; readonly passes: boolean };

interface Entry {
  readonly id: EndpointId;
  readonly name: string;
  readonly vmid: number;
  wasUp: boolean;
  leaving: boolean;
  /** Called when it is gone. */
  readonly onGone: (() => void)[];
}

/** The endpoints of this daemon. */
export class Roster {
  readonly #core: Core;
  readonly #log: Log;
  readonly #slots = new Slots();
  readonly #entries = new Map<string, Entry>();
  readonly #onChange: () => void;

  /**
   * Starts without endpoints; whoever makes the core has it tell {@linkcode seamChanged}.
   *
   * @param onChange told when a name came or went: grants by name are computed anew
   */
  constructor(core: Core, log: Log, onChange: () => void) {
    this.#core = core;
    this.#log = log.for("roster");
    this.#onChange = onChange;
  }

  /** The number of an attached endpoint by its name. */
  idOf(name: string): EndpointId | undefined {
    const entry = this.#entries.get(name);
    return entry === undefined || entry.leaving ? undefined : entry.id;
  }

  /** Whether every number is taken. */
  get isFull(): boolean {
    return this.#slots.taken === MAX_ENDPOINTS;
  }

  /** Names of all endpoints that are there. */
  names(): string[] {
    return [...this.#entries.keys()];
  }

  /** Attaches an endpoint. Its seams come up by themselves, each for itself. */
  attach(request: EndpointRequest): AttachOutcome {
    const { name, vmid } = request;
    const namesake = this.#entries.get(name);
    if (namesake !== undefined) {
      return { ok: false, reason: `the name ${name} is taken`, passes: namesake.leaving };
    }
    if (vmid > 0) {
      for (const other of this.#entries.values()) {
        if (other.vmid !== vmid) continue;
        return { ok: false, reason: `vmid ${vmid} is ${other.name}'s already`, passes: other.leaving };
      }
    }
    const id = this.#slots.take(vmid, name);
    if (id === undefined) {
      const reason = "all 64 endpoints are taken; detach one before another is attached";
      return { ok: false, reason, passes: false };
    }
    this.#entries.set(name, { id, name, vmid, wasUp: false, leaving: false, onGone: [] });
    this.#onChange();
    this.#core.publishRoster(id, { state: ROSTER_STATE.ATTACHING, seams: 0, pid: 0, vmid, name });
    this.#core.attach({ id, name, vmid, adapters: request.make(id) });
    this.#log.info("attached", { endpoint: id, name, vmid });
    return { ok: true, id };
  }

  /**
   * Detaches an endpoint.
   *
   * @param done called when its number is free again; at once when there is no such endpoint
   */
  detach(name: string, reason: CloseReason, done: () => void = () => {}): void {
    const entry = this.#entries.get(name);
    if (entry === undefined) return done();
    entry.onGone.push(done);
    if (entry.leaving) return;
    entry.leaving = true;
    const { id, vmid } = entry;
    this.#core.detach(id, reason, () => {
      this.#core.publishRoster(id, { state: ROSTER_STATE.GONE, seams: 0, pid: 0, vmid, name });
      this.#core.forget(id);
      this.#entries.delete(name);
      this.#slots.giveBack(id);
      this.#log.info("detached", { endpoint: id, name });
      this.#onChange();
      for (const gone of entry.onGone) gone();
    });
  }

  /** Called by the core when a seam comes or goes. */
  seamChanged(slot: EndpointSlot): void {
    const entry = this.#entries.get(slot.name);
    if (entry === undefined || entry.leaving) return;
    const host = slot.adapters[SOURCE.VMHOST] !== null ? 1 << SOURCE.VMHOST : slot.seams;
    const up = slot.seams !== 0 && (slot.seams & host) !== 0;
    if (up) entry.wasUp = true;
    const state = up ? ROSTER_STATE.UP : entry.wasUp ? ROSTER_STATE.DOWN : ROSTER_STATE.ATTACHING;
    this.#core.publishRoster(entry.id, {
      state,
      seams: slot.seams,
      pid: slot.pid,
      vmid: entry.vmid,
      name: entry.name,
    });
  }
}
