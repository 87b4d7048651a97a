/**
 * What the bodies of one principal's events take: of commands that it has sent and that wait somewhere, and of events that wait for its controls. By uid, because controls are
 * cheap: a thousand of them must not take a thousand times the memory. Past its bound a principal's controls are not read (commands), or lose their least important
 * events first (events); nobody else notices either.
 *
 * A command's body is charged where it is received and returned with the last reference to it, wherever it went: the account is the payload's owner.
 * @module
 */
import { MAX_PRINCIPAL_COMMAND_BYTES, MAX_PRINCIPAL_EVENT_BYTES } from "../base/limits.ts";
import type { PayloadOwner, TransferEvent } from "../event/transfer_event.ts";

/** One principal's account. */
export class MemoryAccount implements PayloadOwner {
  readonly #onEmpty: () => void;
  #commandBytes = 0;
  #eventBytes = 0;
  readonly #waiting = new Set<() => void>();

  /**
   * Starts with nothing charged.
   *
   * @param onEmpty told each time nothing is charged any more
   */
  constructor(onEmpty: () => void = () => {}) {
    this.#onEmpty = onEmpty;
  }

  /** Bytes of bodies of commands that wait. */
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
    this.#commandBytes -= command.bodyBytes;
    if (this.#waiting.size > 0 && this.#commandBytes <= MAX_PRINCIPAL_COMMAND_BYTES / 2) {
      const waiting = [...this.#waiting];
      this.#waiting.clear();
      for (const wake of waiting) wake();
    }
    this.#noteEmpty();
  }

  /** An event's body waits for one of its controls (above 0), or does not any more (below). */
  noteEventBytes(change: number): void {
    this.#eventBytes += change;
    if (change < 0) this.#noteEmpty();
  }

  /** Calls `wake`, once, when half of what commands may take is free again. It must not call back into the bus. */
  wait(wake: () => void): void {
    this.#waiting.add(wake);
  }

  /** Forgets one that waits. */
  stopWaiting(wake: () => void): void {
    this.#waiting.delete(wake);
  }

  #noteEmpty(): void {
    if (this.#commandBytes === 0 && this.#eventBytes === 0) this.#onEmpty();
  }
}

/** The accounts of all principals that are on the bus, or whose commands still are. */
export class MemoryAccounts {
  readonly #entries = new Map<number, { readonly account: MemoryAccount; controls: number }>();

  /** How many there are. */
  get size(): number {
    return this.#entries.size;
  }

  /** A control of a principal came: its account. */
  join(principal: number): MemoryAccount {
    let entry = this.#entries.get(principal);
    if (entry === undefined) {
      entry = { account: new MemoryAccount(() => this.#drop(principal)), controls: 0 };
      this.#entries.set(principal, entry);
    }
    entry.controls++;
    return entry.account;
  }

  /** A control of a principal left. What its commands still take stays charged. */
  leave(principal: number): void {
    const entry = this.#entries.get(principal);
    if (entry === undefined) return;
    entry.controls--;
    this.#drop(principal);
  }

  #drop(principal: number): void {
    const entry = this.#entries.get(principal);
    if (entry === undefined || entry.controls > 0) return;
    const { commandBytes, eventBytes } = entry.account;
    if (commandBytes === 0 && eventBytes === 0) this.#entries.delete(principal);
  }
}
