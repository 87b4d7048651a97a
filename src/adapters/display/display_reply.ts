/**
 * The bodies of DISPLAY: what the display adapter answers, as CBOR maps.
 * @module
 */
import { encode } from "cborg";
import { printable } from "../../base/printable.ts";
import { FRAME_SOURCE } from "../../event/body_number.ts";
import { BODY, type TransferEvent } from "../../event/transfer_event.ts";
import type { DisplayChoice } from "./display_choice.ts";
import type { DisplayFacts } from "./display_facts.ts";
import type { HeadStates } from "./head_states.ts";
import type { VgaPlace } from "./vga_probe.ts";

/** Answer to CMD_FRAME status: for people. */
export function statusBody(
  event: TransferEvent,
  display: DisplayChoice,
  facts: DisplayFacts | undefined,
  states: HeadStates,
): void {
  const heads = Array.from({ length: states.count }, (_, head) => {
    const state = states.of(head);
    return {
      head,
      device: printable(facts?.heads[head]?.device ?? "", 64),
      state: state.kind,
      source: state.kind === "shown" ? nameOfSource(state.source) : "",
      why: state.kind === "untried" ? "" : state.why,
    };
  });
  event.setBody(BODY.CBOR, encode({ display, known: facts !== undefined, heads }));
}

/** Answer to CMD_DISPLAY heads: for whoever makes the pictures. */
export function headsBody(
  event: TransferEvent,
  display: DisplayChoice,
  facts: DisplayFacts,
  pid: number,
): void {
  const heads = facts.heads.map((head) =>
    head === undefined ? { device: "", removed: true } : { device: printable(head.device, 64) }
  );
  const { hasVnc: vnc, hasDbus: dbus } = facts;
  event.setBody(BODY.CBOR, encode({ display, heads, vnc, dbus, pid }));
}

/** QEMU's process. */
export interface VgaOwner {
  /** Its pid. */
  readonly pid: number;
  /** Who made its monitor listen. */
  readonly uid: number;
  /** Its version: "7.2.22". */
  readonly qemu: string;
}

/** Answer to CMD_DISPLAY vga: where a card's memory is. Its registers are asked for by themselves. */
export function vgaBody(event: TransferEvent, place: VgaPlace, owner: VgaOwner): void {
  const { address, sizeBytes, isVga } = place;
  const map = { ...owner, address, bytes: sizeBytes, vga: isVga, registers: [] };
  event.setBody(BODY.CBOR, encode(map));
}

/** Answer to CMD_DISPLAY vga for its registers alone. */
export function registersBody(event: TransferEvent, registers: Uint16Array | undefined): void {
  event.setBody(BODY.CBOR, encode({ registers: listOf(registers) }));
}

function listOf(registers: Uint16Array | undefined): number[] {
  return registers === undefined ? [] : [...registers];
}

/** What a source is called. */
function nameOfSource(source: number): string {
  for (const [name, number] of Object.entries(FRAME_SOURCE)) if (number === source) return name.toLowerCase();
  return "";
}
