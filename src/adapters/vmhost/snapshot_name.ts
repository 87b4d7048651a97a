/**
 * Names of snapshots as controls send them. QEMU takes nearly anything; a new one is kept to what every tool
 * can show and name again: qemu-img takes digits alone for a snapshot's number.
 * @module
 */
import { printable } from "../../base/printable.ts";
import { MAX_SNAPSHOT_NAME } from "../../event/kinds/vm_kinds.ts";

/** The name, or what is wrong with it. */
export type SnapshotName = { readonly name: string } | { readonly refusal: string };

/**
 * Reads a name.
 *
 * @param bytes UTF-8
 * @param isNew whether it is given now; one that is there already may be of another tool
 */
export function readSnapshotName(bytes: Uint8Array, isNew: boolean): SnapshotName {
  let name: string;
  try {
    name = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    // What a control sends need not be text.
    return { refusal: "a snapshot's name must be UTF-8" };
  }
  if (name === "" || bytes.length > MAX_SNAPSHOT_NAME || name.includes("\0")) {
    return { refusal: `a snapshot's name must have 1 to ${MAX_SNAPSHOT_NAME} bytes` };
  }
  if (!isNew) return { name };
  if (printable(name) !== name) {
    return { refusal: "a snapshot's name must have printable characters only, and no backslash" };
  }
  if (name.trim() !== name) return { refusal: "a snapshot's name must not begin or end with a space" };
  if (/^\d+$/.test(name)) {
    return { refusal: "a snapshot's name must not be digits only: qemu-img takes them as its number" };
  }
  return { name };
}
