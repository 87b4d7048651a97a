/**
 * Makes the adapters of a real VM's endpoint, those of its seams (adapters/seams.ts), on one shared monitor.
 * It imports all code that only VMs need, and is loaded when the first VM is attached (loop_daemon.ts).
 * @module
 */
import type { WriteExtent } from "../access/write_extent.ts";
import type { Log } from "../base/log.ts";
import type { ScanPort } from "../adapters/memctx/scan_port.ts";
import { QmpLink } from "../qemu/monitor/qmp_link.ts";
import type { VmWays } from "../qemu/monitor/vm_ways.ts";
import type { QmpTransport } from "../qemu/monitor/qmp_transport.ts";
import type { PeerTrust } from "../qemu/monitor/peer_trust.ts";
import { transportTo } from "../qemu/monitor/transport_to.ts";
import { makeAdapters } from "../adapters/makers.ts";
import type { Adapter, LoopPort } from "../core/adapter_port.ts";
import type { ProcessIdentity } from "../qemu/process_identity.ts";
import type { EndpointRequest } from "../roster/roster.ts";
import { type EndpointConfig, parseEndpointTable } from "./config.ts";

/** The endpoint to attach, and how far its monitor's path can be trusted. */
export interface PlannedEndpoint extends EndpointConfig {
  /** The process that reported the path, if nobody else named it: then only that process may listen there. */
  readonly expected?: ProcessIdentity;
}

/** The parts that endpoints are made with. */
export interface EndpointMakerOptions {
  /** Directory of small state files. */
  readonly runtimeDir: string;
  /** The loop on which adapters run. */
  readonly loop: LoopPort;
  /** The log of the adapters. */
  readonly log: Log;
  /** Scans guests' RAM outside the loop. */
  readonly scanner: ScanPort;
  /** Where MEMWRITE may write, by the newest config. */
  readonly extents: () => readonly WriteExtent[];
  /** Access to a monitor through the host integration that the path names; undefined if it names none. */
  readonly hostTransportTo: (place: string) => QmpTransport | undefined;
  /** Access of the host integration to the VM of a process. */
  readonly waysOf: (pid: number) => VmWays | undefined;
  /** Who may connect as a QEMU, where the daemon listens for one. */
  readonly trust: PeerTrust;
  /** Called when a control wants pictures. */
  readonly onFrameWanted: () => void;
}

/** Makes adapters from plans. */
export class EndpointMaker {
  readonly #options: EndpointMakerOptions;

  /** Starts without endpoints. */
  constructor(options: EndpointMakerOptions) {
    this.#options = options;
  }

  /** Makes the adapters of one real VM. */
  request(plan: PlannedEndpoint): EndpointRequest {
    return { name: plan.name, vmid: plan.vmid, make: () => this.#make(plan) };
  }

  /**
   * Parses an endpoint's file in the trigger directory.
   *
   * @param file its path in messages
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
    const { loop, hostTransportTo, waysOf, trust } = this.#options;
    const log = this.#options.log.for(`qmp[${name}]`);
    return new QmpLink({
      path: hostTransportTo(place) ?? transportTo(place, { loop, log, trust }),
      waysOf,
      loop,
      log,
      ...expected === undefined ? {} : { expected },
    });
  }
}
