/**
 * The text that comes with a lease, and its announcement: the body of a CMD_LEASE_CLAIM, and LEASE_WHO, which
 * tells who owns a lease and who waits for it.
 *
 * When that changes, LEASE_WHO goes to every control that observes the VM: not for each change (leases can
 * change hands 70,000 times a second), but with the current state, at most ten times a second per VM and
 * class.
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

/** Changes within this time are announced together, ns. */
const GATHER_NS = 100 * MS;
/** Maximum number of waiting controls that are listed by name. */
const MOST_TOLD = 16;

/** The contents of a CMD_LEASE_CLAIM besides the class. */
export interface ClaimWords {
  /** The reason, escaped; "" for none. */
  readonly message: string;
  /** Whether to wait where the claim would be denied. */
  readonly waits: boolean;
}

/** Reads them from the command; the text comes from outside and is escaped. */
export function claimOf(command: TransferEvent): ClaimWords {
  const message = command.bodyBytes === 0 ? "" : new TextDecoder().decode(command.bodyView().slice());
  return { message: printable(message), waits: ((command.words[1] as number) & CLAIM_FLAG.WAIT) !== 0 };
}

/** Announces who owns which lease. */
export class LeaseNews implements TimerHandler {
  readonly #bus: Bus;
  readonly #loop: LoopPort;
  readonly #table: LeaseTable;
  readonly #isThere: (endpoint: EndpointId) => boolean;
  /** Leases that changed since they were last announced, as endpoint × classes + class. */
  readonly #changed = new Set<number>();

  /** Announces nothing until something has changed. */
  constructor(bus: Bus, loop: LoopPort, table: LeaseTable, isThere: (endpoint: EndpointId) => boolean) {
    this.#bus = bus;
    this.#loop = loop;
    this.#table = table;
    this.#isThere = isThere;
  }

  /** Records that a lease, or its queue, has changed. Called for each grant, so it does almost nothing. */
  changed(endpoint: EndpointId, cls: LeaseClass): void {
    if (this.#changed.size === 0) this.#loop.arm(this, this.#loop.clock.nowNs() + GATHER_NS);
    this.#changed.add(endpoint * LEASE_CLASS_COUNT + cls);
  }

  /** Answers a CMD_LEASE_WHO. */
  answer(command: TransferEvent): void {
    this.#bus.reply(command.ticket, this.#event(command.endpoint, command.words[0] as LeaseClass));
  }

  /** Called by the loop: announces what has changed. */
  onTimer(): void {
    for (const key of this.#changed) {
      const endpoint = Math.floor(key / LEASE_CLASS_COUNT) as EndpointId;
      if (this.#isThere(endpoint)) {
        this.#bus.up(this.#event(endpoint, (key % LEASE_CLASS_COUNT) as LeaseClass));
      }
    }
    this.#changed.clear();
  }

  /** Stops announcing. */
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
