/**
 * What the display adapter tells of a std VGA (DISPLAY, as the answer to CMD_DISPLAY vga), checked.
 * @module
 */
import { Fault } from "../../../base/fault.ts";
import { decodeBounded, EVENT_CBOR } from "../../../event/bounded_cbor.ts";
import { DISPI_REGISTERS, type DispiRegisters } from "../../../display/vga/dispi.ts";

/** Where a card's memory is, as the display adapter tells. */
export interface VgaBody {
  /** QEMU's process. */
  readonly pid: number;
  /** Who made its monitor listen. */
  readonly uid: number;
  /** The memory's address in that process. */
  readonly address: number;
  /** Its bytes. */
  readonly bytes: number;
  /** Whether it is a VGA. */
  readonly vga: boolean;
  /** QEMU's version; "" where it is not told. */
  readonly qemu: string;
}

/**
 * Reads the answer to CMD_DISPLAY vga.
 *
 * @throws {Fault} `protocol-error` when it is something else
 */
export function readVgaPlace(body: Uint8Array): VgaBody {
  const value = decodeBounded(body, EVENT_CBOR);
  const map = typeof value === "object" && value !== null ? value as Record<string, unknown> : {};
  const { pid, uid, address, bytes, vga, qemu } = map;
  const areNumbers = [pid, uid, address, bytes].every((each) => typeof each === "number");
  if (!areNumbers) throw new Fault("protocol-error", "Cannot read where the card's memory is");
  const version = typeof qemu === "string" ? qemu : "";
  return { pid, uid, address, bytes, vga: vga === true, qemu: version } as VgaBody;
}

/** Reads the registers in an answer to CMD_DISPLAY vga; undefined when there are none. */
export function readRegistersBody(body: Uint8Array): DispiRegisters | undefined {
  const value = decodeBounded(body, EVENT_CBOR);
  const list = typeof value === "object" && value !== null
    ? (value as Record<string, unknown>)["registers"]
    : [];
  if (!Array.isArray(list) || list.length !== DISPI_REGISTERS) return undefined;
  return Uint16Array.from(list, (each) => typeof each === "number" ? each : 0);
}
