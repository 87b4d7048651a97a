/**
 * The memory that one principal causes the bus to hold: its commands that have not been answered, and the
 * bodies of events queued for its controls. Accounts are per uid, because controls are cheap: a thousand of
 * them must not get a thousand times the memory. Above the limit, a principal's controls are not read from
 * (commands), or lose their least important events (events); nobody else is affected.
 *
 * A command's body is charged when it is received and credited back with its last reference, wherever that
 * is: the account is the payload's owner. An admitted command is also charged until it is answered, because
 * the adapter's work on it takes about as much. Descriptors that come with commands are counted likewise,
 * until an adapter has taken them or the last holder releases the command.
 * @module
 */
import { closeForeignFd } from "../../ffi/owned_fd.ts";
import { assert } from "../base/assert.ts";
import {
  COMMAND_BYTES,
  MAX_PRINCIPAL_COMMAND_BYTES,
  MAX_PRINCIPAL_COMMAND_FDS,
  MAX_PRINCIPAL_EVENT_BYTES,
} from "../base/limits.ts";
import type { PayloadOwner, TransferEvent } from "../event/transfer_event.ts";

/** One principal's account. */
export class MemoryAccount implements PayloadOwner {
  readonly #onEmpty: () => void;
  /** Number of the principal's controls on the bus. */
  controls = 0;
  #commandBytes = 0;
  #commandFds = 0;
  #eventBytes = 0;
  readonly #waiting = new Set<() => void>();

  /**
   * Starts with nothing charged.
   *
   * @param onEmpty called when nothing is charged and no control is left
   */
  constructor(onEmpty: () => void = () => {}) {
    this.#onEmpty = onEmpty;
  }

  /** Charge of its unanswered commands. */
  get commandBytes(): number {
    return this.#commandBytes;
  }

  /** Bytes of bodies of events queued for its controls. */
  get eventBytes(): number {
    return this.#eventBytes;
  }

  /** Whether to stop reading commands from its controls. */
  get isFull(): boolean {
    return this.#commandBytes >= MAX_PRINCIPAL_COMMAND_BYTES;
  }

  /** Whether this many more bytes may be queued for its controls. */
  hasRoomFor(bytes: number): boolean {
    return this.#eventBytes + bytes <= MAX_PRINCIPAL_EVENT_BYTES;
  }

  /**
   * Charges a command's body until its last holder releases it. The event must have no other payload owner.
   */
  charge(command: TransferEvent): void {
    this.#commandBytes += command.bodyBytes;
    command.own(command.fds, this);
  }

  /** Called by the event. */
  releasePayload(command: TransferEvent): void {
    this.#giveBack(command.bodyBytes);
  }

  /** Whether commands may bring this many more descriptors. */
  hasRoomForFds(count: number): boolean {
    return this.#commandFds + count <= MAX_PRINCIPAL_COMMAND_FDS;
  }

  /**
   * Charges a command's body and descriptors until its last holder releases it, which closes the descriptors
   * that nobody has taken. The event must have no other payload owner.
   *
   * @param fds owned by the event from now on
   */
  chargeWithFds(command: TransferEvent, fds: readonly number[]): void {
    assert(this.hasRoomForFds(fds.length), "a principal's commands have no more descriptors than they may");
    this.#commandFds += fds.length;
    this.#commandBytes += command.bodyBytes;
    command.own(fds, new CommandDescriptors(this, fds.length));
  }

  /** Called by the owner of a command's descriptors when the command is released. */
  giveBackFds(command: TransferEvent, count: number): void {
    assert(this.#commandFds >= count, "descriptors are given back once");
    this.#commandFds -= count;
    this.#giveBack(command.bodyBytes);
  }

  /** A command with a body of this many bytes is admitted. */
  open(bodyBytes: number): void {
    this.#commandBytes += COMMAND_BYTES + bodyBytes;
  }

  /** That command is answered. */
  close(bodyBytes: number): void {
    this.#giveBack(COMMAND_BYTES + bodyBytes);
  }

  #giveBack(bytes: number): void {
    this.#commandBytes -= bytes;
    assert(this.#commandBytes >= 0, "a command's memory is given back once");
    if (this.#waiting.size > 0 && this.#commandBytes <= MAX_PRINCIPAL_COMMAND_BYTES / 2) {
      const waiting = [...this.#waiting];
      this.#waiting.clear();
      for (const wake of waiting) wake();
    }
    if (this.controls === 0) this.#noteEmpty();
  }

  /** An event's body is queued for one of its controls (positive), or no longer (negative). */
  noteEventBytes(change: number): void {
    this.#eventBytes += change;
    assert(this.#eventBytes >= 0, "an event's memory is given back once");
    if (this.controls === 0) this.#noteEmpty();
  }

  /**
   * Calls `wake` once, when half of the limit for commands is free again. `wake` must not call back into the
   * bus.
   */
  wait(wake: () => void): void {
    this.#waiting.add(wake);
  }

  /** Removes a pending `wake`. */
  stopWaiting(wake: () => void): void {
    this.#waiting.delete(wake);
  }

  /** One of its controls left. */
  leave(): void {
    assert(this.controls > 0, "a control that leaves has joined");
    this.controls--;
    if (this.controls === 0) this.#noteEmpty();
  }

  #noteEmpty(): void {
    if (this.#commandBytes === 0 && this.#commandFds === 0 && this.#eventBytes === 0) this.#onEmpty();
  }
}

/** Owns the descriptors of one command. */
class CommandDescriptors implements PayloadOwner {
  readonly #account: MemoryAccount;
  readonly #count: number;

  constructor(account: MemoryAccount, count: number) {
    this.#account = account;
    this.#count = count;
  }

  releasePayload(command: TransferEvent): void {
    for (const fd of command.fds) closeForeignFd(fd);
    this.#account.giveBackFds(command, this.#count);
  }
}

/** The accounts of all principals that have controls on the bus or unanswered commands. */
export class MemoryAccounts {
  readonly #accounts = new Map<number, MemoryAccount>();

  /** Number of accounts. */
  get size(): number {
    return this.#accounts.size;
  }

  /**
   * The account of a principal of which a control has joined. {@linkcode MemoryAccount.leave} is called when
   * the control is gone.
   */
  join(principal: number): MemoryAccount {
    let account = this.#accounts.get(principal);
    if (account === undefined) {
      account = new MemoryAccount(() => this.#accounts.delete(principal));
      this.#accounts.set(principal, account);
    }
    account.controls++;
    return account;
  }
}
