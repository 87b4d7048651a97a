/**
 * The monitors that a QEMU's command line offers on unix sockets: `-qmp unix:PATH`, `-qmp chardev:ID`, and
 * `-mon mode=control` with a `-chardev socket`.
 * @module
 */
import { MAX_QEMU_MONITORS } from "../base/limits.ts";
import { type CommandLine, isOn, type Properties } from "./command_line.ts";
import { readQmpAddress } from "./qmp_address.ts";

/** A QMP socket that a VM offers. */
export interface QmpOffer {
  /** Path of the unix socket, as given. */
  readonly path: string;
  /** Whether QEMU listens there (rather than connects to it). */
  readonly listens: boolean;
  /** True if it connects, and again whenever the connection ends; omitted otherwise. */
  readonly reconnects?: true;
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
    const listens = isOn(socket.get("server"));
    offers.push({ path, listens, ...!listens && isReconnecting(socket) ? { reconnects: true } : {} });
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

/** The key is in seconds, and in ms from QEMU 9.2 on. */
function isReconnecting(socket: Properties): boolean {
  return [socket.get("reconnect"), socket.get("reconnect-ms")].some((pause) => Number(pause ?? 0) > 0);
}

function socketOf(chardevs: ReadonlyMap<string, Properties>, id: string | undefined): Properties | undefined {
  const chardev = chardevs.get(id ?? "");
  return chardev?.get("backend") === "socket" ? chardev : undefined;
}

/**
 * Where the first monitor over TCP that QEMU listens on is: "tcp:127.0.0.1:4444"; "" without one. Where it
 * listens on every address, that of this host itself. Only an address that the config accepts: what is
 * advised can be done, and shows nothing that a command line makes up.
 */
export function tcpMonitorOf(line: CommandLine): string {
  const chardevs = line.lists("chardev", "backend");
  const control = line.lists("mon", "chardev").filter((monitor) => monitor.get("mode") === "control")
    .map((monitor) => `chardev:${monitor.get("chardev") ?? ""}`);
  for (const text of [...line.texts("qmp"), ...line.texts("qmp-pretty"), ...control]) {
    const socket = text.startsWith("tcp:")
      ? line.take(text.slice("tcp:".length), "address")
      : chardevs.find((each) =>
        text === `chardev:${each.get("id") ?? ""}` && each.get("backend") === "socket"
      );
    if (socket === undefined || !isOn(socket.get("server"))) continue;
    const found = /^(.*):(\d{1,5})$/.exec(
      socket.get("address") ?? `${socket.get("host")}:${socket.get("port")}`,
    );
    const host = found?.[1] ?? "";
    if (found === null) continue;
    const isAny = host === "" || host === "0.0.0.0" || host === "::" || host === "[::]";
    const address = `tcp:${isAny ? "127.0.0.1" : host}:${found[2]}`;
    if (readQmpAddress(address, []).kind === "tcp") return address;
  }
  return "";
}

/**
 * Whether a monitor was given by a descriptor, or is QEMU's standard input: whoever has started the VM has
 * it, and nobody else can.
 */
export function hasMonitorByDescriptor(line: CommandLine): boolean {
  if ([...line.texts("qmp"), ...line.texts("qmp-pretty")].some((text) => /^(?:unix:fd=|stdio$)/.test(text))) {
    return true;
  }
  const control = line.lists("mon", "chardev").filter((monitor) => monitor.get("mode") === "control");
  return line.lists("chardev", "backend").some((chardev) =>
    chardev.get("backend") === "socket" && chardev.has("fd") &&
    control.some((monitor) => monitor.get("chardev") === chardev.get("id"))
  );
}
