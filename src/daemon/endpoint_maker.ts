/**
 * Makes the adapters of an endpoint: the trio VMHOST, INPUT, MEMCTX over one shared monitor, or a stub without any VM.
 * @module
 */
import type { EndpointId } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { StubCursor, StubVmhost } from "../adapters/stub/stub_vmhost.ts";
import { QmpLink } from "../adapters/qmp_link.ts";
import { VmhostAdapter } from "../adapters/vmhost/vmhost_adapter.ts";
import type { Adapter, LoopPort } from "../core/adapter_port.ts";
import type { EndpointRequest } from "../roster/roster.ts";
import type { EndpointPlan, LoopPlan } from "./plan.ts";

/** Turns plans into attachable endpoints. */
export class EndpointMaker {
  readonly #plan: LoopPlan;
  readonly #loop: LoopPort;
  readonly #log: Log;

  constructor(plan: LoopPlan, loop: LoopPort, log: Log) {
    this.#plan = plan;
    this.#loop = loop;
    this.#log = log;
  }

  /** The endpoints that the plan names, stubs first. */
  requests(): EndpointRequest[] {
    const requests: EndpointRequest[] = [];
    for (let i = 0; i < this.#plan.stub.count; i++) requests.push(this.#stub(i));
    for (const endpoint of this.#plan.endpoints) requests.push(this.request(endpoint));
    return requests;
  }

  /** One endpoint over a real VM. */
  request(plan: EndpointPlan): EndpointRequest {
    return { name: plan.name, vmid: plan.vmid, make: () => this.#make(plan) };
  }

  #stub(i: number): EndpointRequest {
    const { rateHz } = this.#plan.stub;
    return {
      name: `stub${i}`,
      vmid: 0,
      make: (_id: EndpointId): Adapter[] =>
        rateHz > 0 ? [new StubVmhost(), new StubCursor(rateHz)] : [new StubVmhost()],
    };
  }

  #make(plan: EndpointPlan): Adapter[] {
    if (plan.qmp === undefined) return [];
    const link = new QmpLink({ path: plan.qmp, loop: this.#loop, log: this.#log.for(`qmp[${plan.name}]`) });
    return [new VmhostAdapter(link)];
  }
}
