/**
 * A VM's disks and the snapshots on them, as query-block tells: which disks a snapshot takes in, and what one
 * of the VM can be loaded. QEMU keeps a VM's RAM and devices in one of its qcow2 disks, and stops the VM for
 * good when it is told to load what is not on each disk; so that is looked up before.
 *
 * Format: BlockInfo and SnapshotInfo of QEMU's qapi/block-core.json. Pure.
 * @module
 */
import { CODE, type Code } from "../../base/codes.ts";
import { isObject, type QmpData } from "../../qemu/protocol/qmp_message.ts";

const MAX_DISKS = 256;
const MAX_SNAPSHOTS = 1024;
const MAX_TEXT = 256;
/** What keeps a VM's state in itself. */
const KEEPS_STATE = "qcow2";
/** Formats that have snapshots of their own. */
const KEEPS_SNAPSHOTS: ReadonlySet<string> = new Set([KEEPS_STATE, "rbd"]);
/** Nodes that stand before a disk's own format and keep nothing themselves. */
const FILTERS: ReadonlySet<string> = new Set([
  "throttle",
  "copy-on-read",
  "compress",
  "preallocate",
  "copy-before-write",
]);
/** The flash of a UEFI VM's firmware: `-drive if=pflash`, or `-machine pflash1=NODE`. */
const FLASH = /^(pflash|system\.flash)\d+$/;

/** A disk that the VM writes to. */
export interface Disk {
  /** What a person calls it: its device's name. */
  readonly name: string;
  /** QEMU's name of its image. */
  readonly node: string;
  /** "qcow2", "raw", …. */
  readonly format: string;
  /** Its snapshots by name. */
  readonly snapshots: ReadonlyMap<string, DiskSnapshot>;
}

/** A snapshot on one disk. */
export interface DiskSnapshot {
  /** When it was saved, ms since 1970. */
  readonly savedMs: number;
  /** How long the VM had run by then, ms. */
  readonly clockMs: number;
  /** Bytes of RAM and devices that this disk keeps. */
  readonly stateBytes: number;
}

/** A snapshot of the VM, on one disk or several. */
export interface Snapshot {
  /** Its name, as it was given: outside text. */
  readonly name: string;
  /** When it was saved, ms since 1970. */
  readonly savedMs: number;
  /** How long the VM had run by then, ms. */
  readonly clockMs: number;
  /** Bytes of RAM and devices; 0 for one that has only disks (`qemu-img snapshot`). */
  readonly stateBytes: number;
  /** Disks that lack it. */
  readonly missing: readonly string[];
}

/** Which nodes a command is about; or why it cannot be, in at most some 100 characters. */
export type SnapshotPlan =
  | { readonly vmstate: string; readonly devices: readonly string[] }
  | { readonly refusal: string; readonly code: Code };

/** The disks that the VM writes to, from query-block's answer; undefined for another answer. */
export function readDisks(value: unknown): Disk[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const disks: Disk[] = [];
  for (const info of value.slice(0, MAX_DISKS)) {
    const inserted = isObject(info) ? info["inserted"] : undefined;
    if (!isObject(info) || !isObject(inserted) || inserted["ro"] === true) continue;
    const node = textOf(inserted["node-name"]);
    if (node === "") continue;
    const image = isObject(inserted["image"]) ? inserted["image"] : {};
    disks.push({
      name: textOf(info["device"]) || lastPart(textOf(info["qdev"])) || node,
      node,
      format: textOf(inserted["drv"]) || textOf(image["format"]),
      snapshots: snapshotsOf(image),
    });
  }
  return disks;
}

/** The snapshots of all disks, oldest first. */
export function listSnapshots(disks: readonly Disk[]): Snapshot[] {
  const found = new Map<string, Snapshot>();
  for (const { snapshots } of disks) {
    for (const [name, one] of snapshots) {
      const known = found.get(name);
      if (known === undefined || one.stateBytes > known.stateBytes) {
        const missing = disks.filter((disk) => !disk.snapshots.has(name)).map((disk) => disk.name);
        found.set(name, { name, ...one, missing });
      }
    }
  }
  return [...found.values()].sort((a, b) => a.savedMs - b.savedMs).slice(0, MAX_SNAPSHOTS);
}

/** What a save of a name takes in. */
export function planSave(disks: readonly Disk[], name: string): SnapshotPlan {
  const plain = disks.find(({ format }) => !KEEPS_SNAPSHOTS.has(format));
  if (plain !== undefined) return refused(whyPlain(plain), CODE["not-supported"]);
  const vmstate = disks.find(({ format }) => format === KEEPS_STATE);
  if (vmstate === undefined) {
    return refused(
      "the VM has no writable qcow2 disk to store snapshots in: -drive file=FILE.qcow2",
      CODE["not-supported"],
    );
  }
  if (disks.some(({ snapshots }) => snapshots.has(name))) {
    return refused("a snapshot of that name exists: delete it first, or choose another name");
  }
  return { vmstate: vmstate.node, devices: disks.map(({ node }) => node) };
}

/** What a load of a name takes in, of the VM of that endpoint. */
export function planLoad(disks: readonly Disk[], name: string, endpoint: string): SnapshotPlan {
  const one = listSnapshots(disks).find((snapshot) => snapshot.name === name);
  if (one === undefined) return unknown(endpoint);
  if (one.stateBytes === 0) return refused("it has disks only, not the VM's RAM (made by qemu-img)");
  if (one.missing.length > 0) return refused(`disk ${one.missing[0]} does not have it`);
  const vmstate = disks.find(({ snapshots }) => (snapshots.get(name)?.stateBytes ?? 0) > 0);
  return { vmstate: vmstate?.node ?? "", devices: disks.map(({ node }) => node) };
}

/** What a deletion of a name takes in: each disk that has it, of the VM of that endpoint. */
export function planDelete(disks: readonly Disk[], name: string, endpoint: string): SnapshotPlan {
  const devices = disks.filter(({ snapshots }) => snapshots.has(name)).map(({ node }) => node);
  if (devices.length === 0) return unknown(endpoint);
  return { vmstate: "", devices };
}

function unknown(endpoint: string): SnapshotPlan {
  return refused(`no snapshot has that name: see "vmsig vm ${endpoint} snapshots"`);
}

/** Why a disk keeps no snapshots, with what to do about it. */
function whyPlain({ name, format }: Disk): string {
  if (FILTERS.has(format)) {
    const remedy = format === "throttle"
      ? "limit it by throttling.* of -drive instead, or block_set_io_throttle"
      : "give the VM the qcow2 disk without it";
    return `disk ${name} is behind a ${format} filter: ${remedy}`;
  }
  if (FLASH.test(name)) {
    return `the firmware's variables (${name}, ${
      format || "?"
    }) store no snapshots: qemu-img convert -O qcow2, ` +
      "and format=qcow2";
  }
  return `disk ${name} (${format || "?"}) stores no snapshots: make it qcow2 (qemu-img convert -O qcow2)`;
}

function snapshotsOf(image: QmpData): ReadonlyMap<string, DiskSnapshot> {
  const list = image["snapshots"];
  const found = new Map<string, DiskSnapshot>();
  if (!Array.isArray(list)) return found;
  for (const one of list.slice(0, MAX_SNAPSHOTS)) {
    if (!isObject(one) || typeof one["name"] !== "string" || one["name"] === "") continue;
    // A name that was cut would be another one.
    if (one["name"].length > MAX_TEXT) continue;
    found.set(one["name"], {
      savedMs: countOf(one["date-sec"]) * 1000 + Math.floor(countOf(one["date-nsec"]) / 1e6),
      clockMs: countOf(one["vm-clock-sec"]) * 1000 + Math.floor(countOf(one["vm-clock-nsec"]) / 1e6),
      stateBytes: countOf(one["vm-state-size"]),
    });
  }
  return found;
}

function refused(refusal: string, code: Code = CODE["bad-argument"]): SnapshotPlan {
  return { refusal, code };
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value.slice(0, MAX_TEXT) : "";
}

/** "/machine/peripheral/disk0/virtio-backend" is "disk0". */
function lastPart(path: string): string {
  return path.replace(/\/virtio-backend$/, "").split("/").at(-1) ?? "";
}

// A sum of two such numbers times a thousand is still exact.
const MOST = 8e12;

function countOf(value: unknown): number {
  return typeof value === "number" && value >= 0 && value <= MOST ? Math.floor(value) : 0;
}
