/**
 * The route of an admitted command to its adapter. The lease machine is asked once more at the last moment:
 * what was admitted under a lease that has ended since is refused, however long it waited and for what.
 *
 * A command that stops the VM first lets the input adapter release what is held; until it is handed over, the
 * commands to the same VM that came after it wait behind it, so that neither a CONT nor a key press overtakes
 * a STOP.
 * @module
 */
import { assert } from "../base/assert.ts";
import { CODE } from "../base/codes.ts";
import type { LeaseTable } from "../access/lease_table.ts";
import { leaseClassFor, NO_LEASE_CLASS } from "../access/requirement.ts";
import { LIFE, SNAPSHOT_OP, VM_OP } from "../event/body_number.ts";
import { KIND } from "../event/kind.ts";
import { SOURCE } from "../event/source.ts";
import type { TransferEvent } from "../event/transfer_event.ts";
import type { Adapter } from "./adapter_port.ts";
import type { Bus } from "./bus.ts";
import type { ControlSlot } from "./control_slot.ts";
import type { EndpointSlot } from "./endpoint_slot.ts";
import type { Endpoints } from "./endpoints.ts";
import { claimOf } from "./lease_claims.ts";
import type { LeaseService } from "./lease_service.ts";

/** Routes DOWN commands. */
export class CommandRoute {
  readonly #bus: Bus;
  readonly #endpoints: Endpoints;
  readonly #leases: LeaseTable;
  readonly #leaseService: LeaseService;
  readonly #controls: ReadonlyMap<number, ControlSlot>;

  /**
   * Joins what it routes between.
   *
   * @param controls those on the bus, by number: whoever asks for a lease must still be there
   */
  constructor(
    bus: Bus,
    endpoints: Endpoints,
    leases: LeaseTable,
    leaseService: LeaseService,
    controls: ReadonlyMap<number, ControlSlot>,
  ) {
    this.#bus = bus;
    this.#endpoints = endpoints;
    this.#leases = leases;
    this.#leaseService = leaseService;
    this.#controls = controls;
  }

  /** Hands a command to whom it is for, or answers it. Borrowed. */
  route(command: TransferEvent): void {
    const slot = this.#endpoints.get(command.endpoint);
    if (slot === null || slot.leaving) return this.#bus.refuseQueued(command, CODE["no-endpoint"]);
    if (!this.#isStillLeased(command)) return this.#bus.refuseQueued(command, CODE["stale-lease"]);
    if (slot.stopping !== null && waitsForStop(command)) return slot.waiting.push(command.retain());
    if (command.source === SOURCE.CORE) return this.#routeLease(command);
    const adapter = slot.adapters[command.source] ?? null;
    if (adapter === null) return this.#bus.refuseQueued(command, CODE["not-supported"]);
    const input = slot.adapters[SOURCE.INPUT] ?? null;
    if (input?.beforeStop !== undefined && stopsVm(command)) this.#stop(slot, input, adapter, command);
    else this.#endpoints.command(slot, adapter, command);
  }

  #isStillLeased(command: TransferEvent): boolean {
    const cls = leaseClassFor(command);
    if (cls === NO_LEASE_CLASS) return true;
    this.#bus.audit.noteLeaseUsed();
    return this.#leases.isLive(command.endpoint, cls, command.token);
  }

  #stop(slot: EndpointSlot, input: Adapter, adapter: Adapter, command: TransferEvent): void {
    slot.stopping = command.retain();
    let isDone = false;
    let isForced = false;
    const released = (): void => {
      if (isForced) return;
      assert(!isDone, "what is held is released once before a stop");
      isDone = true;
      // The endpoint was detached meanwhile, and the command answered.
      if (slot.stopping !== command) return;
      slot.stopping = null;
      if (this.#isStillLeased(command)) this.#endpoints.command(slot, adapter, command);
      else this.#bus.refuseQueued(command, CODE["stale-lease"]);
      command.release();
      this.#resume(slot);
    };
    try {
      input.beforeStop?.(released);
    } catch (error) {
      this.#endpoints.faulted(slot, input, error);
      // The stop is carried out all the same: what is held is released when the seam is up again.
      if (!isDone) released();
      isForced = true;
    }
  }

  /** Routes what waited behind a stop; another stop among it holds back the rest again. */
  #resume(slot: EndpointSlot): void {
    while (slot.stopping === null) {
      const command = slot.waiting.shift();
      if (command === null) return;
      this.route(command);
      command.release();
    }
  }

  #routeLease(command: TransferEvent): void {
    const slot = this.#controls.get(command.origin);
    if (slot === undefined) return this.#bus.cancel(command.ticket);
    switch (command.kind) {
      case KIND.CMD_ACQUIRE:
        return this.#leaseService.acquire(command, slot);
      case KIND.CMD_LEASE_CLAIM:
        return this.#leaseService.acquire(command, slot, claimOf(command));
      case KIND.CMD_RELEASE:
        return this.#leaseService.release(command, slot);
      case KIND.CMD_LEASE_WHO:
        return this.#leaseService.news.answer(command);
      default:
        this.#leaseService.status(command);
    }
  }
}

/** Whether a command stops the VM's CPUs, so that a held key could not be released any more. */
function stopsVm(command: TransferEvent): boolean {
  const op = command.words[0];
  if (command.kind === KIND.CMD_VM) return op === VM_OP.STOP || op === VM_OP.QUIT;
  // A key that is down while a snapshot is saved would be down in it for ever; a snapshot that is loaded does
  // not have it down.
  if (command.kind === KIND.CMD_SNAPSHOT) return op === SNAPSHOT_OP.SAVE || op === SNAPSHOT_OP.LOAD;
  return command.kind === KIND.CMD_LIFECYCLE && op === LIFE.PAUSE;
}

/**
 * Whether a command must not overtake a stop: whatever the VM would notice, and giving up the lease under
 * which the stop was sent.
 */
function waitsForStop(command: TransferEvent): boolean {
  return command.source === SOURCE.VMHOST || command.source === SOURCE.INPUT ||
    command.kind === KIND.CMD_RELEASE;
}
