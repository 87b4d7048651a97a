/**
 * A machine's connections to the daemon: one for its steps, and one of its own for what needs that.
 * @module
 */
import type { Client } from "../client/client.ts";
import { connect } from "../client/connect.ts";
import type { SubscribeOptions } from "../client/handshake.ts";
import type { MachineOptions } from "./machine_options.ts";

/** What such a connection may be about. */
export type Sources = readonly ("CORE" | "FRAME" | "VMHOST" | "INPUT" | "CONSOLE" | "AGENT" | "MEMCTX")[];

/** Joins the bus as the test. */
export function connectFor(
  { socket, as = "test" }: MachineOptions,
  sub: Sources | SubscribeOptions,
): Promise<Client> {
  const wanted = Array.isArray(sub) ? { sources: sub as Sources } : sub as SubscribeOptions;
  return connect({ name: as, ...(socket === undefined ? {} : { socket }), sub: wanted });
}
