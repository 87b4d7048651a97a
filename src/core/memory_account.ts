/**
 * What one principal makes the bus keep: the commands that it has sent and that are not answered yet, and the
 * bodies of the events that wait for its controls. By uid, because controls are cheap: a thousand of them
 * must not take a thousand times the memory. Past its bound a principal's controls are not read (commands),
 * or lose their least important events first (events); nobody else notices either.
 *
 * A command's body is charged where it is received and returned with the last reference to it, wherever it
 * went: the account is the payload's owner. An admitted command is charged until it is answered, too: what an
 * adapter makes of it takes as much. The descriptors that commands bring are counted likewise, until an
 * adapter has taken them or the last holder of the command lets go.
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
  /** Controls of the principal that are on the bus. */
  controls = 0;
  #commandBytes = 0;
  #commandFds = 0;
  #eventBytes = 0;
  readonly #waiting = new Set<() => void>();

  /**
   * Starts with nothing charged.
   *
   * @param onEmpty told when nothing is charged any more and no control is left
   */
  constructor(onEmpty: () => void = () => {}) {
    this.#onEmpty = onEmpty;
  }

  /** What its commands count for that are not answered yet. */
  get commandBytes(): number {
    return this.#commandBytes;
  }

  /** Bytes of bodies of events that wait for its controls. */
  get eventBytes(): number {
    return this.#eventBytes;
  }

  /** Whether no further command is to be read from its controls. */
  get isFull(): boolean {
    return this.#commandBytes >= MAX_PRINCIPAL_COMMAND_BYTES;
  }

  /** Whether so many bytes more may wait for its controls. */
  hasRoomFor(bytes: number): boolean {
    return this.#eventBytes + bytes <= MAX_PRINCIPAL_EVENT_BYTES;
  }

  /** Charges a command's body until its last holder lets go. The event has no other payload owner. */
  charge(command: TransferEvent): void {
    this.#commandBytes += command.bodyBytes;
    command.own(command.fds, this);
  }

  /** Called by the event. */
  releasePayload(command: TransferEvent): void {
    this.#giveBack(command.bodyBytes);
  }

  /** Whether commands may bring so many descriptors more. */
  hasRoomForFds(count: number): boolean {
    return this.#commandFds + count <= MAX_PRINCIPAL_COMMAND_FDS;
  }

  /**
   * Charges a command's body and descriptors until its last holder lets go, which closes those that nobody
   * has taken. The event has no other payload owner.
   *
   * @param fds owned by the event from now on
   */
  chargeWithFds(command: TransferEvent, fds: readonly number[]): void {
    assert(this.hasRoomForFds(fds.length), "a principal's commands have no more descriptors than they may");
    this.#commandFds += fds.length;
    this.#commandBytes += command.bodyBytes;
    command.own(fds, new CommandDescriptors(this, fds.length));
  }

  /** Called by the owner of a command's descriptors: the command is gone. */
  giveBackFds(command: TransferEvent, count: number): void {
    assert(this.#commandFds >= count, "descriptors are given back once");
    this.#commandFds -= count;
    this.#giveBack(command.bodyBytes);
  }

  /** A command with a body of so many bytes is admitted. */
  open(bodyBytes: number): void {
    this.#commandBytes += COMMAND_BYTES + bodyBytes;
  }

  /** It is answered. */
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

  /** An event's body waits for one of its controls (above 0), or does not any more (below). */
  noteEventBytes(change: number): void {
    this.#eventBytes += change;
    assert(this.#eventBytes >= 0, "an event's memory is given back once");
    if (this.controls === 0) this.#noteEmpty();
  }

  /**
   * Calls `wake`, once, when half of what commands may take is free again. It must not call back into the
   * bus.
   */
  wait(wake: () => void): void {
    this.#waiting.add(wake);
  }

  /** Forgets one that waits. */
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

/** The accounts of all principals that are on the bus, or whose commands still are. */
export class MemoryAccounts {
  readonly #accounts = new Map<number, MemoryAccount>();

  /** How many there are. */
  get size(): number {
    return this.#accounts.size;
  }

  /**
   * A control of a principal came: its account. It is told by {@linkcode MemoryAccount.leave} when the
   * control is gone.
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
