/**
 * The client library: what a control in TypeScript imports. A control joins the bus over the daemon's socket,
 * gets events as async iterators, and sends commands whose promises the daemon's one answer settles.
 *
 * @example Look at a VM and steer it
 * ```ts
 * import { connect } from "@vmsig/vmsig";
 *
 * await using client = await connect({ name: "steers" });
 * for (const { endpoint, name, state } of await client.completeRoster()) {
 *   console.log(endpoint, name, state);
 * }
 * await client.vm("web", "stop");
 * console.log(await client.vmState("web")); // { state: "paused", … }
 * await client.vm("web", "cont");
 * ```
 *
 * @example Follow events; leaving the loop ends the stream
 * ```ts
 * import { connect, VM_STATE_NAMES } from "@vmsig/vmsig";
 *
 * await using client = await connect({ name: "follows", sub: { sources: ["vmhost", "core"] } });
 * const endpoints = [await client.endpoint("web")];
 * const events = client.events({ kinds: ["VM_LIFECYCLE"], endpoints });
 * await client.vm("web", "stop");
 * for await (const event of events) {
 *   const state = event.as("VM_LIFECYCLE")?.state ?? -1;
 *   console.log(event.kindName, VM_STATE_NAMES[state]);
 *   if (VM_STATE_NAMES[state] === "paused") break;
 * }
 * await client.vm("web", "cont");
 * ```
 *
 * @example A lease: exclusive, and given back when its scope ends
 * ```ts
 * import { connect, Fault } from "@vmsig/vmsig";
 *
 * await using client = await connect({ name: "leases" });
 * {
 *   await using lease = await client.acquire("web", "power", { ttlMs: 5000 });
 *   lease.lost.then((why) => console.log("lost:", why));
 *   await client.vm("web", "reset");
 * }
 * try {
 *   await client.vm("web", "reset");
 * } catch (error) {
 *   if (!(error instanceof Fault) || error.code !== "no-lease") throw error;
 * }
 * ```
 *
 * @example Keyboard and mouse
 * ```ts
 * import { connect, takeInput } from "@vmsig/vmsig";
 *
 * await using client = await connect({ name: "types" });
 * await using input = await takeInput(client, "web");
 * await input.type("ls -l\n");
 * await input.key("ctrl-c");
 * ```
 *
 * @example Know that all which the daemon had until now is here
 * ```ts
 * import { connect } from "@vmsig/vmsig";
 *
 * await using client = await connect({ name: "looks" });
 * const contexts = client.events({ kinds: ["MEMCTX"] });
 * await client.barrier();
 * console.log(contexts.buffered === 0 ? "no VM has a memory context yet" : "there is one");
 * await contexts.return();
 * ```
 *
 * @example Watch values in a guest's memory
 * ```ts
 * import { connect, Fault } from "@vmsig/vmsig";
 *
 * await using client = await connect({ name: "counts", sub: { sources: ["core", "memctx"] } });
 * try {
 *   const values = [{ endpoint: "web", address: "jiffies", sizeBytes: 8 }];
 *   for await (const event of await client.watchMemory(values, { rateHz: 100 })) {
 *     if (event.what === "value") console.log(event.value);
 *     if (event.what === "value" && !event.isFirst) break;
 *   }
 * } catch (error) {
 *   // A VM whose memory the daemon does not have.
 *   if (!(error instanceof Fault) || error.code !== "seam-down") throw error;
 * }
 * ```
 *
 * @example Talk to a serial console
 * ```ts
 * import { connect, Fault } from "@vmsig/vmsig";
 *
 * await using client = await connect({ name: "talks" });
 * try {
 *   await using serial = await client.console("web", { backlog: true });
 *   await serial.send("\n");
 *   console.log((await serial.expect("login: ")).before);
 * } catch (error) {
 *   // A VM without a serial port.
 *   if (!(error instanceof Fault) || error.code !== "not-supported") throw error;
 * }
 * ```
 *
 * @example Survive a restart of the daemon
 * ```ts
 * import { connect } from "@vmsig/vmsig";
 *
 * await using client = await connect({
 *   name: "stays",
 *   reconnect: { firstMs: 100, mostMs: 5000, onAway: (fault) => console.error(fault.message) },
 * });
 * const events = client.events();
 * setTimeout(() => events.end(), 20); // a program that stays has no such line
 * for await (const event of events) {
 *   const missed = event.as("RECONNECTED");
 *   if (missed !== undefined) console.log(`events of ${missed.awayNs / 1e9} s were missed`);
 * }
 * ```
 * @module
 */
import { loadNatsBy } from "./nats_loader.ts";

loadNatsBy({ link: () => import("./remote_link.ts") });

export type { OwnedFd } from "../../ffi/owned_fd.ts";
export { Fault, type FaultCode } from "../base/fault.ts";
export { type ControlId, type EndpointId, NO_ENDPOINT } from "../base/ids.ts";
export type { Described } from "../event/describe.ts";
export type { TransferEvent } from "../event/transfer_event.ts";
export { CAP } from "../event/capability.ts";
export { KIND, type Kind, type KindName } from "../event/kind.ts";
export { PRIO, type Prio, type PrioName } from "../event/priority.ts";
export { SOURCE, type Source, type SourceName } from "../event/source.ts";
export * from "../event/body_number.ts";
export { type SystemName, systemOfNumber, type SystemRow, SYSTEMS } from "../guest/systems.ts";
export { parseChord } from "./chord.ts";
export { Client } from "./client.ts";
export {
  VmControl,
  type VmOperation,
  type VmSnapshot,
  type VmSnapshots,
  type VmState,
} from "./vm_control.ts";
export { ClientEvent } from "./client_event.ts";
export {
  AgentControl,
  type ExecOptions,
  type ExecResult,
  type GuestShutdown,
  type Progress,
} from "./agent_control.ts";
export {
  ConsoleControl,
  type ConsoleEntry,
  type ConsoleOptions,
  type Expected,
  listConsoles,
} from "./console_control.ts";
export type { HeldInput } from "./held_input.ts";
export type { ClientPort } from "./client_port.ts";
export type { CommandOutcome } from "./command_outcome.ts";
export { connect, type ConnectOptions } from "./connect.ts";
export { describeBody, describeEvent, type MemorySegment, memorySegments } from "./describe_event.ts";
export type { EventFilter } from "./event_filter.ts";
export { EventStream } from "./event_stream.ts";
export { Frame } from "./frame.ts";
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
export type { AcquireOptions } from "./lease_claim.ts";
export type { LeaseHolder, LeaseStatus } from "./lease_holder.ts";
export { type LeaseParties, leasePartiesOf, type LeaseParty } from "./lease_parties.ts";
export { Lease, type LeaseClassName, type LeaseHome, type LeaseLoss } from "./lease.ts";
export type { MemoryTrouble, MemoryView } from "./memory_view.ts";
export type { MemoryEvent, MemoryWatchOptions, WatchedValue } from "./memory_event.ts";
export type { MemoryWatcher, MemoryWatchHome } from "./memory_watch.ts";
export type { MemoryWriteOptions } from "./memory_write.ts";
export { type ButtonName, BUTTONS, MAX_ABS, type Point } from "./mouse_frames.ts";
export type { ReconnectOptions } from "./reconnector.ts";
export type { EndpointRef, RosterEntry, RosterView } from "./roster_view.ts";
export type { DisplayStatus, FrameOptions, FramesOptions, HeadStatus } from "./screen_control.ts";
export type { ScreenText, TextPlace, TextSource, TextStyle } from "../display/text/screen_text.ts";
export type { CommandOptions } from "./session.ts";
export { runScript } from "./run_script.ts";
export type { BodyOf, LayoutOf, TypedKind, ValueOf } from "./typed_body.ts";
export { waitFor, type WaitOptions } from "./wait.ts";
export type { WaitCondition, WaitMatch, WaitResult } from "./wait_condition.ts";
export { KeyboardLayout, keyboardLayout, LAYOUT_NAMES, type LayoutStroke } from "./keyboard_layout.ts";
export { framesOfText } from "./us_layout.ts";
