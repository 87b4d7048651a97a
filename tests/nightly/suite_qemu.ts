/**
 * The QEMU of another Debian suite, unpacked below tests/.cache and run from there, without root and without
 * touching this machine's packages: apt with a state of its own (suite_apt.ts) resolves and downloads it and
 * all that it needs, its C library too, and dpkg-deb unpacks that.
 *
 * The executable names the suite's own program interpreter: started by it instead, /proc/PID/exe would name
 * the interpreter, which no daemon takes for a QEMU.
 * @module
 */
import { Fault } from "../../src/base/fault.ts";
import { exists } from "../guest/content_cache.ts";
import { SuiteApt } from "./suite_apt.ts";

const LIBRARIES = "usr/lib/x86_64-linux-gnu";
const PROGRAM = "qemu-system-x86_64";
const PACKAGES = ["qemu-system-x86", "qemu-system-modules-opengl", "qemu-system-modules-spice"];
const PT_INTERP = 3;

/** A suite's QEMU. */
export interface SuiteQemu {
  /** A folder for the front of PATH. */
  readonly bin: string;
  /** What it says of itself. */
  readonly version: string;
}

/**
 * Gets it, or what was got before: as many of the suite's packages as are newer are downloaded each time.
 *
 * @param suite "trixie", "sid"
 * @throws {Fault} `missing` when it cannot be had
 */
export async function suiteQemu(suite: string): Promise<SuiteQemu> {
  const apt = await SuiteApt.of(suite, "the QEMU of another suite");
  const { dir } = apt;
  await apt.run("apt-get", ["-qy", "--no-install-recommends", "--download-only", "install", ...PACKAGES]);
  await apt.run("apt-get", ["-q", "autoclean"]);
  const root = `${dir}/root`;
  if (await exists(root)) await Deno.remove(root, { recursive: true });
  await Deno.mkdir(root, { recursive: true });
  for await (const { name } of Deno.readDir(`${dir}/cache/archives`)) {
    if (name.endsWith(".deb")) await apt.run("dpkg-deb", ["-x", `${dir}/cache/archives/${name}`, root]);
  }
  await setInterpreter(`${root}/usr/bin/${PROGRAM}`, `${root}/${LIBRARIES}/ld-linux-x86-64.so.2`);
  const bin = `${dir}/bin`;
  await Deno.mkdir(bin, { recursive: true });
  const script = `#!/bin/sh
export QEMU_MODULE_DIR='${root}/${LIBRARIES}/qemu' LD_LIBRARY_PATH='${root}/${LIBRARIES}'
exec '${root}/usr/bin/${PROGRAM}' -L '${root}/usr/share/qemu' -L '${root}/usr/share/seabios' "$@"
`;
  await Deno.writeTextFile(`${bin}/${PROGRAM}`, script, { mode: 0o755 });
  const version = await apt.run(`${bin}/${PROGRAM}`, ["--version"]);
  return { bin, version: /version (\S+)/.exec(version)?.[1] ?? "?" };
}

/** Has an ELF program name another interpreter: the name goes behind all that there is. */
async function setInterpreter(path: string, interpreter: string): Promise<void> {
  const old = await Deno.readFile(path);
  const name = new TextEncoder().encode(`${interpreter}\0`);
  const bytes = new Uint8Array(old.length + name.length);
  bytes.set(old);
  bytes.set(name, old.length);
  const view = new DataView(bytes.buffer);
  const [table, size, count] = [
    Number(view.getBigUint64(32, true)),
    view.getUint16(54, true),
    view.getUint16(56, true),
  ];
  for (let at = table; at < table + size * count; at += size) {
    if (view.getUint32(at, true) !== PT_INTERP) continue;
    view.setBigUint64(at + 8, BigInt(old.length), true);
    view.setBigUint64(at + 32, BigInt(name.length), true);
    view.setBigUint64(at + 40, BigInt(name.length), true);
    return await Deno.writeFile(path, bytes);
  }
  throw new Fault("missing", `Cannot run ${path}: it is not an ELF program with an interpreter`);
}
