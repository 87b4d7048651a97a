/**
 * The command rule: may this control send this command now? Codes are checked in the protocol's order:
 * capability, endpoint mask, arguments that no command of the kind may have, lease. A refused command never
 * reaches the context.
 * @module
 */
import type { ControlId } from "../base/ids.ts";
import { CODE, type Code } from "../base/codes.ts";
import { MAX_ENDPOINTS } from "../base/limits.ts";
import { type Grant, maskHas } from "../access/grant.ts";
import type { LeaseTable } from "../access/lease_table.ts";
import { BAD_OPERATION, capsFor, leaseClassFor, NO_LEASE_CLASS } from "../access/requirement.ts";
import { fdsOfKind, judgeBody } from "../event/body_rule.ts";
import { LEASE_DENY } from "../event/body_number.ts";
import { KIND } from "../event/kind.ts";
import type { TransferEvent } from "../event/transfer_event.ts";

/**
 * Checks a command. If a lease is needed and the command names none, the token that the control owns is
 * filled in.
 *
 * @param command its `token` may be set here
 * @param controlId its sender
 * @param grant the sender's current grant
 * @param attached whether the endpoint is attached
 * @param leases the lease machine
 * @returns 0, or the code to refuse with
 */
export function judgeCommand(
  command: TransferEvent,
  controlId: ControlId,
  grant: Grant,
  attached: boolean,
  leases: LeaseTable,
): Code {
  const caps = capsFor(command);
  // An operation that does not exist has no capability of its own: a control that may reach the endpoint is
  // told so.
  if (caps !== BAD_OPERATION && (grant.caps & caps) === 0) return CODE["no-capability"];
  if (!maskHas(grant.endpoints, command.endpoint)) return CODE["outside-grant"];
  if (caps === BAD_OPERATION) return CODE["bad-argument"];
  if (command.bodyBytes > 0) {
    const code = judgeBody(command.kind, command.bodyFormat, command.bodyBytes);
    if (code !== CODE.ok) return code;
  }
  if (command.fds.length > 0 && command.fds.length > fdsOfKind(command.kind)) return CODE["bad-argument"];
  if (!attached) return CODE["no-endpoint"];
  const cls = leaseClassFor(command);
  if (cls === NO_LEASE_CLASS) return CODE.ok;
  const own = leases.tokenOf(command.endpoint, cls, controlId);
  if (command.token === 0) {
    if (own === 0) return CODE["no-lease"];
    command.token = own;
    return CODE.ok;
  }
  return command.token === own ? CODE.ok : CODE["stale-lease"];
}

/**
 * The LEASE_DENIED reason for a refused CMD_ACQUIRE or CMD_LEASE_CLAIM.
 *
 * @returns a LEASE_DENIED reason; -1 when the refusal has none and is answered by an ACT_ACK
 */
export function denialOf(command: TransferEvent, code: Code): number {
  const isClaim = command.kind === KIND.CMD_ACQUIRE || command.kind === KIND.CMD_LEASE_CLAIM;
  if (!isClaim || command.endpoint >= MAX_ENDPOINTS) return -1;
  switch (code) {
    case CODE["no-capability"]:
      return LEASE_DENY.NOCAP;
    case CODE["outside-grant"]:
      return LEASE_DENY.NOGRANT;
    case CODE["bad-argument"]:
      return LEASE_DENY.BADCLASS;
    default:
      return -1;
  }
}
