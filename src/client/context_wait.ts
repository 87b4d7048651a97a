/**
 * Waits for an endpoint's memory context, and fails at once when the daemon has said why there will be none.
 * @module
 */
import { CODE } from "../base/codes.ts";
import { Fault } from "../base/fault.ts";
import { oneLine } from "../base/printable.ts";
import { CAP } from "../event/capability.ts";
import { faultOfCode } from "./command_fault.ts";
import type { EndpointId } from "../base/ids.ts";
import type { Welcome } from "./handshake.ts";
import type { MemoryView } from "./memory_view.ts";
import type { RosterView } from "./roster_view.ts";

/** A context is retained, so it arrives on joining, unless there is none yet, ms. */
export const CONTEXT_WAIT_MS = 3000;
/** Interval at which it is checked whether waiting is pointless, ms. */
export const LOOK_MS = 20;
/** Time allowed for a seam to come up, since the endpoint may have just been attached, ms. */
const SEAM_WAIT_MS = 150;

/** What a client knows about its endpoints and their memory. */
export interface ContextHome {
  /** What the daemon grants. */
  readonly grant: Welcome;
  /** The roster as far as it has arrived. */
  readonly roster: RosterView;
  /** How each VM's memory stands. */
  readonly memory: MemoryView;
}

/**
 * Fails for a control that may not read memory or is not on the VM's host.
 *
 * @throws {Fault} `no-capability`, `not-supported`
 */
export function requireMemory({ grant, roster, memory }: ContextHome, endpoint: EndpointId): void {
  requireHere(memory, roster.nameOf(endpoint));
  if ((grant.caps & CAP.MEMCTX) !== 0) return;
  throw faultOfCode(`examine the memory of ${roster.nameOf(endpoint)}`, CODE["no-capability"]);
}

/**
 * Fails for operations that map the memory of another host's VM, which never leaves that host.
 *
 * @throws {Fault} `not-supported`
 */
export function requireHere(memory: MemoryView, name: string): void {
  if (memory.elsewhere === undefined) return;
  throw new Fault(
    "not-supported",
    `Cannot map the memory of ${name}: it stays on its host; vmsig mem asks there (ps, maps, read, …), or do it on that host`,
  );
}

/** Why no context will come, as far as is known after that time; undefined while one may come. */
export function pointless(home: ContextHome, endpoint: EndpointId, waitedMs: number): Fault | undefined {
  if (home.memory.hasContext(endpoint)) return undefined;
  if (home.memory.trouble(endpoint) !== undefined) return noContext(home, endpoint);
  const entry = home.roster.get(endpoint);
  // A control that may not see the roster does not know the seams.
  if (entry === undefined || entry.state === "attaching" || entry.seams.includes("memctx")) return undefined;
  return waitedMs < SEAM_WAIT_MS ? undefined : noContext(home, endpoint);
}

/** Why there is no context, as far as the daemon has reported. */
export function noContext(home: ContextHome, endpoint: EndpointId): Fault {
  const entry = home.roster.get(endpoint);
  const what = `Cannot examine the memory of ${home.roster.nameOf(endpoint)}`;
  const trouble = home.memory.trouble(endpoint);
  if (trouble !== undefined) {
    const code = trouble.code === "not-supported" ? "not-supported" : "seam-down";
    if (trouble.isOfMonitor) {
      // The event's text has no room for a remedy; the answer to a query has.
      const remedy = `"vmsig vm ${home.roster.nameOf(endpoint)} query" tells what to do`;
      return new Fault("seam-down", `${what}: ${oneLine(trouble.text)}; ${remedy}`);
    }
    const where = entry?.seams.includes("memctx") === true
      ? "the daemon found none that it can read, and its log has the details"
      : `its memory seam is down${unshared(home, entry?.pid ?? 0, trouble.text)}`;
    return new Fault(code, `${what}: ${oneLine(trouble.text)} (${where})`);
  }
  let why = "its memory seam is up, but no known system was found in it (yet): it may still be starting";
  if (entry?.state !== "up") why = `it is ${entry?.state ?? "gone"}`;
  else if (!entry.seams.includes("memctx")) {
    why = "its memory seam is down: vmsig probe says what QEMU needs, the daemon's log what failed";
  }
  return new Fault("seam-down", `${what}: ${why}`);
}

/** RAM that QEMU does not share is still its process's. */
function unshared({ memory }: ContextHome, pid: number, text: string): string {
  if (pid === 0 || memory.elsewhere !== undefined || !text.startsWith("RAM is not shared")) return "";
  return `; root and QEMU's own user can read it as it is: vmsig mem pid:${pid}`;
}
