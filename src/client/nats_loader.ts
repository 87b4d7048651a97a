/**
 * How the NATS code is loaded. It is not imported where it is used: the fast commands of the executable are a
 * single script that can load nothing (scripts/build/bundle.ts), and most programs never need it. The client
 * library's mod.ts and the full command line register how to load it.
 * @module
 */
import { Fault } from "../base/fault.ts";

/** The code that can be loaded: a client's link to many hosts, and the list of hosts. */
export interface NatsModules {
  /** `remote_link.ts`. */
  readonly link: () => Promise<typeof import("./remote_link.ts")>;
  /** `cli/ls_hosts.ts`: its `listHosts`. */
  readonly list: () => Promise<{ readonly listHosts: (call: never, nats: never) => Promise<void> }>;
}

const known: Partial<NatsModules> = {};

/** Registers how to load a part. */
export function loadNatsBy(modules: Partial<NatsModules>): void {
  Object.assign(known, modules);
}

/**
 * The function that loads a part.
 *
 * @throws {Fault} `missing` in a program without it
 */
export function natsModule<K extends keyof NatsModules>(name: K): NatsModules[K] {
  const found = known[name];
  if (found === undefined) throw new Fault("missing", "Cannot use NATS: this program was built without it");
  return found as NatsModules[K];
}
