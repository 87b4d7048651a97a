/**
 * Where the daemon's endpoints come from: the config's `[[endpoint]]` tables, files in the trigger directory,
 * QEMUs that the host probe found, and VMs that a host integration knows (hosts/host.ts). Each of them asks
 * for endpoints under a name of its own, and the roster is kept in step with what is asked for
 * (roster/desired.ts). Whatever comes many at a time is attached and detached one per turn. What VMs need is
 * loaded when the first one is to be attached; whatever is told meanwhile waits for it, in order.
 * @module
 */
import { seamsOfFound } from "../adapters/seams.ts";
import { assert } from "../base/assert.ts";
import type { Log } from "../base/log.ts";
import type { LoopPort } from "../core/adapter_port.ts";
import type { HostedVm } from "../hosts/host.ts";
import type { HostName } from "../hosts/hosts.ts";
import { Desired, TRUST } from "../roster/desired.ts";
import { endpointName } from "../roster/endpoint_name.ts";
import type { Roster } from "../roster/roster.ts";
import { TriggerDirectory } from "../roster/trigger_directory.ts";
import type { EndpointConfig } from "./config.ts";
import type { EndpointMaker, PlannedEndpoint } from "./endpoint_maker.ts";
import type { FoundVm } from "./host_watch.ts";
import type { LatePart } from "./late_part.ts";
import { TurnQueue } from "./turn_queue.ts";

/** Which source of endpoints an asker belongs to: the first part of its name. */
const ASKER = { CONFIG: "config:", FILE: "file:", PROBE: "probe:", HOST: "host:" } as const;

/** What discovery works with. */
export interface EndpointDiscoveryOptions {
  /** The loop on whose turns the work is spread. */
  readonly loop: LoopPort;
  /** Where it is told what cannot be attached. */
  readonly log: Log;
  /** Where endpoints are attached. */
  readonly roster: Roster;
  /** Makes endpoints attachable. */
  readonly vms: LatePart<EndpointMaker>;
  /** The trigger directory. */
  readonly triggerDir: string;
  /** The daemon's uid: files of this user and of root count. */
  readonly ownUid: number;
}

/** Keeps the roster as the config, the trigger directory and the host probe say. */
export class EndpointDiscovery implements Disposable {
  readonly #desired: Desired<PlannedEndpoint>;
  readonly #triggers: TriggerDirectory;
  readonly #reloading: TurnQueue;
  readonly #probing: TurnQueue;
  readonly #hosting = new Map<HostName, TurnQueue>();
  readonly #loop: LoopPort;
  readonly #ownUid: number;
  readonly #vms: LatePart<EndpointMaker>;
  #state: "running" | "stopped" = "running";

  /** Watches the trigger directory; attaches nothing before the loop's next turn. */
  constructor({ loop, log, roster, vms, triggerDir, ownUid }: EndpointDiscoveryOptions) {
    this.#reloading = new TurnQueue(loop);
    this.#probing = new TurnQueue(loop);
    this.#loop = loop;
    this.#ownUid = ownUid;
    this.#vms = vms;
    const request = (endpoint: PlannedEndpoint) => {
      assert(vms.present !== undefined, "an endpoint is attached when what VMs need is loaded");
      return vms.present.request(endpoint);
    };
    const desired = new Desired(roster, request, log);
    this.#desired = desired;
    this.#triggers = new TriggerDirectory({
      path: triggerDir,
      loop,
      log,
      ownUid,
      listener: {
        onFile: (name, text) => {
          // What reads a file is loaded with the rest of what VMs need.
          if (vms.present === undefined) return this.#soon(true, () => this.#triggers.lookAt(name));
          const endpoint = vms.present.parse(text, `${triggerDir}/${name}`);
          this.#soon(true, () => desired.want(`${ASKER.FILE}${name}`, endpoint));
        },
        onGone: (name) => this.#soon(false, () => desired.drop(`${ASKER.FILE}${name}`)),
      },
    });
  }

  /** Attaches the endpoints of the first config, all of them at once: nobody is served yet. */
  attachConfigured(endpoints: readonly EndpointConfig[]): void {
    this.#soon(endpoints.length > 0, () => {
      for (const task of this.#configured(endpoints)) task();
    });
  }

  /** Attaches and detaches as a reloaded config says, one endpoint per turn. */
  reconfigure(endpoints: readonly EndpointConfig[]): void {
    assert(this.#state === "running", "a config is reloaded only while the daemon runs");
    this.#soon(endpoints.length > 0, () => this.#reloading.replace(this.#configured(endpoints)));
  }

  /**
   * Attaches what the host probe found, unless somebody named it already, and detaches what has ended, one VM
   * per turn.
   *
   * @param onDone called when the last of them is in the roster, or gone; not when another look comes first
   */
  probed(found: readonly FoundVm[], onDone: () => void): void {
    this.#soon(found.some(({ qmp }) => qmp !== ""), () => this.#probed(found, onDone));
  }

  /**
   * Attaches a host's VMs that run, unless somebody named them already, and detaches those that have
   * ended.
   */
  hosted(host: HostName, vms: readonly HostedVm[]): void {
    this.#soon(vms.length > 0, () => this.#hosted(host, vms));
  }

  /** Looks at the whole trigger directory anew: its folder was removed and made again. */
  lookAgain(): void {
    if (this.#state === "running") this.#triggers.lookAgain();
  }

  /** Attaches and detaches nothing from now on; what is attached stays, for whoever shuts the daemon down. */
  stop(): void {
    if (this.#state === "stopped") return;
    this.#state = "stopped";
    this.#probing.clear();
    for (const queue of this.#hosting.values()) queue.clear();
    this.#reloading.clear();
    this.#triggers.close();
  }

  /** Gives the trigger directory's descriptor back, after {@linkcode stop} and the last turn. */
  [Symbol.dispose](): void {
    assert(this.#state === "stopped", "discovery is stopped before it is put away");
    this.#triggers[Symbol.dispose]();
  }

  /**
   * Does something with what is wanted: now, or when what VMs need is loaded. Nothing when discovery has
   * stopped meanwhile.
   *
   * @param mayAttach whether an endpoint may come by it, which needs that
   */
  #soon(mayAttach: boolean, task: () => void): void {
    const unlessStopped = () => {
      if (this.#state === "running") task();
    };
    if (mayAttach || !this.#vms.isAbsent) this.#vms.do(unlessStopped);
    else unlessStopped();
  }

  #probed(found: readonly FoundVm[], onDone: () => void): void {
    const running = new Map(found.map((vm) => [askerOf(vm), vm]));
    const tasks: (() => void)[] = [];
    for (const asker of this.#askersOf(ASKER.PROBE)) {
      // One whose name has changed (it has given up root's rights) is another endpoint.
      if (running.get(asker)?.name !== this.#desired.wantedBy(asker)?.name) {
        tasks.push(() => this.#desired.drop(asker));
      }
    }
    for (const vm of found) {
      if (vm.qmp !== "" && this.#desired.wantedBy(askerOf(vm))?.name !== vm.name) {
        tasks.push(() => this.#wantFound(vm));
      }
    }
    tasks.push(onDone);
    this.#probing.replace(tasks);
  }

  #hosted(host: HostName, vms: readonly HostedVm[]): void {
    const prefix = `${ASKER.HOST}${host}:`;
    const running = new Map(vms.map((vm) => [`${prefix}${vm.name}`, vm]));
    const tasks: (() => void)[] = [];
    for (const asker of this.#askersOf(prefix)) {
      if (!running.has(asker)) tasks.push(() => this.#desired.drop(asker));
    }
    for (const [asker, vm] of running) tasks.push(() => this.#wantHosted(asker, vm));
    const queue = this.#hosting.get(host) ?? new TurnQueue(this.#loop);
    this.#hosting.set(host, queue);
    queue.replace(tasks);
  }

  /**
   * What there is to do so that the config's endpoints are there, and none of an older config: each task
   * attaches or detaches one.
   */
  #configured(endpoints: readonly EndpointConfig[]): (() => void)[] {
    const tasks: (() => void)[] = [];
    const wanted = new Set(endpoints.map((endpoint) => `${ASKER.CONFIG}${endpoint.name}`));
    for (const asker of this.#askersOf(ASKER.CONFIG)) {
      if (!wanted.has(asker)) tasks.push(() => this.#desired.drop(asker));
    }
    for (const endpoint of endpoints) {
      tasks.push(() => this.#desired.want(`${ASKER.CONFIG}${endpoint.name}`, endpoint));
    }
    return tasks;
  }

  #wantFound(vm: FoundVm): void {
    // A VM that the config or a trigger file names has a monitor there, whichever of its monitors is free.
    const isThis = (endpoint: PlannedEndpoint) => endpoint.qmp === vm.qmp || endpoint.name === vm.name;
    if (this.#desired.some(isThis, TRUST.NAMED)) return;
    const endpoint: PlannedEndpoint = {
      name: vm.name,
      vmid: 0,
      qmp: vm.qmp,
      ...seamsOfFound(vm),
      expected: { pid: vm.pid, started: vm.started },
    };
    this.#desired.want(askerOf(vm), endpoint, vm.trusted ? TRUST.OWN : TRUST.FOUND);
  }

  #wantHosted(asker: string, { name, qmp, pid, uid }: HostedVm): void {
    // Whoever is named, or has a monitor of its own that is attached, has a better way than the host's.
    const trusted = uid === 0 || uid === this.#ownUid;
    const endpoint: PlannedEndpoint = {
      name: endpointName(name, pid, uid, trusted),
      vmid: 0,
      qmp,
      ...seamsOfFound({ hasMemory: true }),
    };
    const isThis = (other: PlannedEndpoint) => other.qmp === qmp || other.name === endpoint.name;
    const own = this.#desired.wantedBy(asker);
    if (own === undefined && this.#desired.some(isThis)) return;
    this.#desired.want(asker, endpoint, TRUST.FOUND);
  }

  #askersOf(source: string): string[] {
    return this.#desired.askers().filter((asker) => asker.startsWith(source));
  }
}

/** A process, whoever had its number before. */
function askerOf(vm: FoundVm): string {
  return `${ASKER.PROBE}${vm.pid}:${vm.started}`;
}
