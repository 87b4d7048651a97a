/**
 * The seams of an endpoint without any VM, for trying things out, tests and benchmarks: those that can answer
 * without one. They bring nothing of a real VM along, which is loaded when the first one comes.
 * @module
 */
import type { Adapter } from "../../core/adapter_port.ts";
import { InputAdapter } from "../input/input_adapter.ts";
import { StubCursor } from "./stub_cursor.ts";
import { StubInputDriver } from "./stub_input_driver.ts";
import { StubMachine } from "./stub_machine.ts";
import { StubVmhost } from "./stub_vmhost.ts";

/**
 * Makes them.
 *
 * @param rateHz CURSOR_STATE events per second; 0 = none, and no FRAME seam
 */
export function makeStubAdapters(rateHz: number): Adapter[] {
  const machine = new StubMachine();
  return [
    new InputAdapter(new StubInputDriver(machine)),
    new StubVmhost(machine),
    ...rateHz > 0 ? [new StubCursor(rateHz)] : [],
  ];
}
