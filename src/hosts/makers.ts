/**
 * How each host is made, and all of those that the config uses. Only the loop's thread loads this, and of the
 * hosts those alone that are used.
 * @module
 */
import { assert } from "../base/assert.ts";
import { CODE } from "../base/codes.ts";
import { SEAM_REASON } from "../event/body_number.ts";
import { NoTransport } from "../qemu/monitor/no_transport.ts";
import type { QmpTransport } from "../qemu/monitor/qmp_transport.ts";
import type { VmWays } from "../qemu/monitor/vm_ways.ts";
import type { Host, HostConfig, HostMaker, HostParts } from "./host.ts";
import { type ConfigOfHost, HOST_NAMES, type HostConfigs, type HostName } from "./hosts.ts";

const MAKERS: { readonly [N in HostName]: () => Promise<HostMaker<ConfigOfHost<N>>> } = {
  libvirt: async () => (await import("./libvirt/libvirt_host.ts")).makeLibvirt,
};

/** The makers of the hosts that are used. */
export type HostMakers = { readonly [N in HostName]?: HostMaker<ConfigOfHost<N>> };

/** Loads the makers of the hosts that a config uses. */
export async function loadMakers(configs: HostConfigs): Promise<HostMakers> {
  const used = HOST_NAMES.filter((name) => configs[name] !== undefined);
  return Object.fromEntries(await Promise.all(used.map(async (name) => [name, await MAKERS[name]()])));
}

/** What hosts are made with: a host's own `log` and `onVms` come from it. */
export interface HostsOptions extends Omit<HostParts, "onVms"> {
  /** Told all VMs of a host that run, whenever some have come or gone and its VMs are to be attached. */
  readonly onVms: (host: HostName, ...told: Parameters<HostParts["onVms"]>) => void;
}

/** The hosts that are used. */
export class Hosts {
  readonly #used = new Map<string, Host>();
  #state: "resting" | "running" | "stopped" = "resting";

  /**
   * Makes them, at rest.
   *
   * @param makers of those that are used, from {@linkcode loadMakers}
   */
  constructor(configs: HostConfigs, makers: HostMakers, options: HostsOptions) {
    for (const name of HOST_NAMES) this.#add(name, configs, makers, options);
  }

  /** Begins. */
  start(): void {
    assert(this.#state === "resting", "hosts are started once");
    this.#state = "running";
    for (const host of this.#used.values()) host.start();
  }

  /** Ends: what was got from a host closes. */
  stop(): void {
    assert(this.#state !== "stopped", "hosts are stopped once");
    this.#state = "stopped";
    for (const host of this.#used.values()) host.stop();
  }

  /** The way to a monitor by the host that the place names; undefined when it names none. */
  transportTo(place: string): QmpTransport | undefined {
    const name = HOST_NAMES.find((each) => place.startsWith(`${each}:`));
    if (name === undefined) return undefined;
    return this.#used.get(name)?.transport(place.slice(name.length + 1)) ?? notUsed(name);
  }

  /** What a host opens of the VM of a process; undefined when no host has it. */
  waysOf(pid: number): VmWays | undefined {
    for (const host of this.#used.values()) {
      const ways = host.waysOf(pid);
      if (ways !== undefined) return ways;
    }
    return undefined;
  }

  /** Generic, so that each maker meets the config of its own host. */
  #add<N extends HostName>(
    name: N,
    configs: HostConfigs,
    makers: HostMakers,
    { loop, log, isTrusted, onVms }: HostsOptions,
  ): void {
    const config: ConfigOfHost<N> | undefined = configs[name];
    if (config === undefined) return;
    const make: HostMaker<ConfigOfHost<N>> | undefined = makers[name];
    assert(make !== undefined, "a host that is used was loaded");
    const { discover }: HostConfig = config;
    const tell: HostParts["onVms"] = (...told) => {
      if (discover) onVms(name, ...told);
    };
    this.#used.set(name, make(config, { loop, log: log.for(name), isTrusted, onVms: tell }));
  }
}

/** The way to a VM of a host that is not used: there is none. */
function notUsed(name: HostName): QmpTransport {
  const loss = {
    reason: SEAM_REASON.PEER_CLOSED,
    code: CODE["not-supported"],
    text: `${name} is not used: no [${name}]`,
    remedy: `add a table [${name}] to the config, and start the daemon anew`,
  };
  return new NoTransport(`${name}:`, loss);
}
