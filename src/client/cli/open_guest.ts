/**
 * Opens a guest for commands that take ENDPOINT or `pid:N`: its RAM, mapped read-only, and its system. With
 * an endpoint the RAM comes from the daemon (MEMCTX); with a pid from the QEMU process itself, and no daemon
 * is needed.
 * @module
 */
import type { EndpointId } from "../../base/ids.ts";
import { Fault } from "../../base/fault.ts";
import { findersFor } from "../../guest/finders.ts";
import type { FindResult, GuestOs } from "../../guest/guest_os.ts";
import { openTarget } from "../../ram/open_target.ts";
import type { QemuRam } from "../../ram/qemu_ram.ts";
import type { Client } from "../client.ts";
import { GuestView } from "../guest_view.ts";
import type { Call } from "./command.ts";

/** The target of a command. */
export interface OpenGuest extends AsyncDisposable {
  /** For people: "pid:4711", "web". */
  readonly name: string;
  /** The guest's system. */
  readonly os: GuestOs;
  /** How it was opened: a daemon's endpoint, or the QEMU process itself. */
  readonly via:
    | { readonly kind: "daemon"; readonly client: Client; readonly endpoint: EndpointId }
    | { readonly kind: "process"; readonly qemu: QemuRam };
}

/** The pid in `pid:N`; undefined for anything else. */
export function pidOf(ref: string): number | undefined {
  const match = /^pid:([1-9][0-9]{0,6})$/.exec(ref);
  return match === null ? undefined : Number(match[1]);
}

/**
 * Opens a guest.
 *
 * @throws {Fault} `no-endpoint`, `refused`, `seam-down`, `not-supported` (no system that is known runs in it)
 */
export async function openGuest(call: Call, ref: string): Promise<OpenGuest> {
  return /^(pid|file):/.test(ref) ? openHere(ref) : await openThere(call, ref);
}

function openHere(ref: string): OpenGuest {
  if (pidOf(ref) === undefined) {
    throw new Fault("usage", `Cannot look into ${ref}: say an endpoint, or pid:N for a QEMU process`);
  }
  const target = openTarget(ref, findersFor("auto"));
  try {
    const { qemu } = target;
    if (qemu === undefined) throw new Fault("refused", `Cannot look into ${ref}: it is not a QEMU process`);
    const dispose = () => Promise.resolve(target[Symbol.dispose]());
    return {
      name: ref,
      os: systemOf(ref, target.guest),
      via: { kind: "process", qemu },
      [Symbol.asyncDispose]: dispose,
    };
  } catch (error) {
    target[Symbol.dispose]();
    throw error;
  }
}

async function openThere(call: Call, ref: string): Promise<OpenGuest> {
  const client = await call.connect({ sources: ["CORE", "MEMCTX"] });
  try {
    const view = await GuestView.open(client, ref, { signal: call.signal });
    try {
      const name = client.roster.nameOf(view.endpoint);
      const os = systemOf(name, view.guest);
      const dispose = async () => {
        await view[Symbol.asyncDispose]();
        await client.close();
      };
      return {
        name,
        os,
        via: { kind: "daemon", client, endpoint: view.endpoint },
        [Symbol.asyncDispose]: dispose,
      };
    } catch (error) {
      await view[Symbol.asyncDispose]();
      throw error;
    }
  } catch (error) {
    await client.close();
    throw error;
  }
}

function systemOf(name: string, guest: FindResult): GuestOs {
  if (guest.found) return guest.os;
  throw new Fault("not-supported", `Cannot look into ${name}: no system is found in it: ${guest.detail}`);
}
