/**
 * QEMU's process of a domain: libvirt's RPC does not tell it, and libvirtd keeps it in a file beside its own
 * sockets, which is its own user's. What the file says is believed as far as /proc confirms it.
 * @module
 */
import { isQemuProgram } from "../../qemu/program.ts";
import type { QmpPeer } from "../../qemu/monitor/qmp_transport.ts";

/** Characters of the file that are looked at. */
const MOST = 32;

/** Where the socket of a container's libvirt is reached from here: below the root of one of its processes. */
const OTHER_ROOT = /^\/proc\/([1-9][0-9]{0,8})\/root\//;

/**
 * A domain's process, and who runs it; undefined when that is not to be had.
 *
 * @param socket libvirtd's
 * @param name the domain's
 */
export function domainProcess(socket: string, name: string): QmpPeer | undefined {
  // A name with a slash would name a file elsewhere; libvirt refuses such names itself.
  if (name.includes("/") || name.includes("\0")) return undefined;
  const folder = socket.slice(0, Math.max(socket.lastIndexOf("/"), 0));
  // As root's libvirtd has it, and as a user's.
  for (const path of [`${folder}/qemu/${name}.pid`, `${folder}/qemu/run/${name}.pid`]) {
    const told = readPid(path);
    if (told === 0) continue;
    try {
      const inside = OTHER_ROOT.exec(socket)?.[1];
      const pid = inside === undefined ? told : pidFromInside(inside, told);
      if (pid === undefined) continue;
      if (!isQemuProgram(Deno.readLinkSync(`/proc/${pid}/exe`))) continue;
      const { uid } = Deno.statSync(`/proc/${pid}`);
      return { pid, uid: uid ?? -1 };
    } catch (error) {
      // Gone meanwhile, or not ours to look at.
      if (!(error instanceof Error)) throw error;
    }
  }
  return undefined;
}

/**
 * The number here of a process that has another one in its container; undefined when there is none.
 *
 * @param member a process of the container
 * @param told the number that the container has for it
 */
function pidFromInside(member: string, told: number): number | undefined {
  const space = Deno.readLinkSync(`/proc/${member}/ns/pid`);
  if (space === Deno.readLinkSync("/proc/self/ns/pid")) return told;
  for (const { name } of Deno.readDirSync("/proc")) {
    if (!/^[1-9][0-9]*$/.test(name)) continue;
    try {
      if (Deno.readLinkSync(`/proc/${name}/ns/pid`) !== space) continue;
      const status = Deno.readTextFileSync(`/proc/${name}/status`);
      if (/^NSpid:.*\t(\d+)$/m.exec(status)?.[1] === `${told}`) return Number(name);
    } catch (error) {
      // Gone meanwhile, or not ours to look at.
      if (!(error instanceof Error)) throw error;
    }
  }
  return undefined;
}

function readPid(path: string): number {
  try {
    const text = Deno.readTextFileSync(path).slice(0, MOST).trim();
    return /^[0-9]{1,9}$/.test(text) ? Number(text) : 0;
  } catch (error) {
    if (error instanceof Error) return 0;
    throw error;
  }
}
