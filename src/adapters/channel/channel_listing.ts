/**
 * A VM's byte channels as QEMU tells of them: what `query-chardev` says of its character devices, joined with
 * the guest's devices that are behind them, out of QEMU's object tree. The command line is not asked: it says
 * nothing of what was plugged later, and a process could make reading it slow. (`info qtree` would be one
 * question, but leaves out the character devices of ISA and PCI serial ports.)
 *
 * All of it is outside data: whatever does not look right is left out, and at most {@linkcode MAX_CHANNELS}
 * are told.
 * @module
 */
import { isObject } from "../../qemu/protocol/qmp_message.ts";

/** Channels of one VM that are told apart. */
export const MAX_CHANNELS = 32;
/** Children of one folder that are looked at: a machine has some hundred. */
const MAX_CHILDREN = 4096;
const MAX_LABEL = 64;

/** Where the host's end of a channel is. */
export type ChannelPlace =
  /** QEMU listens on a unix socket and serves one client. */
  | { readonly kind: "unix"; readonly path: string; readonly isFree: boolean }
  /** A terminal of the host's: `/dev/pts/N`. */
  | { readonly kind: "pty"; readonly path: string }
  /** Anything else: why it cannot be used. */
  | { readonly kind: "other"; readonly why: string };

/** What the guest sees at its end. */
export type ChannelRole = "serial" | "virtio-console" | "virtio-port";

/** One channel. */
export interface Channel {
  /** QEMU's name for its character device: "serial0", "charserial0". */
  readonly label: string;
  /** What the guest has there. */
  readonly role: ChannelRole;
  /** The name of a virtio port: "org.qemu.guest_agent.0"; "" of anything else. */
  readonly portName: string;
  /** Whether something in the guest has opened it; true of a serial port, which cannot tell. */
  readonly isGuestOpen: boolean;
  /** Whether QEMU tells by VSERPORT_CHANGE when that changes: only of a port whose device has an id. */
  readonly isTold: boolean;
  /** Where the host's end is. */
  readonly place: ChannelPlace;
}

/** Device of the guest to what a channel behind it is. Monitors, parallel ports and sensors are not here. */
const ROLE_OF_DEVICE: ReadonlyMap<string, ChannelRole> = new Map([
  ["isa-serial", "serial"],
  ["pci-serial", "serial"],
  ["usb-serial", "serial"],
  ["pl011", "serial"],
  ["serial-mm", "serial"],
  ["sclpconsole", "serial"],
  ["virtconsole", "virtio-console"],
  ["virtserialport", "virtio-port"],
]);

/** Where QEMU keeps devices: its own, those with an id, those without. */
export const DEVICE_FOLDERS: readonly string[] = [
  "/machine/unattached",
  "/machine/peripheral",
  "/machine/peripheral-anon",
];

/** A device of the guest with a channel behind it. */
export interface ChannelDevice {
  /** Its place in QEMU's object tree. */
  readonly path: string;
  /** What it is. */
  readonly role: ChannelRole;
}

/** A device with the answers to what was asked of it. */
export interface AskedDevice extends ChannelDevice {
  /** Its `chardev`: a label, "" for none. */
  readonly chardev: unknown;
  /** Of a virtio port its `name`. */
  readonly portName: unknown;
}

/**
 * The devices with a channel in one folder, in its order.
 *
 * @param folder one of {@linkcode DEVICE_FOLDERS}
 * @param children what `qom-list` returned of it
 */
export function channelDevices(folder: string, children: unknown): ChannelDevice[] {
  if (!Array.isArray(children)) return [];
  const devices: ChannelDevice[] = [];
  for (const child of children.slice(0, MAX_CHILDREN)) {
    if (!isObject(child)) continue;
    const { name, type } = child as Record<string, unknown>;
    if (typeof name !== "string" || typeof type !== "string" || name.length > 256) continue;
    const role = ROLE_OF_DEVICE.get(/^child<([\w.,+-]{1,64})>$/.exec(type)?.[1] ?? "");
    if (role !== undefined) devices.push({ path: `${folder}/${name}`, role });
    if (devices.length === MAX_CHANNELS) break;
  }
  return devices;
}

/**
 * The channels of a VM: serial ports first, then virtio consoles, then virtio ports.
 *
 * @param chardevs what `query-chardev` returned
 * @param devices the guest's devices
 */
export function readChannels(chardevs: unknown, devices: readonly AskedDevice[]): Channel[] {
  const known = chardevsByLabel(chardevs);
  const channels: Channel[] = [];
  for (const { path, role, chardev, portName } of devices) {
    if (typeof chardev !== "string") continue;
    const facts = known.get(chardev);
    if (facts === undefined || channels.some(({ label }) => label === chardev)) continue;
    const name = role === "virtio-port" && typeof portName === "string" ? portName.slice(0, 128) : "";
    const isTold = role === "virtio-port" && path.startsWith("/machine/peripheral/");
    channels.push({ label: chardev, role, portName: name, isTold, ...facts });
    if (channels.length === MAX_CHANNELS) break;
  }
  return channels.sort((a, b) => RANK[a.role] - RANK[b.role]);
}

const RANK: Readonly<Record<ChannelRole, number>> = { "serial": 0, "virtio-console": 1, "virtio-port": 2 };

type ChardevFacts = Pick<Channel, "isGuestOpen" | "place">;

function chardevsByLabel(value: unknown): Map<string, ChardevFacts> {
  const known = new Map<string, ChardevFacts>();
  if (!Array.isArray(value)) return known;
  for (const each of value.slice(0, 256)) {
    if (!isObject(each)) continue;
    const { label, filename, "frontend-open": open } = each as Record<string, unknown>;
    if (typeof label !== "string" || label === "" || label.length > MAX_LABEL) continue;
    if (typeof filename !== "string" || filename.length > 1024) continue;
    known.set(label, { isGuestOpen: open === true, place: placeOf(filename) });
  }
  return known;
}

/**
 * Where `filename` of query-chardev says that the host's end is: "disconnected:unix:/run/vm,server=on",
 * "pty:/dev/pts/3". The path is as QEMU was given it, commas and all.
 */
function placeOf(filename: string): ChannelPlace {
  const isFree = filename.startsWith("disconnected:");
  const place = isFree ? filename.slice("disconnected:".length) : filename;
  const unix = /^unix:(\/[^\0]{0,107}?),server(?:=on)?$/.exec(place);
  if (unix !== null) return { kind: "unix", path: unix[1] as string, isFree };
  const pty = /^pty:(\/dev\/pts\/\d{1,9})$/.exec(place);
  if (pty !== null) return { kind: "pty", path: pty[1] as string };
  if (/^unix:(?:$|\/)/.test(place)) {
    return { kind: "other", why: "QEMU connects to a socket there, and does not listen" };
  }
  const type = /^[\w-]{1,16}/.exec(place)?.[0] ?? "unknown";
  return { kind: "other", why: `its other end is in QEMU itself or elsewhere (${type})` };
}
