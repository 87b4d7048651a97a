/**
 * What a control may publish: the kinds of the FRAME seam, with the body that the kind has, with PUBLISH, for
 * the attached endpoints of its grant. The other way round from the command rule: these go up.
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
 * Judges an event that a control wants to publish.
 *
 * @param event its kind, its endpoint and how many descriptors it brings
 * @param grant the publisher's live grant
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
  // Descriptors go to everybody who watches: a ring is one, and nothing else brings any.
  return event.fds.length === fdsOfKind(event.kind) ? CODE.ok : CODE["bad-argument"];
}
