/**
 * The core's record of one control: its grant and subscription, combined into the masks that the fan-out
 * compares. They are recomputed when the grant changes, never per event.
 * @module
 */
import { assert } from "../base/assert.ts";
import type { ControlId } from "../base/ids.ts";
import { type EndpointMask, type Grant, maskAnd, maskHas } from "../access/grant.ts";
import { UP_CAPS } from "../access/requirement.ts";
import { CAP } from "../event/capability.ts";
import { KIND_MAX } from "../event/kind.ts";
import { MAX_ENDPOINTS } from "../base/limits.ts";
import type { Prio } from "../event/priority.ts";
import { SOURCE } from "../event/source.ts";
import type { TransferEvent } from "../event/transfer_event.ts";
import type { Control } from "./control_port.ts";
import { MemoryAccount } from "./memory_account.ts";

/** A control with its effective rights. */
export class ControlSlot {
  /** Its number, from 1. */
  readonly id: ControlId;
  /** The control itself. */
  readonly control: Control;
  /** The memory account of its principal. */
  readonly account: MemoryAccount;
  /** It is leaving, and is removed at the end of the turn. */
  leaving = false;
  /** Why it is leaving. */
  leaveReason = "";
  /** It is in the list of controls to flush. */
  dirty = false;
  /** Its index in the fan-out's list of each of its endpoints. */
  readonly places: Int32Array = new Int32Array(MAX_ENDPOINTS);
  /** Number of its commands whose answer has not reached it yet. */
  outstanding = 0;
  /** Lanes that answered "blocked" to it, bit 1 << source. */
  blockedOn = 0;
  #grant: Grant;
  #endpoints: EndpointMask;
  #sources = 0;
  #prioMin: Prio = 0;
  #kindsBelow: number = KIND_MAX;

  /** Makes the slot of a control with what it was granted. */
  constructor(id: ControlId, control: Control, grant: Grant, account: MemoryAccount = new MemoryAccount()) {
    this.id = id;
    this.account = account;
    this.control = control;
    this.#grant = grant;
    this.#endpoints = grant.endpoints;
    this.regrant(grant);
  }

  /** Its current grant. */
  get grant(): Grant {
    return this.#grant;
  }

  /** Its endpoints: subscription ∩ grant. */
  get endpoints(): EndpointMask {
    return this.#endpoints;
  }

  /**
   * Whether it receives AUDIT: it has the capability, and the source is in its subscription. Priority is left
   * to the lane's policy.
   */
  get isAuditor(): boolean {
    return (this.#grant.caps & CAP.AUDIT) !== 0 && ((this.#sources >>> SOURCE.CORE) & 1) === 1;
  }

  /** Applies a changed grant. */
  regrant(grant: Grant): void {
    const before = this.#grant;
    assert(grant.principal === before.principal && grant.as === before.as, "a control stays its principal's");
    this.#grant = grant;
    const { subscription } = this.control;
    this.#endpoints = maskAnd(grant.endpoints, subscription.endpoints);
    this.#sources = grant.sources & subscription.sources;
    this.#prioMin = subscription.prioMin;
    this.#kindsBelow = subscription.kindsBelow ?? KIND_MAX;
  }

  /** Whether it receives a broadcast event of an endpoint that it may see. Called per event and control. */
  wants(event: TransferEvent): boolean {
    return (
      ((this.#sources >>> event.source) & 1) === 1 && event.prio >= this.#prioMin &&
      event.kind < this.#kindsBelow &&
      (this.#grant.caps & (UP_CAPS[event.kind] as number)) !== 0
    );
  }

  /** {@linkcode wants}, with a check of the endpoint. Events without an endpoint pass. */
  admits(event: TransferEvent): boolean {
    if (event.endpoint < 64 && !maskHas(this.#endpoints, event.endpoint)) return false;
    return this.wants(event);
  }
}
