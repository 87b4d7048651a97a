/**
 * The client library: what a scripted control imports.
 *
 * @example
 * ```ts
 * import { connect } from "./src/client/mod.ts";
 *
 * await using client = await connect({ name: "hello" });
 * await client.vm("web", "stop");
 * console.log(await client.vmState("web"));
 * ```
 * @module
 */
export { Fault } from "../base/fault.ts";
export { CAP } from "../event/capability.ts";
export { KIND } from "../event/kind.ts";
export { PRIO } from "../event/priority.ts";
export { SOURCE } from "../event/source.ts";
export * from "../event/body_number.ts";
export { systemOfNumber, SYSTEMS } from "../guest/systems.ts";
export { parseChord } from "./chord.ts";
export { Client, type HeldInput, type VmOperation, type VmState } from "./client.ts";
export { ClientEvent } from "./client_event.ts";
export { connect, type ConnectOptions } from "./connect.ts";
export { describeBody, describeEvent, type MemorySegment, memorySegments } from "./describe_event.ts";
export type { EventFilter } from "./event_filter.ts";
export { EventStream } from "./event_stream.ts";
export { GuestView } from "./guest_view.ts";
export type { SubscribeOptions, Welcome } from "./handshake.ts";
export { type DragOptions, InputControl, takeInput } from "./input_control.ts";
export {
  absRecord,
  buttonRecord,
  type InputRecord,
  keyRecord,
  relRecord,
  scrollRecord,
} from "./input_record.ts";
export { keyCode, keyName } from "./key_codes.ts";
export { Lease, type LeaseClassName, type LeaseLoss } from "./lease.ts";
export type { MemoryTrouble, MemoryView } from "./memory_view.ts";
export type { MemoryWriteOptions } from "./memory_write.ts";
export { type ButtonName, BUTTONS, MAX_ABS, type Point } from "./mouse_frames.ts";
export type { EndpointRef, RosterEntry } from "./roster_view.ts";
export type { CommandOptions } from "./session.ts";
export { runScript } from "./run_script.ts";
export { waitFor, type WaitOptions } from "./wait.ts";
export type { WaitCondition, WaitMatch, WaitResult } from "./wait_condition.ts";
export { framesOfText } from "./us_layout.ts";
