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
  /** Whether it is the console of which QEMU makes a screendump that names no device. */
  readonly isFirst: boolean;
}

/** Heads by number; undefined: its device was removed, and no other has its number. */
export type HeadPlaces = readonly (DisplayHead | undefined)[];

/** What is known of a VM's displays. */
export interface DisplayFacts {
  /** Its heads by number: at first in the order of QEMU's consoles. */
  readonly heads: HeadPlaces;
  /** Whether a VNC server runs in it. */
  readonly hasVnc: boolean;
  /** Whether it was started with a D-Bus display that takes peers. */
  readonly hasDbus: boolean;
}

/** Consoles that are looked at: text consoles are among them. */
const MAX_CONSOLES = 64;
/** The upper byte of PCI's class of display controllers. */
const DISPLAY_CLASS = 3;
/** PCI bridges behind each other that are looked behind. */
const MAX_BRIDGES = 8;
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
 * @param isFirst whether it is QEMU's first console
 * @returns undefined when the console shows no device's picture
 */
export function headOf(device: unknown, head: unknown, isFirst: boolean): DisplayHead | undefined {
  if (typeof device !== "string" || device === "" || device.length > 256) return undefined;
  const deviceHead = typeof head === "number" && Number.isInteger(head) && head >= 0 && head < MAX_HEADS
    ? head
    : 0;
  const id = device.startsWith(PERIPHERAL) ? device.slice(PERIPHERAL.length) : "";
  return { device: id.includes("/") ? "" : id, path: device, deviceHead, isFirst };
}

/**
 * Displays that were plugged in at run time, out of the answer of `query-pci`: QEMU (7.2 to 11) lists only
 * those consoles in /backend that were there when it started. What can be plugged in has one head.
 *
 * @param known the heads that /backend tells of; they are left out
 * @returns at most MAX_HEADS of them; whether each has a picture is told by {@linkcode showsPicture}
 */
export function pluggedDevices(value: unknown, known: readonly DisplayHead[]): DisplayHead[] {
  const heads: DisplayHead[] = [];
  for (const bus of Array.isArray(value) ? value : []) collectPlugged(bus, heads, 0);
  return heads.filter(({ path }) => !known.some((head) => head.path === path));
}

function collectPlugged(bus: unknown, heads: DisplayHead[], depth: number): void {
  const devices = isObject(bus) ? bus["devices"] : undefined;
  if (!Array.isArray(devices)) return;
  for (const device of devices) {
    if (!isObject(device) || heads.length === MAX_HEADS) continue;
    const { qdev_id: id, class_info: info, pci_bridge: bridge } = device;
    const code = isObject(info) ? info["class"] : undefined;
    const isDisplay = typeof code === "number" && code >> 8 === DISPLAY_CLASS;
    if (isDisplay && typeof id === "string" && /^[^/]{1,128}$/.test(id)) {
      heads.push({ device: id, path: PERIPHERAL + id, deviceHead: 0, isFirst: false });
    }
    if (depth < MAX_BRIDGES) collectPlugged(bridge, heads, depth + 1);
  }
}

/**
 * Whether a display device that was plugged in has a console, by the name of its type: a host's own card has
 * none.
 */
export function showsPicture(type: unknown): boolean {
  return typeof type === "string" && !type.includes("vfio");
}

/** Whether `query-vnc` tells of a server. */
export function hasVnc(value: unknown): boolean {
  return isObject(value) && value["enabled"] === true;
}

/** Whether `query-display-options` tells of a D-Bus display that peers are handed to. */
export function hasDbus(value: unknown): boolean {
  return isObject(value) && value["type"] === "dbus" && value["p2p"] === true;
}
