/**
 * What is said with a lease, and told of it: the words of a CMD_LEASE_CLAIM, and LEASE_WHO, which tells who
 * has a lease and who waits for it.
 *
 * LEASE_WHO is told to everybody who observes when that has changed: not each time (leases can change hands
 * 70,000 times a second), but as it stands, at most ten times a second for each VM and class.
 * @module
 */
import { encode } from "cborg";
import { assert } from "../base/assert.ts";
import { MS } from "../base/clock.ts";
import type { EndpointId } from "../base/ids.ts";
import { printable } from "../base/printable.ts";
import type { LeaseTable, Successor } from "../access/lease_table.ts";
import { LEASE_CLASS_COUNT, type LeaseClass } from "../event/body_number.ts";
import { KIND } from "../event/kind.ts";
import { CLAIM_FLAG } from "../event/kinds/lease_kinds.ts";
import { SOURCE } from "../event/source.ts";
import { BODY, type TransferEvent } from "../event/transfer_event.ts";
import type { LoopPort, TimerHandler } from "./adapter_port.ts";
import type { Bus } from "./bus.ts";

/** Changes within this time are told at once, ns. */
const GATHER_NS = 100 * MS;
/** Of those who wait so many are told by name. */
const MOST_TOLD = 16;

/** What a CMD_LEASE_CLAIM says beside the class. */
export interface ClaimWords {
  /** Why, escaped; "" for nothing. */
  readonly message: string;
  /** Whether it waits where it would be denied. */
  readonly waits: boolean;
}

/** Reads them; outside text is escaped. */
export function claimOf(command: TransferEvent): ClaimWords {
  const message = command.bodyBytes === 0 ? "" : new TextDecoder().decode(command.bodyView().slice());
  return { message: printable(message), waits: ((command.words[1] as number) & CLAIM_FLAG.WAIT) !== 0 };
}

/** Tells who has which lease. */
export class LeaseNews implements TimerHandler {
  readonly #bus: Bus;
  readonly #loop: LoopPort;
  readonly #table: LeaseTable;
  readonly #isThere: (endpoint: EndpointId) => boolean;
  /** Leases that changed since they were told, as endpoint × classes + class. */
  readonly #changed = new Set<number>();

  /** Tells nothing until something has changed. */
  constructor(bus: Bus, loop: LoopPort, table: LeaseTable, isThere: (endpoint: EndpointId) => boolean) {
    this.#bus = bus;
    this.#loop = loop;
    this.#table = table;
    this.#isThere = isThere;
  }

  /** A lease changed hands, or who waits for it did. Called for each grant: it costs next to nothing. */
  changed(endpoint: EndpointId, cls: LeaseClass): void {
    if (this.#changed.size === 0) this.#loop.arm(this, this.#loop.clock.nowNs() + GATHER_NS);
    this.#changed.add(endpoint * LEASE_CLASS_COUNT + cls);
  }

  /** Answers a CMD_LEASE_WHO. */
  answer(command: TransferEvent): void {
    this.#bus.reply(command.ticket, this.#event(command.endpoint, command.words[0] as LeaseClass));
  }

  /** Called by the loop: what has changed is told. */
  onTimer(): void {
    for (const key of this.#changed) {
      const endpoint = Math.floor(key / LEASE_CLASS_COUNT) as EndpointId;
      if (this.#isThere(endpoint)) {
        this.#bus.up(this.#event(endpoint, (key % LEASE_CLASS_COUNT) as LeaseClass));
      }
    }
    this.#changed.clear();
  }

  /** Tells nothing any more. */
  close(): void {
    this.#changed.clear();
    this.#loop.disarm(this);
  }

  #event(endpoint: EndpointId, cls: LeaseClass): TransferEvent {
    const event = this.#bus.event(KIND.LEASE_WHO, SOURCE.CORE, endpoint);
    event.words[0] = cls;
    const { owner, waiting } = this.#table.partiesOf(endpoint, cls);
    assert(
      owner !== null || waiting.length === 0 || this.#table.inHandover(endpoint, cls),
      "nobody waits in vain",
    );
    event.setBody(
      BODY.CBOR,
      encode({
        owner: owner === null ? null : this.#told(owner),
        waiting: waiting.slice(0, MOST_TOLD).map((each) => this.#told(each)),
        more: Math.max(0, waiting.length - MOST_TOLD),
      }),
    );
    return event;
  }

  #told({ party, message = "", sinceNs = 0 }: Successor): Record<string, unknown> {
    const { principal, as } = party.grant;
    return {
      principal,
      ...(as === undefined ? {} : { as }),
      control: party.id,
      name: printable(this.#bus.port.nameOf(party.id)),
      message,
      since: Math.round(sinceNs),
    };
  }
}
