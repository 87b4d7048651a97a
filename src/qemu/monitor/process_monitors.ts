/**
 * The monitors that a running QEMU offers on unix sockets, for access to a VM by its pid alone. It connects
 * to none of them, because an attempt could block another client.
 * @module
 */
import { readProc } from "../../ram/host_process.ts";
import { CommandLine } from "../command_line.ts";
import { qmpOffersOf } from "../qmp_offers.ts";

/**
 * The QMP sockets on which a QEMU listens, as paths that this process can open, in order of its command line.
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
