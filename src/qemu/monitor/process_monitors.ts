/**
 * Which monitors a running QEMU offers on unix sockets, so that a VM can be looked at by its pid alone. It
 * connects to none: one that is probed is one that another client waits for.
 * @module
 */
import { readProc } from "../../ram/host_process.ts";
import { CommandLine } from "../command_line.ts";
import { qmpOffersOf } from "../qmp_offers.ts";

/**
 * The QMP sockets on which a QEMU listens, as paths that this process can open, in the order of its command
 * line.
 *
 * @param pid the QEMU process
 */
export function qmpSocketsOf(pid: number): string[] {
  const words = readProc(pid, "cmdline").split("\0");
  const line = new CommandLine(words.slice(1));
  return qmpOffersOf(line).filter(({ listens }) => listens).map(({ path }) =>
    path.startsWith("/") ? path : `/proc/${pid}/cwd/${path}`
  );
}
