/**
 * Who loads what speaks NATS. It is not imported where it is used: the quick commands of the executable are
 * one script, which can load nothing (scripts/build/bundle.ts), and most programs never need it. The client
 * library's face and the full command line say how it is loaded.
 * @module
 */
import { Fault } from "../base/fault.ts";

/** What is loaded: a client's way to many hosts, and the list of them. */
export interface NatsModules {
  /** `remote_link.ts`. */
  readonly link: () => Promise<typeof import("./remote_link.ts")>;
  /** `cli/ls_hosts.ts`: its `listHosts`. */
  readonly list: () => Promise<{ readonly listHosts: (call: never, nats: never) => Promise<void> }>;
}

const known: Partial<NatsModules> = {};

/** Says how something is loaded. */
export function loadNatsBy(modules: Partial<NatsModules>): void {
  Object.assign(known, modules);
}

/**
 * How something is loaded.
 *
 * @throws {Fault} `missing` in a program that has none
 */
export function natsModule<K extends keyof NatsModules>(name: K): NatsModules[K] {
  const found = known[name];
  if (found === undefined) throw new Fault("missing", "Cannot use NATS: this program was built without it");
  return found as NatsModules[K];
}
