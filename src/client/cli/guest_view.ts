/**
 * A guest to look into, for commands that take ENDPOINT or `pid:N`: its RAM, mapped read-only, and its system. With an endpoint the RAM comes
 * from the daemon (MEMCTX), with a pid from the QEMU process itself, and no daemon is needed.
 * @module
 */
import { openEndpointRam } from "../../controls/perception/endpoint_ram.ts";
import { findSystem } from "../../controls/perception/find_system.ts";
import { Fault } from "../../base/fault.ts";
import type { GuestOs } from "../../guest/guest_os.ts";
import type { PhysicalMemory } from "../../guest/physical_memory.ts";
import { openQemuRam } from "../../ram/qemu_ram.ts";
import type { Client } from "../client.ts";
import { memorySegments } from "../describe_event.ts";
import type { Call } from "./command.ts";

/** What a command reads from. */
export interface GuestView extends AsyncDisposable {
  /** For people: "pid 4711", "web". */
  readonly name: string;
  /** The QEMU process, when it was named by its pid. */
  readonly pid: number | undefined;
  /** The guest's RAM. */
  readonly memory: PhysicalMemory;
  /** The guest's system. */
  readonly os: GuestOs;
  /** The connection, when an endpoint was named, and its number. */
  readonly via: { readonly client: Client; readonly endpoint: number } | undefined;
}

/** The pid in `pid:N`; undefined for anything else. */
export function pidOf(ref: string): number | undefined {
  const match = /^pid:([1-9][0-9]{0,9})$/.exec(ref);
  return match === null ? undefined : Number(match[1]);
}

/**
 * Opens a guest.
 *
 * @throws {Fault} `no-endpoint`, `refused`, `not-supported` (no system that is known runs in it)
 */
export async function openGuestView(call: Call, ref: string): Promise<GuestView> {
  const pid = pidOf(ref);
  if (pid !== undefined) {
    const ram = openQemuRam(pid);
    const dispose = () => Promise.resolve(ram[Symbol.dispose]());
    return view(`pid ${pid}`, pid, ram.memory, undefined, dispose);
  }
  const client = await call.connect({ sources: ["CORE", "MEMCTX"] });
  try {
    const endpoint = await client.endpoint(ref);
    const name = client.roster.nameOf(endpoint);
    using event = await context(client, endpoint, name, call.signal);
    const memory = openEndpointRam(`RAM of ${name}`, memorySegments(event), event.takeFds());
    return await view(name, undefined, memory, { client, endpoint }, async () => {
      memory[Symbol.dispose]();
      await client.close();
    });
  } catch (error) {
    await client.close();
    throw error;
  }
}

async function context(client: Client, endpoint: number, name: string, signal: AbortSignal) {
  try {
    return await client.next({ kinds: ["MEMCTX"], endpoints: [endpoint] }, { timeoutMs: 3000, signal });
  } catch (error) {
    if (!(error instanceof Fault) || error.code !== "timed-out") throw error;
    throw new Fault(
      "seam-down",
      `Cannot look into ${name}: its memory seam is not up (no shared memory backend, no known system in it yet, or a grant without MEMCTX); see vmsig probe`,
      { cause: error },
    );
  }
}

async function view(
  name: string,
  pid: number | undefined,
  memory: PhysicalMemory,
  via: GuestView["via"],
  dispose: () => Promise<void>,
): Promise<GuestView> {
  try {
    memory.refresh();
    const found = findSystem(memory);
    if (!found.found) throw new Fault("not-supported", `Cannot look into ${name}: ${found.detail}`);
    return { name, pid, memory, os: found.os, via, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}
