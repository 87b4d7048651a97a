/**
 * QEMU's run state ("running", "paused", …) as query-status tells it.
 * @module
 */
import type { QmpReply } from "./qmp_client.ts";
import { isObject } from "./qmp_message.ts";

/** The run state in query-status's reply; "" when it has none. */
export function statusOf(reply: QmpReply): string {
  const value = reply.outcome === "done" ? reply.value : undefined;
  return isObject(value) && typeof value["status"] === "string" ? value["status"] : "";
}
