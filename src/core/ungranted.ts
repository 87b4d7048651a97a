/**
 * Applies a smaller grant to queued commands that were admitted under the larger one: they are answered, and
 * not carried out.
 * @module
 */
import { assert } from "../base/assert.ts";
import { CODE } from "../base/codes.ts";
import { maskHas } from "../access/grant.ts";
import { BAD_OPERATION, capsFor } from "../access/requirement.ts";
import { DIR } from "../event/defaults.ts";
import type { TransferEvent } from "../event/transfer_event.ts";
import type { Bus } from "./bus.ts";
import type { ControlSlot } from "./control_slot.ts";
import type { Endpoints } from "./endpoints.ts";

/** Answers a control's queued commands that its grant no longer covers. */
export function refuseUngranted(slot: ControlSlot, bus: Bus, endpoints: Endpoints): void {
  assert(slot.id > 0, "a grant belongs to a control");
  const { grant } = slot;
  const hasCap = (event: TransferEvent): boolean => {
    const needed = capsFor(event);
    return needed === BAD_OPERATION || (grant.caps & needed) !== 0;
  };
  const isUngranted = (event: TransferEvent): boolean =>
    event.origin === slot.id && !(hasCap(event) && maskHas(grant.endpoints, event.endpoint));
  const refuse = (event: TransferEvent): void => {
    bus.refuseQueued(event, CODE[hasCap(event) ? "outside-grant" : "no-capability"]);
    event.release();
  };
  bus.context.extract(DIR.DOWN, isUngranted, refuse);
  endpoints.extractHeld(isUngranted, refuse);
}
