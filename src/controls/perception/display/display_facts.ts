/**
 * What an endpoint's display adapter tells of its displays (DISPLAY, as the answer to CMD_DISPLAY heads),
 * checked. The daemon is trusted; that a version of it says something else is found out here.
 * @module
 */
import { Fault } from "../../../base/fault.ts";
import { MAX_HEADS } from "../../../base/limits.ts";
import { decodeBounded, EVENT_CBOR } from "../../../event/bounded_cbor.ts";

/** What may be used. */
export interface ViewFacts {
  /** What the config says: "auto", or one way to read displays. */
  readonly display: string;
  /** Device ids by head; "" for one that has none; undefined: the head's device was removed. */
  readonly heads: readonly (string | undefined)[];
  /** Whether a VNC server runs in QEMU. */
  readonly hasVnc: boolean;
  /** Whether QEMU has a D-Bus display that takes peers. */
  readonly hasDbus: boolean;
  /** QEMU's process, 0 when it is not known. */
  readonly pid: number;
}

/** Why a head whose device was removed shows nothing. */
export const REMOVED = "its device was removed";

/** Why a head beyond the last one shows nothing. */
export function headsText(count: number): string {
  return `the VM has ${count} ${count === 1 ? "head" : "heads"}`;
}

/**
 * Reads it.
 *
 * @throws {Fault} `protocol-error` when it is something else
 */
export function readViewFacts(body: Uint8Array): ViewFacts {
  const value = decodeBounded(body, EVENT_CBOR);
  if (!isMap(value) || !Array.isArray(value["heads"])) {
    throw new Fault("protocol-error", "Cannot read the daemon's description of a display: it has no heads");
  }
  const heads = value["heads"].slice(0, MAX_HEADS).map((head: unknown) => {
    const { device, removed } = isMap(head) ? head : {};
    if (removed === true) return undefined;
    return typeof device === "string" ? device : "";
  });
  const { display, vnc, dbus, pid } = value;
  return {
    display: typeof display === "string" ? display : "auto",
    heads,
    hasVnc: vnc === true,
    hasDbus: dbus === true,
    pid: typeof pid === "number" ? pid : 0,
  };
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
