/**
 * A fresh process that goes from a QEMU's pid to its process list once, and prints how many ms that took:
 * cold code, cold caches. Arguments: the pid, and a file with a kernel profile (read when it is there, else
 * written).
 * @module
 */
import { findLinux } from "../../src/guest/linux/find_linux.ts";
import { openQemuRam } from "../../src/ram/qemu_ram.ts";

const [pid = "", profile = ""] = Deno.args;
const cache = new Map<string, unknown>();
const kept = profile === "" ? "" : Deno.readTextFileSync(profile);
const start = performance.now();
if (kept !== "") {
  const value = JSON.parse(kept);
  cache.set(value.buildId, value);
}
using ram = openQemuRam(Number(pid));
ram.memory.refresh();
const found = findLinux(ram.memory, { cache });
if (!found.found) throw new Error(found.detail);
const { items, end } = found.os.processes();
const took = performance.now() - start;
if (!end.complete || items.length < 10) throw new Error(`${items.length} processes`);
if (profile !== "" && kept === "") Deno.writeTextFileSync(profile, JSON.stringify(found.os.profile));
console.log(took);
