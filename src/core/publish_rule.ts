/**
 * The publish rule: a control may publish the kinds of the FRAME seam, with the body that the kind requires,
 * if it has PUBLISH, for the attached endpoints of its grant. It is the counterpart of the command rule for
 * events that go up.
 * @module
 */
import { CODE, type Code } from "../base/codes.ts";
import { type Grant, maskHas } from "../access/grant.ts";
import { PUBLISHABLE } from "../access/requirement.ts";
import { fdsOfKind, judgeBody } from "../event/body_rule.ts";
import { CAP } from "../event/capability.ts";
import type { TransferEvent } from "../event/transfer_event.ts";
import type { EndpointSlot } from "./endpoint_slot.ts";

/**
 * Checks an event that a control wants to publish.
 *
 * @param event its kind, its endpoint and its number of descriptors
 * @param grant the publisher's current grant
 * @param endpoint the endpoint that the event names, null when it is not attached
 * @returns 0, or the code to refuse with; protocol-error for a kind that no control may publish
 */
export function judgePublish(event: TransferEvent, grant: Grant, endpoint: EndpointSlot | null): Code {
  if (!PUBLISHABLE.has(event.kind)) return CODE["protocol-error"];
  if ((grant.caps & CAP.PUBLISH) === 0) return CODE["no-capability"];
  if (!maskHas(grant.endpoints, event.endpoint)) return CODE["outside-grant"];
  if (endpoint === null || endpoint.leaving) return CODE["no-endpoint"];
  const body = judgeBody(event.kind, event.bodyFormat, event.bodyBytes);
  if (body !== CODE.ok) return body;
  // Descriptors are passed to every observer: only a frame ring has one.
  return event.fds.length === fdsOfKind(event.kind) ? CODE.ok : CODE["bad-argument"];
}
