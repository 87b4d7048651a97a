/**
 * The ROSTER event of an endpoint, which reports its state to every control with ROSTER.
 * @module
 */
import { assert } from "../base/assert.ts";
import { type EndpointId, NO_ENDPOINT } from "../base/ids.ts";
import { ROSTER } from "../event/body_layout.ts";
import { writeText } from "../event/inline_text.ts";
import { KIND } from "../event/kind.ts";
import { SOURCE } from "../event/source.ts";
import type { TransferEvent } from "../event/transfer_event.ts";
import type { Bus } from "./bus.ts";

/** The contents of a ROSTER event. */
export interface RosterFields {
  /** One of `ROSTER_STATE`. */
  readonly state: number;
  /** Its seams that are up, bit 1 << source. */
  readonly seams: number;
  /** The VM's process; 0 = none. */
  readonly pid: number;
  /** The VM's id from its config. */
  readonly vmid: number;
  /** Its name; cut to 31 bytes. */
  readonly name: string;
}

/** A new event with these fields; owned by the caller. */
export function rosterEvent(bus: Bus, endpoint: EndpointId, entry: RosterFields): TransferEvent {
  assert(endpoint !== NO_ENDPOINT, "a roster entry has an endpoint");
  const event = bus.event(KIND.ROSTER, SOURCE.CORE, endpoint);
  const { words } = event;
  words[ROSTER.at.state / 4] = entry.state;
  words[ROSTER.at.seams / 4] = entry.seams;
  words[ROSTER.at.pid / 4] = entry.pid;
  words[ROSTER.at.vmid / 4] = entry.vmid;
  writeText(event.inline, ROSTER.at.name, 31, entry.name);
  return event;
}
