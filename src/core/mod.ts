/**
 * The bus inside another program: the loop, the core, adapters and controls in one process, without a daemon
 * or a socket.
 *
 * It ranks above the folder that it is named after, because an embedding program also needs in-process
 * controls, and endpoints without a VM.
 *
 * @example Embeds the core with a stub endpoint, and a control that stops it
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import {
 *   Core,
 *   type EndpointId,
 *   fullGrant,
 *   InprocControl,
 *   KIND,
 *   LEASE_CLASS,
 *   Log,
 *   Loop,
 *   monotonicClock,
 *   StubVmhost,
 *   SUBSCRIBE_ALL,
 *   type TransferEvent,
 *   VM_OP,
 *   VM_STATE_NUMBER,
 * } from "@vmsig/vmsig/core";
 *
 * const log = new Log("embedded", "warn", (line) => console.error(line));
 * using loop = new Loop({ clock: monotonicClock, log });
 * const core = new Core({ loop, log });
 * const endpoint = 0 as EndpointId;
 * core.attach({ id: endpoint, name: "toy", vmid: 0, adapters: [new StubVmhost()] });
 *
 * const states: number[] = [];
 * const control = new InprocControl("stopper", SUBSCRIBE_ALL, {
 *   onEvent: (event: TransferEvent) => {
 *     if (event.kind === KIND.LEASE_GRANTED) {
 *       // Power is leased: the command carries the lease's token.
 *       const token = Number(event.view.getBigUint64(8, true));
 *       control.send(KIND.CMD_VM, endpoint, (command) => {
 *         command.words[0] = VM_OP.STOP;
 *         command.token = token;
 *       });
 *     } else if (event.kind === KIND.VM_LIFECYCLE) {
 *       states.push(event.words[0] as number);
 *       core.detach(endpoint, "detached", () => loop.stop());
 *     }
 *   },
 * });
 * core.addControl(control, fullGrant(Deno.uid() ?? 0));
 * control.send(KIND.CMD_ACQUIRE, endpoint, (command) => command.words[0] = LEASE_CLASS.POWER);
 *
 * await loop.runYielding(); // a program that does nothing else calls loop.run()
 * assertEquals(states, [VM_STATE_NUMBER.PAUSED]);
 * control.leave();
 * loop.turn(0);
 * core.dispose();
 * ```
 * @module
 */
export { monotonicClock } from "../../ffi/clock.ts";
export * from "../access/grant.ts";
export { type ArbitrationPolicy, LeaseTable } from "../access/lease_table.ts";
export { SUBSCRIBE_ALL, type Subscription, subscriptionOf } from "../access/subscription.ts";
export { makeAdapters } from "../adapters/makers.ts";
export { InlineScanner } from "../adapters/memctx/scan_guest.ts";
export type { ScanPort } from "../adapters/memctx/scan_port.ts";
export type { EndpointBasics, SeamParts } from "../adapters/seam.ts";
export { CLOSING_ORDER, type SeamConfig } from "../adapters/seams.ts";
export { makeStubAdapters } from "../adapters/stub/stub_adapters.ts";
export { StubCursor } from "../adapters/stub/stub_cursor.ts";
export { StubMachine, type StubMachineListener } from "../adapters/stub/stub_machine.ts";
export { StubVmhost } from "../adapters/stub/stub_vmhost.ts";
export { type Clock, ManualClock, MS, NEVER, SECOND } from "../base/clock.ts";
export { CODE } from "../base/codes.ts";
export { Fault } from "../base/fault.ts";
export { type ControlId, type EndpointId, NO_ENDPOINT } from "../base/ids.ts";
export { Log, type LogFields, type LogLevel, type LogSink, SILENT } from "../base/log.ts";
export type { LanePolicy } from "../context/policy.ts";
export { type InprocCallbacks, InprocControl } from "../controls/inproc/inproc_control.ts";
export * from "../event/body_number.ts";
export { ALL_CAPS, CAP } from "../event/capability.ts";
export { KIND, kindName } from "../event/kind.ts";
export { PRIO } from "../event/priority.ts";
export { SOURCE, type Source } from "../event/source.ts";
export { BODY, type PayloadOwner, TransferEvent } from "../event/transfer_event.ts";
export type {
  Adapter,
  CloseReason,
  FdHandler,
  LoopPort,
  Seat,
  TimerHandler,
  TurnHook,
} from "./adapter_port.ts";
export { type ContainedFault, FaultBoundary, type FaultHandler } from "./fault_boundary.ts";
export type { Control, ControlHandle, HandIn } from "./control_port.ts";
export { Core, type CoreOptions } from "./core.ts";
export type { EndpointSpec } from "./endpoint_slot.ts";
export { Loop, type LoopOptions } from "./loop.ts";
