/**
 * `vmsig mem` on another host: the query is sent there and answered by the same command, with a client that
 * has the asking user's rights. So the memory stays on its host, and only lines come back; writing, searching
 * and dumping are not available remotely.
 * @module
 */
import { Fault } from "../../base/fault.ts";
import { bytesOfBase64 } from "../../mcp/base64.ts";
import type { NatsOptions } from "../../nats/wire/nats_link.ts";
import type { Call } from "./command.ts";

/** The actions that are available remotely: those that only read. */
export const REMOTE_ACTIONS: ReadonlySet<string> = new Set([
  ...[
    "info",
    "ps",
    "maps",
    "modules",
    "dmesg",
    "files",
    "sockets",
    "env",
    "mounts",
    "sym",
    "type",
    "print",
    "read",
  ],
]);
const TIMEOUT_MS = 30_000;

/** Asks a host. @throws {Fault} */
export async function askMemoryThere(call: Call, nats: NatsOptions): Promise<void> {
  const [target = "", ...words] = call.args;
  const action = words[0] ?? "";
  if (!REMOTE_ACTIONS.has(action)) {
    throw new Fault("not-supported", `Cannot ${action} the memory of another host's VM; do it on that host`);
  }
  const options = {
    long: call.flag("long"),
    raw: call.flag("raw"),
    ...(call.number("last") === undefined ? {} : { last: call.number("last") }),
    ...(call.list("follow") === undefined ? {} : { follow: call.list("follow") }),
  };
  const { RemoteBus } = await import("../../nats/reader/remote_bus.ts");
  const ignore = (): void => {};
  await using bus = await RemoteBus.open(nats, "vmsig mem", {
    onFrame: ignore,
    onEvent: ignore,
    onEndpoint: ignore,
    onPicture: ignore,
  });
  await bus.settled();
  const number = bus.numberOf(target);
  if (number === undefined) {
    throw new Fault(
      "no-endpoint",
      `Cannot find endpoint ${target}; vmsig --nats URL ls lists those that there are`,
    );
  }
  const answer = await bus.askMemory(number, { words, options, json: call.json }, TIMEOUT_MS);
  const bytes = answer["bytes"];
  if (typeof bytes !== "string") {
    throw new Fault("protocol-error", "Cannot understand what the host answered");
  }
  call.out.bytes(bytesOfBase64(bytes));
}
