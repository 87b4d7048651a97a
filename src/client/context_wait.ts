/**
 * Waiting for an endpoint's memory context, and knowing when that is pointless: what the daemon has said of
 * the cause is told at once.
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

/** A context is retained: it comes with the join, unless there is none (yet). */
export const CONTEXT_WAIT_MS = 3000;
/** How often it is looked whether waiting has become pointless. */
export const LOOK_MS = 20;
/** A seam that is not up is given this long: the endpoint may have been attached right now. */
const SEAM_WAIT_MS = 150;

/** What is known of endpoints and their memory: a client. */
export interface ContextHome {
  /** What the daemon grants. */
  readonly grant: Welcome;
  /** The roster as far as it has arrived. */
  readonly roster: RosterView;
  /** How each VM's memory stands. */
  readonly memory: MemoryView;
}

/**
 * Refuses who may not read memory, or is not on its host.
 *
 * @throws {Fault} `no-capability`, `not-supported`
 */
export function requireMemory({ grant, roster, memory }: ContextHome, endpoint: EndpointId): void {
  requireHere(memory, roster.nameOf(endpoint));
  if ((grant.caps & CAP.MEMCTX) !== 0) return;
  throw faultOfCode(`examine the memory of ${roster.nameOf(endpoint)}`, CODE["no-capability"]);
}

/**
 * Refuses what maps the memory of another host's VM: it never leaves that host.
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

/** Why no context will come, as far as it is known after so long; undefined while one may. */
export function pointless(home: ContextHome, endpoint: EndpointId, waitedMs: number): Fault | undefined {
  if (home.memory.hasContext(endpoint)) return undefined;
  if (home.memory.trouble(endpoint) !== undefined) return noContext(home, endpoint);
  const entry = home.roster.get(endpoint);
  // Who may not see the roster knows of no seams.
  if (entry === undefined || entry.state === "attaching" || entry.seams.includes("memctx")) return undefined;
  return waitedMs < SEAM_WAIT_MS ? undefined : noContext(home, endpoint);
}

/** Why there is no context, as far as the daemon has told. */
export function noContext(home: ContextHome, endpoint: EndpointId): Fault {
  const entry = home.roster.get(endpoint);
  const what = `Cannot examine the memory of ${home.roster.nameOf(endpoint)}`;
  const trouble = home.memory.trouble(endpoint);
  if (trouble !== undefined) {
    const code = trouble.code === "not-supported" ? "not-supported" : "seam-down";
    if (trouble.isOfMonitor) return new Fault("seam-down", `${what}: ${oneLine(trouble.text)}`);
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
