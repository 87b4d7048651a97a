/**
 * The monitors that a QEMU's command line offers on unix sockets: `-qmp unix:PATH`, `-qmp chardev:ID`, and
 * `-mon mode=control` with a `-chardev socket`.
 * @module
 */
import { MAX_QEMU_MONITORS } from "../base/limits.ts";
import { type CommandLine, isOn, type Properties } from "./command_line.ts";

/** A QMP socket that a VM offers. */
export interface QmpOffer {
  /** Path of the unix socket, as given. */
  readonly path: string;
  /** Whether QEMU listens there (rather than connects to it). */
  readonly listens: boolean;
}

/** The QMP sockets; those of -qmp first, then those of -mon. */
export function qmpOffersOf(line: CommandLine): QmpOffer[] {
  const chardevs = new Map<string, Properties>();
  for (const chardev of line.lists("chardev", "backend")) {
    const id = chardev.get("id");
    if (id !== undefined && !chardevs.has(id)) chardevs.set(id, chardev);
  }
  const offers: QmpOffer[] = [];
  const offer = (socket: Properties | undefined): void => {
    const path = socket?.get("path");
    if (socket === undefined || path === undefined || offers.length === MAX_QEMU_MONITORS) return;
    // An abstract socket has no path, and thus no permissions.
    if (isOn(socket.get("abstract"))) return;
    offers.push({ path, listens: isOn(socket.get("server")) });
  };
  for (const text of [...line.texts("qmp"), ...line.texts("qmp-pretty")]) {
    if (text.startsWith("unix:")) offer(line.take(text.slice("unix:".length), "path"));
    else if (text.startsWith("chardev:")) offer(socketOf(chardevs, text.slice("chardev:".length)));
  }
  for (const monitor of line.lists("mon", "chardev")) {
    if (monitor.get("mode") === "control") offer(socketOf(chardevs, monitor.get("chardev")));
  }
  return offers;
}

function socketOf(chardevs: ReadonlyMap<string, Properties>, id: string | undefined): Properties | undefined {
  const chardev = chardevs.get(id ?? "");
  return chardev?.get("backend") === "socket" ? chardev : undefined;
}

/** Whether a monitor is an inherited descriptor: then only the process that started the VM can use it. */
export function hasMonitorByDescriptor(line: CommandLine): boolean {
  if ([...line.texts("qmp"), ...line.texts("qmp-pretty")].some((text) => /^unix:fd=/.test(text))) return true;
  const control = line.lists("mon", "chardev").filter((monitor) => monitor.get("mode") === "control");
  return line.lists("chardev", "backend").some((chardev) =>
    chardev.get("backend") === "socket" && chardev.has("fd") &&
    control.some((monitor) => monitor.get("chardev") === chardev.get("id"))
  );
}
