/**
 * What a QEMU's command line says of the ends that a person or a program may open beside its monitor:
 * display servers, consoles, the guest agent's channel. All of it is outside text: bounded here, escaped
 * where it is shown.
 * @module
 */
import { type CommandLine, isOn, type Properties } from "../qemu/command_line.ts";

const MAX_PORTS = 16;
const MAX_TEXT = 160;
const AGENT = "org.qemu.guest_agent.0";

/** The ends. */
export interface VmPorts {
  /** Display servers: "vnc unix:/run/web.vnc", "spice", "dbus". */
  readonly viewers: readonly string[];
  /** Consoles: "serial unix:/run/web.serial", "virtconsole pty". */
  readonly consoles: readonly string[];
  /** Where the guest agent's channel ends on the host: "unix:/run/web.qga"; "" when there is none. */
  readonly agent: string;
}

/** Reads them. */
export function readPorts(line: CommandLine): VmPorts {
  const chardevs = new Map<string, Properties>();
  for (const chardev of line.lists("chardev", "backend")) {
    const id = chardev.get("id");
    if (id !== undefined && !chardevs.has(id)) chardevs.set(id, chardev);
  }
  const consoles: string[] = [];
  for (const text of line.texts("serial")) {
    if (text === "none" || text === "null") continue;
    const id = text.startsWith("chardev:") ? text.slice("chardev:".length) : undefined;
    consoles.push(`serial ${id === undefined ? text.split(",")[0] : placeOf(chardevs.get(id))}`);
  }
  let agent = "";
  for (const device of line.lists("device", "driver")) {
    const driver = device.get("driver") ?? "";
    const chardev = device.get("chardev");
    if (chardev === undefined) continue;
    if (/^(?:isa|pci|usb)-serial$|^pl011$|^sclpconsole$/.test(driver)) {
      consoles.push(`serial ${placeOf(chardevs.get(chardev))}`);
    } else if (driver === "virtconsole") consoles.push(`virtconsole ${placeOf(chardevs.get(chardev))}`);
    else if (device.get("name") === AGENT) agent = placeOf(chardevs.get(chardev));
  }
  return { viewers: bounded(viewersOf(line)), consoles: bounded(consoles), agent: agent.slice(0, MAX_TEXT) };
}

function viewersOf(line: CommandLine): string[] {
  const viewers = line.texts("vnc").filter((text) => text !== "none").map((text) => {
    const where = line.take(text, "vnc").get("vnc") ?? "";
    return `vnc ${where}`;
  });
  for (const spice of line.lists("spice", "port")) {
    const path = spice.get("addr");
    viewers.push(isOn(spice.get("unix")) && path !== undefined ? `spice unix:${path}` : "spice");
  }
  if (line.lists("display", "type").at(-1)?.get("type") === "dbus") viewers.push("dbus");
  return viewers;
}

/** Where a character device ends. */
function placeOf(chardev: Properties | undefined): string {
  if (chardev === undefined) return "?";
  const path = chardev.get("path");
  const backend = chardev.get("backend") ?? "?";
  if (backend !== "socket") return path === undefined ? backend : `${backend}:${path}`;
  if (path !== undefined) return `${isOn(chardev.get("abstract")) ? "abstract" : "unix"}:${path}`;
  return chardev.has("fd") ? "a socket by descriptor" : `tcp:${chardev.get("host") ?? ""}`;
}

function bounded(texts: readonly string[]): string[] {
  return texts.slice(0, MAX_PORTS).map((text) => text.slice(0, MAX_TEXT));
}
