/**
 * Testing whole machines: a VM as a test drives it, on the bus of a daemon that runs already or booted for
 * the test alone. Works in `deno test`, and in any program.
 *
 * @example A machine that the daemon has
 * ```ts
 * import { machine } from "@vmsig/vmsig/testing";
 *
 * await using vm = await machine("web", { timeoutMs: 10_000 });
 * await vm.key("a");
 * await vm.power("stop");
 * await vm.state("paused");
 * await vm.power("cont");
 * ```
 * @module
 */
export { Fault, type FaultCode } from "../base/fault.ts";
export type { ScreenText, TextPlace, TextStyle } from "../display/text/screen_text.ts";
export type { ExecOptions, ExecResult } from "../client/agent_control.ts";
export type { Client } from "../client/client.ts";
export type { VmOperation } from "../client/vm_control.ts";
export type { Expected } from "../client/console_control.ts";
export { LAYOUT_NAMES } from "../client/keyboard_layout.ts";
export type { ButtonName } from "../client/mouse_frames.ts";
export type { EndpointRef } from "../client/roster_view.ts";
export type { WaitCondition, WaitMatch, WaitResult } from "../client/wait_condition.ts";
export type { Process } from "../guest/process.ts";
export type { Picture, Rectangle } from "../vgpu/picture.ts";
export { decodePng, encodePng } from "../vgpu/png.ts";
export type { ClickTarget } from "./click_target.ts";
export { MachineFault } from "./evidence.ts";
export { Machine, machine } from "./machine.ts";
export type { MachineConsole } from "./machine_console.ts";
export type { MachineOptions, StepOptions } from "./machine_options.ts";
export type { AreaOptions, ImageOptions, MachineScreen } from "./machine_screen.ts";
export type { Needle, NeedleArea } from "./needle_file.ts";
export { readNeedle } from "./needle_file.ts";
export { type AreaMatch, bestNeedle, matchNeedle, type NeedleMatch } from "./needle_match.ts";
export { ScratchMachine, scratchMachine } from "./scratch.ts";
export type { ScratchOptions } from "./scratch_options.ts";
