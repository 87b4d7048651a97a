/**
 * What the commands that send input have in common.
 * @module
 */
import type { EndpointId } from "../../base/ids.ts";
import type { Client } from "../client.ts";
import type { CommandOptions } from "../session.ts";
import type { Call, OptionSpecs } from "./command.ts";
import { visible } from "./table.ts";

/** `--timeout`. */
export const TIMEOUT_OPTION: OptionSpecs = {
  timeout: {
    takes: "number",
    value: "MS",
    min: 1,
    max: 600_000,
    help: "how long to wait for each confirmation (30000)",
  },
};

/** The options of every frame. */
export function inputOptions({ number, signal }: Call): CommandOptions {
  const timeoutMs = number("timeout");
  return timeoutMs === undefined ? { signal } : { signal, timeoutMs };
}

/** Says that it is done. */
export function done(
  { json, out }: Call,
  client: Client,
  endpoint: EndpointId,
  fields: Record<string, unknown>,
  text: string,
): void {
  if (json) out.json({ endpoint, ok: true, ...fields });
  else out.line(`${visible(client.roster.nameOf(endpoint))}: ${text}`);
}
