/**
 * Which monitors a running QEMU offers on unix sockets: from its command line, so that a VM can be looked at
 * by its pid alone. It connects to none: one that is probed is one that another client waits for.
 * @module
 */
import { CommandLine, readProperties } from "../../qemu/command_line.ts";
import { readProc } from "../../ram/host_process.ts";

/**
 * The QMP sockets of a QEMU, as paths that this process can open, in the order of its command line.
 *
 * @param pid the QEMU process
 */
export function qmpSocketsOf(pid: number): string[] {
  const words = readProc(pid, "cmdline").split("\0");
  return qmpSocketsIn(words).map((path) => path.startsWith("/") ? path : `/proc/${pid}/cwd/${path}`);
}

/**
 * The QMP sockets in the words of a command line: `-qmp unix:…`, and then `-mon mode=control` over `-chardev
 * socket`.
 *
 * @param words the program's name and its arguments
 */
export function qmpSocketsIn(words: readonly string[]): string[] {
  const line = new CommandLine(words.slice(1));
  const chardevs = new Map<string, string>();
  for (const chardev of line.lists("chardev", "backend")) {
    const path = chardev.get("path");
    if (chardev.get("backend") === "socket" && path !== undefined) {
      chardevs.set(chardev.get("id") ?? "", path);
    }
  }
  const paths: string[] = [];
  for (const text of [...line.texts("qmp"), ...line.texts("qmp-pretty")]) {
    const address = readProperties(text, "address").get("address") ?? "";
    if (address.startsWith("unix:")) paths.push(address.slice(5));
  }
  for (const monitor of line.lists("mon", "chardev")) {
    const path = chardevs.get(monitor.get("chardev") ?? "");
    if (monitor.get("mode") === "control" && path !== undefined) paths.push(path);
  }
  return paths;
}
