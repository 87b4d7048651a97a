/**
 * Refusals of the core: one answer, which counts as the answer to the command once it has reached the
 * control, and one entry in the audit trail. What is refused is decided elsewhere (command rule, publish
 * rule, the control's own transport).
 * @module
 */
import { assert } from "../base/assert.ts";
import { NO_ENDPOINT } from "../base/ids.ts";
import { CODE, type Code } from "../base/codes.ts";
import { leaseClassFor, NO_LEASE_CLASS } from "../access/requirement.ts";
import { KIND } from "../event/kind.ts";
import { operationName } from "../event/operation_name.ts";
import { SOURCE } from "../event/source.ts";
import type { TransferEvent } from "../event/transfer_event.ts";
import { denialOf } from "./command_rule.ts";
import type { AuditEntry } from "./audit_trail.ts";
import { type Bus, REFUSAL } from "./bus.ts";
import type { ControlSlot } from "./control_slot.ts";

/** Answers what was not admitted. */
export class Refusals {
  readonly #bus: Bus;

  /** Answers over a bus and its audit trail. */
  constructor(bus: Bus) {
    this.#bus = bus;
  }

  /**
   * Refuses a command by an ACT_ACK, or by a LEASE_DENIED if that has a fitting reason; takes ownership of
   * it.
   */
  command(slot: ControlSlot, command: TransferEvent, code: Code): void {
    assert(code !== CODE.ok, "a refusal says why");
    const { kind, endpoint, corr, token, source } = command;
    slot.outstanding++;
    const reason = denialOf(command, code);
    if (reason >= 0) {
      const event = this.#bus.event(KIND.LEASE_DENIED, SOURCE.CORE, endpoint);
      event.origin = slot.id;
      event.corr = corr;
      event.ticket = REFUSAL;
      event.words[0] = command.words[0] as number;
      event.words[1] = reason;
      this.#bus.up(event);
    } else {
      const event = this.#bus.ackEvent(source, endpoint, kind, code);
      event.origin = slot.id;
      event.corr = corr;
      event.ticket = REFUSAL;
      this.#bus.up(event);
    }
    const cls = leaseClassFor(command);
    const detail = operationName(kind, command.words[0] as number);
    command.release();
    this.#audit(slot, {
      kind,
      endpoint,
      code,
      cls: cls === NO_LEASE_CLASS ? undefined : cls,
      token,
      detail,
    });
  }

  /** Refuses to publish an event, by an ERROR to its sender; takes ownership of it. */
  publish(slot: ControlSlot, event: TransferEvent, code: Code): void {
    assert(code !== CODE.ok, "a refusal says why");
    const { kind, endpoint, corr } = event;
    event.release();
    slot.outstanding++;
    const refusal = this.#bus.errorEvent(SOURCE.CORE, endpoint, code, kind, "publish refused");
    refusal.origin = slot.id;
    refusal.corr = corr;
    refusal.ticket = REFUSAL;
    this.#bus.up(refusal);
    this.#audit(slot, { kind, endpoint, code });
  }

  /** Audits a violation of a control's transport protocol; the transport itself tells the peer. */
  breach(slot: ControlSlot, what: string): void {
    this.#bus.audit.write({
      principal: slot.grant.principal,
      as: slot.grant.as,
      control: slot.id,
      endpoint: NO_ENDPOINT,
      kind: KIND.ERROR,
      code: CODE["protocol-error"],
      detail: `${slot.control.name}: ${what}`,
    });
  }

  #audit(slot: ControlSlot, { token, ...entry }: Omit<AuditEntry, "principal" | "as" | "control">): void {
    const { principal, as } = slot.grant;
    this.#bus.audit.write({
      ...entry,
      principal,
      as,
      control: slot.id,
      token: token === 0 ? undefined : token,
    });
  }
}
