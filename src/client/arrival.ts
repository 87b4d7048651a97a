/**
 * When what the daemon has sent is here: by CMD_BARRIER, and with a daemon that is older than that by a
 * guess.
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
 * Asks to be told when all that the daemon had for this control until now has arrived here.
 *
 * @returns which sources still hold something back by their pacing, bit 1 << source
 * @throws {Fault} `not-supported` by a daemon that is older than the question; `timed-out`; `unreachable`
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
 * Resolves when the retained roster has arrived. A daemon that has no barrier marks no end of it; but it is
 * sent first and in order with what has the same priority, as the answer to CMD_QUERY_INPUT has. Where nobody
 * can be asked that without being refused, 50 ms without another entry are taken for the end.
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
    // Whatever the answer says: what was sent before it is here.
    if (asked !== undefined) {
      await session.request(KIND.CMD_QUERY_INPUT, asked, "read the roster", () => {}, {});
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, ROSTER_QUIET_MS));
    if (session.fault !== undefined) throw session.fault;
  }
}

/**
 * An endpoint's number by its name or number; awaits the retained roster where it has not arrived yet.
 *
 * @throws {Fault} `no-endpoint`, naming those that there are
 */
export async function endpointOf(session: Session, ref: EndpointRef): Promise<EndpointId> {
  const known = session.roster.find(ref);
  if (known !== undefined) return known;
  // Who may not see the roster can still say a number; the daemon judges it.
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
