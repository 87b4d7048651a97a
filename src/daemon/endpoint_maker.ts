/**
 * Makes the adapters of an endpoint, those of its seams (adapters/seams.ts): over one shared monitor, or as a
 * stub without any VM.
 * @module
 */
import type { WriteExtent } from "../access/write_extent.ts";
import type { Log } from "../base/log.ts";
import type { ScanPort } from "../adapters/memctx/scan_port.ts";
import { QmpLink } from "../qemu/monitor/qmp_link.ts";
import type { QmpTransport } from "../qemu/monitor/qmp_transport.ts";
import { makeAdapters, makeStubAdapters } from "../adapters/makers.ts";
import { StubMachine } from "../adapters/stub/stub_machine.ts";
import type { Adapter, LoopPort } from "../core/adapter_port.ts";
import type { ProcessIdentity } from "../qemu/process_identity.ts";
import type { EndpointRequest } from "../roster/roster.ts";
import type { EndpointConfig } from "./config.ts";
import type { LoopPlan } from "./plan.ts";

/** What to attach, and how far its monitor's path is to be believed. */
export interface PlannedEndpoint extends EndpointConfig {
  /** The process that named the path, when nobody else did: no other may listen there. */
  readonly expected?: ProcessIdentity;
}

/** What endpoints are made with. */
export interface EndpointMakerOptions {
  /** What to serve. */
  readonly plan: LoopPlan;
  /** The loop on which adapters run. */
  readonly loop: LoopPort;
  /** Where they log. */
  readonly log: Log;
  /** Looks through guests' RAM off the loop. */
  readonly scanner: ScanPort;
  /** Where MEMWRITE may land, by the newest config. */
  readonly extents: () => readonly WriteExtent[];
  /** The way to a monitor, as the config or discovery names it. */
  readonly transportTo: (place: string) => QmpTransport;
  /** Called when somebody wants pictures. */
  readonly onFrameWanted: () => void;
}

/** Turns plans into attachable endpoints. */
export class EndpointMaker {
  readonly #options: EndpointMakerOptions;

  /** Makes one for a plan. */
  constructor(options: EndpointMakerOptions) {
    this.#options = options;
  }

  /** The stub endpoints that the plan asks for. */
  stubs(): EndpointRequest[] {
    return Array.from({ length: this.#options.plan.stub.count }, (_, i) => this.#stub(i));
  }

  /** One endpoint over a real VM. */
  request(plan: PlannedEndpoint): EndpointRequest {
    return { name: plan.name, vmid: plan.vmid, make: () => this.#make(plan) };
  }

  #stub(i: number): EndpointRequest {
    const { rateHz } = this.#options.plan.stub;
    return {
      name: `stub${i}`,
      vmid: 0,
      make: () => makeStubAdapters({ machine: new StubMachine(), rateHz }),
    };
  }

  #make(endpoint: PlannedEndpoint): Adapter[] {
    const { plan, loop, log, scanner, extents, onFrameWanted } = this.#options;
    return makeAdapters(endpoint, {
      link: endpoint.qmp === undefined ? null : this.#linkOf(endpoint, endpoint.qmp),
      log,
      runtimeDir: plan.runtimeDir,
      scanner,
      extents,
      loop,
      onFrameWanted,
    });
  }

  #linkOf({ name, expected }: PlannedEndpoint, place: string): QmpLink {
    const { loop, log, transportTo } = this.#options;
    return new QmpLink({
      path: transportTo(place),
      loop,
      log: log.for(`qmp[${name}]`),
      ...expected === undefined ? {} : { expected },
    });
  }
}
