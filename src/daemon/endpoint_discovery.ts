/**
 * The origins of the daemon's endpoints: the config's `[[endpoint]]` tables, files in the trigger directory,
 * QEMUs found by the host probe, and VMs reported by a host integration (hosts/host.ts). Each of them
 * requests endpoints under its own name, and the roster is kept equal to the sum of the requests
 * (roster/desired.ts). Endpoints that come many at a time are attached and detached one per turn. Code that
 * only VMs need is loaded when the first one is to be attached; requests meanwhile wait for it, in order.
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

/** The origin that a requester belongs to: the first part of its name. */
const ASKER = { CONFIG: "config:", FILE: "file:", PROBE: "probe:", HOST: "host:" } as const;

/** The parts that discovery uses. */
export interface EndpointDiscoveryOptions {
  /** The loop over whose turns the work is spread. */
  readonly loop: LoopPort;
  /** Logs what cannot be attached. */
  readonly log: Log;
  /** Attaches and detaches endpoints. */
  readonly roster: Roster;
  /** Makes the adapters of endpoints. */
  readonly vms: LatePart<EndpointMaker>;
  /** The trigger directory. */
  readonly triggerDir: string;
  /** The daemon's uid: only files of this user and of root are used. */
  readonly ownUid: number;
}

/** Keeps the roster equal to what the config, the trigger directory and the host probe request. */
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
          // The code that parses the files is loaded with the rest of what VMs need.
          if (vms.present === undefined) return this.#soon(true, () => this.#triggers.lookAt(name));
          const endpoint = vms.present.parse(text, `${triggerDir}/${name}`);
          this.#soon(true, () => desired.want(`${ASKER.FILE}${name}`, endpoint));
        },
        onGone: (name) => this.#soon(false, () => desired.drop(`${ASKER.FILE}${name}`)),
      },
    });
  }

  /** Attaches the endpoints of the first config, all at once, since there are no controls yet. */
  attachConfigured(endpoints: readonly EndpointConfig[]): void {
    this.#soon(endpoints.length > 0, () => {
      for (const task of this.#configured(endpoints)) task();
    });
  }

  /** Attaches and detaches the endpoints of a reloaded config, one per turn. */
  reconfigure(endpoints: readonly EndpointConfig[]): void {
    assert(this.#state === "running", "a config is reloaded only while the daemon runs");
    this.#soon(endpoints.length > 0, () => this.#reloading.replace(this.#configured(endpoints)));
  }

  /**
   * Attaches the VMs that the host probe found, unless somebody named them already, and detaches those that
   * have ended, one per turn.
   *
   * @param onDone called when all of them are in the roster, or gone; not called if another result comes
   *   before
   */
  probed(found: readonly FoundVm[], onDone: () => void): void {
    this.#soon(found.some(({ qmp }) => qmp !== ""), () => this.#probed(found, onDone));
  }

  /**
   * Attaches the running VMs of a host integration, unless somebody named them already, and detaches those
   * that have ended.
   */
  hosted(host: HostName, vms: readonly HostedVm[]): void {
    this.#soon(vms.length > 0, () => this.#hosted(host, vms));
  }

  /** Reads the whole trigger directory again, after its folder was removed and made again. */
  lookAgain(): void {
    if (this.#state === "running") this.#triggers.lookAgain();
  }

  /** Stops attaching and detaching; attached endpoints stay until the daemon's shutdown detaches them. */
  stop(): void {
    if (this.#state === "stopped") return;
    this.#state = "stopped";
    this.#probing.clear();
    for (const queue of this.#hosting.values()) queue.clear();
    this.#reloading.clear();
    this.#triggers.close();
  }

  /** Closes the trigger directory's descriptor, after {@linkcode stop} and the last turn. */
  [Symbol.dispose](): void {
    assert(this.#state === "stopped", "discovery is stopped before it is put away");
    this.#triggers[Symbol.dispose]();
  }

  /**
   * Changes the requests, now or when the code that VMs need is loaded; does nothing if discovery has stopped
   * meanwhile.
   *
   * @param mayAttach whether the change may attach an endpoint, which needs that code
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
      // A VM whose name has changed (it gave up root's rights) is another endpoint.
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

  /** The tasks that make the endpoints equal to those of the config; each attaches or detaches one. */
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
    // A VM named by the config or a trigger file uses the monitor given there, whichever monitors are free.
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
    // A VM that was named, or whose own monitor is attached, has better access than through the host
    // integration.
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

/** Identifies a process, even if its number is used again. */
function askerOf(vm: FoundVm): string {
  return `${ASKER.PROBE}${vm.pid}:${vm.started}`;
}
