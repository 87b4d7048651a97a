/**
 * Which monitors a running QEMU offers on unix sockets: from its command line, so that a VM can be looked at
 * by its pid alone. It connects to none: one that is probed is one that another client waits for.
 * @module
 */
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
 * The QMP sockets in the words of a command line: `-qmp unix:…` and `-mon mode=control` over `-chardev
 * socket`.
 */
export function qmpSocketsIn(words: readonly string[]): string[] {
  const paths: string[] = [];
  const chardevs = new Map<string, string>();
  for (let i = 1; i + 1 < words.length; i++) {
    const value = words[i + 1] as string;
    if ((words[i] as string).replace(/^--/, "-") !== "-chardev") continue;
    const options = optionsOf(value);
    const path = options.get("path");
    if (options.get("") === "socket" && path !== undefined) chardevs.set(options.get("id") ?? "", path);
  }
  for (let i = 1; i + 1 < words.length; i++) {
    const name = (words[i] as string).replace(/^--/, "-");
    const value = words[i + 1] as string;
    if (name === "-qmp" || name === "-qmp-pretty") {
      const [address = ""] = value.replaceAll(",,", "\0").split(",");
      if (address.startsWith("unix:")) paths.push(address.slice(5).replaceAll("\0", ","));
    } else if (name === "-mon") {
      const options = optionsOf(value);
      const path = chardevs.get(options.get("chardev") ?? options.get("") ?? "");
      if (options.get("mode") === "control" && path !== undefined) paths.push(path);
    }
  }
  return paths;
}

/** `a,b=c,d=e,,f`: the first word without a key is under "", a doubled comma is a comma. */
function optionsOf(text: string): Map<string, string> {
  const options = new Map<string, string>();
  for (const part of text.replaceAll(",,", "\0").split(",")) {
    const whole = part.replaceAll("\0", ",");
    const equals = whole.indexOf("=");
    if (equals > 0) options.set(whole.slice(0, equals), whole.slice(equals + 1));
    else if (!options.has("")) options.set("", whole);
  }
  return options;
}
