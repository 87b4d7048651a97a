/**
 * QEMU's process of a domain: libvirt's RPC does not tell it, and libvirtd keeps it in a file beside its own
 * sockets, which is its own user's. What the file says is believed as far as /proc confirms it.
 * @module
 */
import { isQemuProgram } from "../../qemu/program.ts";
import type { QmpPeer } from "../../qemu/monitor/qmp_transport.ts";

/** Characters of the file that are looked at. */
const MOST = 32;

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
    const pid = readPid(path);
    if (pid === 0) continue;
    try {
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

function readPid(path: string): number {
  try {
    const text = Deno.readTextFileSync(path).slice(0, MOST).trim();
    return /^[0-9]{1,9}$/.test(text) ? Number(text) : 0;
  } catch (error) {
    if (error instanceof Error) return 0;
    throw error;
  }
}
