/**
 * Tells when everything that the daemon has sent so far has arrived: by CMD_BARRIER, or by a guess with a
 * daemon that does not know it.
 * @module
 */
import { maskHas } from "../access/grant.ts";
import { CODE } from "../base/codes.ts";
import { Fault } from "../base/fault.ts";
import { type EndpointId, NO_ENDPOINT } from "../base/ids.ts";
import { CAP } from "../event/capability.ts";
import { KIND } from "../event/kind.ts";
import type { CommandOptions, Session } from "./session.ts";
import { faultOfCode } from "./command_fault.ts";
import type { EndpointRef } from "./roster_view.ts";

const ROSTER_QUIET_MS = 50;

/**
 * Asks the daemon to answer once everything it had for this control so far has arrived here.
 *
 * @returns the sources that still hold back events because of their pacing, bit 1 << source
 * @throws {Fault} `not-supported` from a daemon without CMD_BARRIER; `timed-out`; `unreachable`
 */
export async function barrier(session: Session, options: CommandOptions = {}): Promise<number> {
  const what = "await what the daemon has sent";
  if (!session.knowsKind(KIND.CMD_BARRIER)) {
    throw new Fault("not-supported", `Cannot ${what}: this daemon is older than that; update it`);
  }
  const answer = await session.request(KIND.CMD_BARRIER, NO_ENDPOINT, what, () => {}, options);
  const ack = answer.as("ACT_ACK");
  if (ack === undefined || ack.code !== CODE.ok) throw faultOfCode(what, ack?.code ?? CODE.refused);
  return ack.detail;
}

/**
 * Resolves when the retained roster has arrived. A daemon without barriers does not mark its end; but it
 * sends the roster first and in order with events of the same priority, among them the answer to
 * CMD_QUERY_INPUT. If this control may not send that, 50 ms without a further entry count as the end.
 */
export async function rosterArrived(session: Session): Promise<void> {
  if (session.knowsKind(KIND.CMD_BARRIER)) {
    await barrier(session);
    return;
  }
  using _reading = session.readOn();
  for (let seen = -1; seen !== session.rosterEvents;) {
    seen = session.rosterEvents;
    const asked = rosterProbe(session);
    // Whatever the answer is: everything sent before it has arrived.
    if (asked !== undefined) {
      await session.request(KIND.CMD_QUERY_INPUT, asked, "read the roster", () => {}, {});
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, ROSTER_QUIET_MS));
    if (session.fault !== undefined) throw session.fault;
  }
}

/**
 * The number of an endpoint given by name or number; waits for the retained roster if it has not arrived yet.
 *
 * @throws {Fault} `no-endpoint`, naming the existing ones
 */
export async function endpointOf(session: Session, ref: EndpointRef): Promise<EndpointId> {
  const known = session.roster.find(ref);
  if (known !== undefined) return known;
  // A control that may not see the roster can still give a number, which the daemon checks.
  if ((session.grant.caps & CAP.ROSTER) === 0 && Number.isInteger(Number(ref))) {
    return Number(ref) as EndpointId;
  }
  await rosterArrived(session);
  const found = session.roster.find(ref);
  if (found === undefined) throw session.roster.unknown(ref);
  return found;
}

function rosterProbe(session: Session): EndpointId | undefined {
  const { caps, endpoints } = session.grant;
  if ((caps & CAP.INPUT) === 0) return undefined;
  const hasInput = session.roster.list().find((entry) =>
    entry.seams.includes("input") && maskHas(endpoints, entry.endpoint)
  );
  return hasInput?.endpoint;
}
