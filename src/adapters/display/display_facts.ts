/**
 * What a VM's monitor says of its displays: the consoles that show a device's picture, and the servers that
 * QEMU runs for viewers. Answers of QMP in, a bounded table out; what does not look right is left out.
 * @module
 */
import { MAX_HEADS } from "../../base/limits.ts";
import { isObject } from "../../qemu/protocol/qmp_message.ts";

/** One head of a VM's display. */
export interface DisplayHead {
  /** The device's id, "" for one that has none: a screendump then names no device. */
  readonly device: string;
  /** The device's QOM path. */
  readonly path: string;
  /** Which of the device's heads. */
  readonly deviceHead: number;
}

/** What is known of a VM's displays. */
export interface DisplayFacts {
  /** Its heads, in the order of QEMU's consoles. */
  readonly heads: readonly DisplayHead[];
  /** Whether a VNC server runs in it. */
  readonly hasVnc: boolean;
  /** Whether it was started with a D-Bus display that takes peers. */
  readonly hasDbus: boolean;
}

/** Consoles that are looked at: text consoles are among them. */
const MAX_CONSOLES = 64;
const PERIPHERAL = "/machine/peripheral/";

/** The consoles' QOM paths in the answer of `qom-list /backend`, in their order. */
export function consolePaths(value: unknown): string[] {
  if (!Array.isArray(value)) return [];
  const numbers: number[] = [];
  for (const entry of value) {
    const name = isObject(entry) ? entry["name"] : undefined;
    const match = typeof name === "string" ? /^console\[(\d{1,4})\]$/.exec(name) : null;
    if (match !== null && numbers.length < MAX_CONSOLES) numbers.push(Number(match[1]));
  }
  return numbers.sort((a, b) => a - b).map((n) => `/backend/console[${n}]`);
}

/**
 * A head out of a console's properties.
 *
 * @param device its `device`: a QOM path, "" for a text console
 * @param head its `head`
 * @returns undefined when the console shows no device's picture
 */
export function headOf(device: unknown, head: unknown): DisplayHead | undefined {
  if (typeof device !== "string" || device === "" || device.length > 256) return undefined;
  const deviceHead = typeof head === "number" && Number.isInteger(head) && head >= 0 && head < MAX_HEADS
    ? head
    : 0;
  const id = device.startsWith(PERIPHERAL) ? device.slice(PERIPHERAL.length) : "";
  return { device: id.includes("/") ? "" : id, path: device, deviceHead };
}

/** Whether `query-vnc` tells of a server. */
export function hasVnc(value: unknown): boolean {
  return isObject(value) && value["enabled"] === true;
}

/** Whether `query-display-options` tells of a D-Bus display that peers are handed to. */
export function hasDbus(value: unknown): boolean {
  return isObject(value) && value["type"] === "dbus" && value["p2p"] === true;
}
