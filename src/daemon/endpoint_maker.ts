/**
 * Makes the adapters of an endpoint, those of its seams (adapters/seams.ts): over one shared monitor, or as a
 * stub without any VM.
 * @module
 */
import type { Log } from "../base/log.ts";
import type { ScanPort } from "../adapters/memctx/scan_port.ts";
import { QmpLink } from "../qemu/monitor/qmp_link.ts";
import type { QmpTransport } from "../qemu/monitor/qmp_transport.ts";
import { transportTo } from "../qemu/monitor/transport_to.ts";
import { LIBVIRT_PREFIX, type LibvirtHost, NO_LIBVIRT } from "../hosts/libvirt/libvirt_host.ts";
import { makeAdapters, makeStubAdapters } from "../adapters/makers.ts";
import { StubMachine } from "../adapters/stub/stub_machine.ts";
import type { Adapter, LoopPort } from "../core/adapter_port.ts";
import type { ProcessIdentity } from "../qemu/process_identity.ts";
import type { EndpointRequest } from "../roster/roster.ts";
import type { Config, EndpointConfig } from "./config.ts";
import type { LoopPlan } from "./plan.ts";

/** What to attach, and how far its monitor's path is to be believed. */
export interface PlannedEndpoint extends EndpointConfig {
  /** The process that named the path, when nobody else did: no other may listen there. */
  readonly expected?: ProcessIdentity;
}

/** Turns plans into attachable endpoints. */
export class EndpointMaker {
  readonly #plan: LoopPlan;
  readonly #loop: LoopPort;
  readonly #log: Log;
  readonly #scanner: ScanPort;
  readonly #onFrameWanted: () => void;
  readonly #libvirt: LibvirtHost | null;
  #config: Config;

  /**
   * Makes one for a plan.
   *
   * @param libvirt the way to libvirt's domains; null when it is not used
   * @param scanner looks through guests' RAM off the loop
   * @param onFrameWanted called when somebody wants pictures
   */
  constructor(
    plan: LoopPlan,
    loop: LoopPort,
    log: Log,
    scanner: ScanPort,
    onFrameWanted: () => void,
    libvirt: LibvirtHost | null,
  ) {
    this.#libvirt = libvirt;
    this.#onFrameWanted = onFrameWanted;
    this.#plan = plan;
    this.#loop = loop;
    this.#log = log;
    this.#scanner = scanner;
    this.#config = plan.config;
  }

  /** Takes a reloaded config: what is made from now on follows it. */
  setConfig(config: Config): void {
    this.#config = config;
  }

  /** The stub endpoints that the plan asks for. */
  stubs(): EndpointRequest[] {
    return Array.from({ length: this.#plan.stub.count }, (_, i) => this.#stub(i));
  }

  /** One endpoint over a real VM. */
  request(plan: PlannedEndpoint): EndpointRequest {
    return { name: plan.name, vmid: plan.vmid, make: () => this.#make(plan) };
  }

  #stub(i: number): EndpointRequest {
    const { rateHz } = this.#plan.stub;
    return {
      name: `stub${i}`,
      vmid: 0,
      make: () => makeStubAdapters({ machine: new StubMachine(), rateHz }),
    };
  }

  #make(plan: PlannedEndpoint): Adapter[] {
    return makeAdapters(plan, {
      link: plan.qmp === undefined ? null : this.#linkOf(plan, plan.qmp),
      log: this.#log,
      runtimeDir: this.#plan.runtimeDir,
      scanner: this.#scanner,
      extents: () => this.#config.write,
      loop: this.#loop,
      onFrameWanted: this.#onFrameWanted,
    });
  }

  #transportTo(place: string): QmpTransport {
    if (!place.startsWith(LIBVIRT_PREFIX)) return transportTo(place);
    return this.#libvirt?.transport(place) ?? NO_LIBVIRT;
  }

  #linkOf(plan: PlannedEndpoint, place: string): QmpLink {
    return new QmpLink({
      path: this.#transportTo(place),
      loop: this.#loop,
      log: this.#log.for(`qmp[${plan.name}]`),
      ...plan.expected === undefined ? {} : { expected: plan.expected },
    });
  }
}
