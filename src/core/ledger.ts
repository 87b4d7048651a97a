/**
 * The ledger of open commands, which enforces "exactly one answer". Every admitted command gets a ticket; the
 * first answer to a ticket closes it, and a second one is detected. A struct of arrays: a command costs no
 * allocation.
 * @module
 */
import { assert } from "../base/assert.ts";
import type { Kind } from "../event/kind.ts";
import type { Source } from "../event/source.ts";
import type { Principal } from "../base/principal_name.ts";
import type { LeaseClassOrNone } from "../access/requirement.ts";
import type { ControlId, EndpointId } from "../base/ids.ts";
import { MAX_OUTSTANDING } from "../base/limits.ts";
import type { TransferEvent } from "../event/transfer_event.ts";
import type { MemoryAccount } from "./memory_account.ts";

const INDEX_RANGE = 65_536;

/** Open commands. A ticket is generation × 65536 + index, never 0. */
export class Ledger {
  readonly #origin = new Int32Array(MAX_OUTSTANDING);
  readonly #whose: (Principal | null)[] = new Array(MAX_OUTSTANDING).fill(null);
  readonly #corr = new Uint32Array(MAX_OUTSTANDING);
  readonly #kind = new Uint16Array(MAX_OUTSTANDING);
  readonly #source = new Uint8Array(MAX_OUTSTANDING);
  readonly #endpoint = new Uint32Array(MAX_OUTSTANDING);
  readonly #token = new Float64Array(MAX_OUTSTANDING);
  readonly #cls = new Int8Array(MAX_OUTSTANDING);
  readonly #operation = new Uint32Array(MAX_OUTSTANDING);
  readonly #generation = new Uint32Array(MAX_OUTSTANDING).fill(1);
  readonly #bodyBytes = new Uint32Array(MAX_OUTSTANDING);
  /** The memory account charged while it is open. */
  readonly #account: (MemoryAccount | null)[] = new Array(MAX_OUTSTANDING).fill(null);
  readonly #audited = new Uint8Array(MAX_OUTSTANDING);
  readonly #open = new Uint8Array(MAX_OUTSTANDING);
  readonly #free = new Int32Array(MAX_OUTSTANDING);
  #freeCount = 0;
  #used = 0;
  #count = 0;

  /** Number of open commands. */
  get count(): number {
    return this.#count;
  }

  /**
   * Opens an entry for a command.
   *
   * @param whose the principal behind its control, for audit: the control may be gone when the answer comes
   * @param account the account that is charged until the entry is closed
   * @returns its ticket; 0 when there are too many
   */
  open(
    command: TransferEvent,
    cls: LeaseClassOrNone,
    whose: Principal,
    account: MemoryAccount | null = null,
  ): number {
    let index: number;
    if (this.#freeCount > 0) index = this.#free[--this.#freeCount] as number;
    else if (this.#used < MAX_OUTSTANDING) index = this.#used++;
    else return 0;
    assert(this.#open[index] === 0, "a ticket's place is free before it is used");
    this.#origin[index] = command.origin;
    this.#whose[index] = whose;
    this.#corr[index] = command.corr;
    this.#kind[index] = command.kind;
    this.#source[index] = command.source;
    this.#endpoint[index] = command.endpoint;
    this.#token[index] = command.token;
    this.#cls[index] = cls;
    this.#operation[index] = command.words[0] as number;
    this.#audited[index] = 0;
    if (account !== null) {
      this.#bodyBytes[index] = command.bodyBytes;
      account.open(command.bodyBytes);
    }
    this.#account[index] = account;
    this.#open[index] = 1;
    this.#count++;
    return (this.#generation[index] as number) * INDEX_RANGE + index;
  }

  /** The index of an open ticket, or -1 when it is closed (or never existed). */
  find(ticket: number): number {
    const index = ticket % INDEX_RANGE;
    if (ticket <= 0 || index >= this.#used || this.#open[index] !== 1) return -1;
    return (this.#generation[index] as number) * INDEX_RANGE + index === ticket ? index : -1;
  }

  /** Closes an entry; its fields stay readable until the next `open`. */
  close(index: number): void {
    assert(this.#open[index] === 1, "a command is closed once");
    this.#open[index] = 0;
    this.#account[index]?.close(this.#bodyBytes[index] as number);
    // Generations stay below 2^31, so that a ticket is an exact double.
    this.#generation[index] = ((this.#generation[index] as number) % 0x7fffffff) + 1;
    this.#free[this.#freeCount++] = index;
    this.#count--;
  }

  /** The control that sent it. */
  origin(index: number): ControlId {
    return this.#origin[index] as ControlId;
  }
  /** The principal behind that control. */
  whose(index: number): Principal {
    return this.#whose[index] as Principal;
  }
  /** Its corr; 0 = no answer is wanted. */
  corr(index: number): number {
    return this.#corr[index] as number;
  }
  /** Its kind. */
  kind(index: number): Kind {
    return this.#kind[index] as Kind;
  }
  /** Its source. */
  source(index: number): Source {
    return this.#source[index] as Source;
  }
  /** Its endpoint. */
  endpoint(index: number): EndpointId {
    return this.#endpoint[index] as EndpointId;
  }
  /** The lease token under which it was admitted; 0 = none. */
  token(index: number): number {
    return this.#token[index] as number;
  }
  /** Its lease class. */
  cls(index: number): LeaseClassOrNone {
    return this.#cls[index] as LeaseClassOrNone;
  }

  /** The first word of its inline zone: the operation, if its kind has several. */
  operation(index: number): number {
    return this.#operation[index] as number;
  }

  /**
   * Records that its adapter has written the audit entry of the answer, with details that only the adapter
   * knows.
   */
  noteAudited(index: number): void {
    assert(this.#open[index] === 1, "what is audited is not answered yet");
    this.#audited[index] = 1;
  }
  /** Whether its adapter has written that entry. */
  isAudited(index: number): boolean {
    return this.#audited[index] === 1;
  }

  /** The tickets of all open commands of an endpoint, oldest index first. */
  ticketsOf(endpoint: EndpointId): number[] {
    const tickets: number[] = [];
    for (let index = 0; index < this.#used; index++) {
      if (this.#open[index] === 1 && this.#endpoint[index] === endpoint) {
        tickets.push((this.#generation[index] as number) * INDEX_RANGE + index);
      }
    }
    return tickets;
  }
}
