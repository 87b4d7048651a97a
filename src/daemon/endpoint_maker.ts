/**
 * Makes the adapters of an endpoint over a real VM, those of its seams (adapters/seams.ts), over one shared
 * monitor. It brings along all that only VMs need, and is loaded when the first one comes (loop_daemon.ts).
 * @module
 */
import type { WriteExtent } from "../access/write_extent.ts";
import type { Log } from "../base/log.ts";
import type { ScanPort } from "../adapters/memctx/scan_port.ts";
import { QmpLink } from "../qemu/monitor/qmp_link.ts";
import type { VmWays } from "../qemu/monitor/vm_ways.ts";
import type { QmpTransport } from "../qemu/monitor/qmp_transport.ts";
import { transportTo } from "../qemu/monitor/transport_to.ts";
import { makeAdapters } from "../adapters/makers.ts";
import type { Adapter, LoopPort } from "../core/adapter_port.ts";
import type { ProcessIdentity } from "../qemu/process_identity.ts";
import type { EndpointRequest } from "../roster/roster.ts";
import { type EndpointConfig, parseEndpointTable } from "./config.ts";

/** What to attach, and how far its monitor's path is to be believed. */
export interface PlannedEndpoint extends EndpointConfig {
  /** The process that named the path, when nobody else did: no other may listen there. */
  readonly expected?: ProcessIdentity;
}

/** What endpoints are made with. */
export interface EndpointMakerOptions {
  /** Where small state files go. */
  readonly runtimeDir: string;
  /** The loop on which adapters run. */
  readonly loop: LoopPort;
  /** Where they log. */
  readonly log: Log;
  /** Looks through guests' RAM off the loop. */
  readonly scanner: ScanPort;
  /** Where MEMWRITE may land, by the newest config. */
  readonly extents: () => readonly WriteExtent[];
  /** The way to a monitor by the host that the place names; undefined when it names none. */
  readonly hostTransportTo: (place: string) => QmpTransport | undefined;
  /** What a host opens of the VM of a process. */
  readonly waysOf: (pid: number) => VmWays | undefined;
  /** Called when somebody wants pictures. */
  readonly onFrameWanted: () => void;
}

/** Turns plans into adapters. */
export class EndpointMaker {
  readonly #options: EndpointMakerOptions;

  /** Makes nothing yet. */
  constructor(options: EndpointMakerOptions) {
    this.#options = options;
  }

  /** One endpoint over a real VM. */
  request(plan: PlannedEndpoint): EndpointRequest {
    return { name: plan.name, vmid: plan.vmid, make: () => this.#make(plan) };
  }

  /**
   * Reads the file of an endpoint in the trigger directory.
   *
   * @param file its path, for messages
   * @throws {Fault} as `parseEndpointTable`
   */
  parse(text: string, file: string): EndpointConfig {
    return parseEndpointTable(text, file);
  }

  #make(endpoint: PlannedEndpoint): Adapter[] {
    const { runtimeDir, loop, log, scanner, extents, onFrameWanted } = this.#options;
    return makeAdapters(endpoint, {
      link: endpoint.qmp === undefined ? null : this.#linkOf(endpoint, endpoint.qmp),
      log,
      runtimeDir,
      scanner,
      extents,
      loop,
      onFrameWanted,
    });
  }

  #linkOf({ name, expected }: PlannedEndpoint, place: string): QmpLink {
    const { loop, log, hostTransportTo, waysOf } = this.#options;
    return new QmpLink({
      path: hostTransportTo(place) ?? transportTo(place),
      waysOf,
      loop,
      log: log.for(`qmp[${name}]`),
      ...expected === undefined ? {} : { expected },
    });
  }
}
