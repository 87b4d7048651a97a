/**
 * Makes the adapters of an endpoint: the trio VMHOST, INPUT, MEMCTX over one shared monitor, or a stub
 * without any VM.
 * @module
 */
import type { EndpointId } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { StubInputDriver } from "../adapters/stub/stub_input_driver.ts";
import { StubMachine } from "../adapters/stub/stub_machine.ts";
import { StubCursor, StubVmhost } from "../adapters/stub/stub_vmhost.ts";
import { HeldFile } from "../adapters/input/held_file.ts";
import { InputAdapter } from "../adapters/input/input_adapter.ts";
import type { InputDriver } from "../adapters/input/input_driver.ts";
import { QmpInputDriver } from "../adapters/input/qmp_input_driver.ts";
import { UinputDriver } from "../adapters/input/uinput_driver.ts";
import { MemctxAdapter } from "../adapters/memctx/memctx_adapter.ts";
import type { ScanPort } from "../adapters/memctx/scan_port.ts";
import { QmpLink } from "../qemu/monitor/qmp_link.ts";
import { VmhostAdapter } from "../adapters/vmhost/vmhost_adapter.ts";
import type { Adapter, LoopPort } from "../core/adapter_port.ts";
import type { ProcessIdentity } from "../qemu/process_identity.ts";
import type { EndpointRequest } from "../roster/roster.ts";
import type { Config, EndpointConfig } from "./config.ts";
import { heldPath } from "./held_sweep.ts";
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
  #config: Config;

  /**
   * Makes one for a plan.
   *
   * @param scanner looks through guests' RAM off the loop
   */
  constructor(plan: LoopPlan, loop: LoopPort, log: Log, scanner: ScanPort) {
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
      make: (_id: EndpointId): Adapter[] => {
        const machine = new StubMachine();
        const adapters = [new InputAdapter(new StubInputDriver(machine)), new StubVmhost(machine)];
        return rateHz > 0 ? [...adapters, new StubCursor(rateHz)] : adapters;
      },
    };
  }

  #make(plan: PlannedEndpoint): Adapter[] {
    // Without a monitor there is nothing of the VM but devices that its QEMU was given.
    if (plan.qmp === undefined) return plan.input === "uinput" ? [this.#input(plan, new UinputDriver())] : [];
    const link = new QmpLink({
      path: plan.qmp,
      loop: this.#loop,
      log: this.#log.for(`qmp[${plan.name}]`),
      ...plan.expected === undefined ? {} : { expected: plan.expected },
    });
    // In the order in which the link tells its users: whoever must hear of a reset first is made first.
    const adapters: Adapter[] = [];
    const { memory, guest } = plan;
    if (memory !== "none") {
      const extents = () => this.#config.write;
      adapters.push(new MemctxAdapter({ link, scanner: this.#scanner, memory, guest, extents }));
    }
    const driver = this.#inputDriver(plan, link);
    if (driver !== null) adapters.push(this.#input(plan, driver));
    adapters.push(new VmhostAdapter(link));
    return adapters;
  }

  #input(plan: EndpointConfig, driver: InputDriver): InputAdapter {
    const log = this.#log.for(`input[${plan.name}]`);
    return new InputAdapter(driver, new HeldFile(heldPath(this.#plan.runtimeDir, plan.name), log));
  }

  #inputDriver(plan: EndpointConfig, link: QmpLink): InputDriver | null {
    switch (plan.input) {
      case "qmp":
        return new QmpInputDriver(link, {});
      case "uinput":
        return new UinputDriver({ link });
      case "none":
        return null;
    }
  }
}
