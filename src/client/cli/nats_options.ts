/**
 * The options with which a command goes to a NATS server instead of a daemon. They name files with
 * credentials; no secret is on the command line.
 * @module
 */
import type { NatsOptions } from "../../nats/wire/nats_link.ts";
import type { OptionSpecs } from "./command.ts";

/** The options. */
export const NATS_OPTIONS: OptionSpecs = {
  nats: {
    takes: "text",
    value: "URL",
    help:
      "work with all hosts that joined this NATS server, nats://HOST:4222 (or VMSIG_NATS); VMs are then called HOST/NAME",
  },
  creds: {
    takes: "text",
    value: "FILE",
    help: "with --nats: your credentials: a .creds file, an nkey seed or USER:PASSWORD (or VMSIG_NATS_CREDS)",
  },
  as: { takes: "text", value: "NAME", help: "with --nats: your name in subjects, if FILE has another name" },
  "nats-ca": {
    takes: "text",
    value: "FILE",
    help: "with --nats: CA certificates to check the server by (or VMSIG_NATS_CA)",
  },
};

/** Reads the options; undefined if a command goes to a daemon. */
export function natsOptionsOf(
  text: (name: string) => string | undefined,
  url: string | undefined = text("nats"),
): NatsOptions | undefined {
  const named = (option: string, variable: string): string | undefined =>
    text(option) ?? (Deno.env.get(variable) || undefined);
  // An explicit daemon socket takes precedence over the environment.
  const server = url ?? (text("socket") === undefined ? Deno.env.get("VMSIG_NATS") || undefined : undefined);
  if (server === undefined) return undefined;
  return {
    url: server,
    creds: named("creds", "VMSIG_NATS_CREDS"),
    as: text("as"),
    ca: named("nats-ca", "VMSIG_NATS_CA"),
  };
}
