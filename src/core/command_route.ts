/**
 * Routes an admitted command to its adapter. The lease is checked again immediately before the hand-over: a
 * command whose lease has ended since admission is refused, however long and for whatever reason it waited.
 *
 * Before a command that stops the VM is handed over, the input adapter releases what is held. Until then,
 * later commands to the same VM are queued, so that neither a CONT nor a key press overtakes a STOP.
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
   * Takes the parts between which it routes.
   *
   * @param controls the controls on the bus, by number: one that requests a lease must still be there
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

  /** Hands a command to its adapter, or answers it. Borrowed. */
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
    assert(slot.stopping === null, "a VM is stopped by one command at a time");
    slot.stopping = command.retain();
    let isDone = false;
    let isForced = false;
    const released = (): void => {
      if (isForced) return;
      assert(!isDone, "what is held is released once before a stop");
      isDone = true;
      // The endpoint was detached meanwhile, and the command was answered.
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
      // The stop is carried out all the same; what is held is released when the seam is up again.
      if (!isDone) released();
      isForced = true;
    }
  }

  /** Routes the commands that were queued behind a stop; another stop among them queues the rest again. */
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

/** Whether a command stops the VM's CPUs, after which a held key could not be released. */
function stopsVm(command: TransferEvent): boolean {
  const op = command.words[0];
  if (command.kind === KIND.CMD_VM) return op === VM_OP.STOP || op === VM_OP.QUIT;
  // A key that is down while a snapshot is saved would stay down in it; and in a snapshot that is loaded, the
  // key is not down.
  if (command.kind === KIND.CMD_SNAPSHOT) return op === SNAPSHOT_OP.SAVE || op === SNAPSHOT_OP.LOAD;
  return command.kind === KIND.CMD_LIFECYCLE && op === LIFE.PAUSE;
}

/**
 * Whether a command must not overtake a stop: everything that has an effect on the VM, and the release of the
 * lease under which the stop was sent.
 */
function waitsForStop(command: TransferEvent): boolean {
  return command.source === SOURCE.VMHOST || command.source === SOURCE.INPUT ||
    command.kind === KIND.CMD_RELEASE;
}
