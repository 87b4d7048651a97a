/**
 * The QEMU of another Debian suite, unpacked below tests/.cache and run from there, without root and without
 * touching this machine's packages: apt with a state of its own resolves and downloads it and all that it
 * needs, its C library too, and dpkg-deb unpacks that. Where the machine's own packages come from, the other
 * suite comes from.
 *
 * The executable names the suite's own program interpreter: started by it instead, /proc/PID/exe would name
 * the interpreter, which no daemon takes for a QEMU.
 * @module
 */
import { Fault } from "../../src/base/fault.ts";
import { CACHE_DIR, exists } from "../guest/content_cache.ts";

const LIBRARIES = "usr/lib/x86_64-linux-gnu";
const PROGRAM = "qemu-system-x86_64";
const PACKAGES = ["qemu-system-x86", "qemu-system-modules-opengl", "qemu-system-modules-spice"];
/** Debian's own keys. */
const KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg";
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
  const dir = `${CACHE_DIR}suites/${suite}`;
  const config = await aptConfig(dir, suite);
  const env = { APT_CONFIG: config };
  await run("apt-get", ["-q", "update"], env);
  await run("apt-get", ["-qy", "--no-install-recommends", "--download-only", "install", ...PACKAGES], env);
  await run("apt-get", ["-q", "autoclean"], env);
  const root = `${dir}/root`;
  if (await exists(root)) await Deno.remove(root, { recursive: true });
  await Deno.mkdir(root, { recursive: true });
  for await (const { name } of Deno.readDir(`${dir}/cache/archives`)) {
    if (name.endsWith(".deb")) await run("dpkg-deb", ["-x", `${dir}/cache/archives/${name}`, root]);
  }
  await setInterpreter(`${root}/usr/bin/${PROGRAM}`, `${root}/${LIBRARIES}/ld-linux-x86-64.so.2`);
  const bin = `${dir}/bin`;
  await Deno.mkdir(bin, { recursive: true });
  const script = `#!/bin/sh
export QEMU_MODULE_DIR='${root}/${LIBRARIES}/qemu' LD_LIBRARY_PATH='${root}/${LIBRARIES}'
exec '${root}/usr/bin/${PROGRAM}' -L '${root}/usr/share/qemu' -L '${root}/usr/share/seabios' "$@"
`;
  await Deno.writeTextFile(`${bin}/${PROGRAM}`, script, { mode: 0o755 });
  const version = await run(`${bin}/${PROGRAM}`, ["--version"]);
  return { bin, version: /version (\S+)/.exec(version)?.[1] ?? "?" };
}

/** apt's configuration for a suite, with everything of its own below a folder. */
async function aptConfig(dir: string, suite: string): Promise<string> {
  for (const folder of ["state/lists/partial", "cache/archives/partial", "etc"]) {
    await Deno.mkdir(`${dir}/${folder}`, { recursive: true });
  }
  await Deno.writeTextFile(`${dir}/state/status`, "");
  const archive = await debianArchive();
  await Deno.writeTextFile(
    `${dir}/etc/sources.list`,
    `deb [${archive.options}] ${archive.uri} ${suite} main\n`,
  );
  const config = `${dir}/etc/apt.conf`;
  await Deno.writeTextFile(
    config,
    `Dir::State "${dir}/state"; Dir::State::status "${dir}/state/status"; Dir::Cache "${dir}/cache";
Dir::Etc::SourceList "${dir}/etc/sources.list"; Dir::Etc::SourceParts "/dev/null";
APT::Architecture "amd64"; APT::Architectures { "amd64"; }; Acquire::Languages "none";
APT::Sandbox::User "";
`,
  );
  return config;
}

/** Where this machine's own suite comes from, and who signs it. */
async function debianArchive(): Promise<{ readonly uri: string; readonly options: string }> {
  const options = await exists(KEYS) ? `signed-by=${KEYS}` : "arch=amd64";
  const text = await run("apt-get", ["indextargets", "--format", "$(ORIGIN) $(LABEL) $(REPO_URI)"]);
  for (const line of text.split("\n")) {
    const [origin, label, uri = ""] = line.split(" ");
    if (origin === "Debian" && label === "Debian") return { uri: uri.replace(/\/$/, ""), options };
  }
  throw new Fault(
    "missing",
    "Cannot get another suite's QEMU: apt knows no archive of Debian's; run apt-get update",
  );
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

async function run(
  program: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, {
    args: [...args],
    env: { LC_ALL: "C", ...env },
    stdout: "piped",
    stderr: "piped",
  }).output();
  if (success) return new TextDecoder().decode(stdout);
  const why = new TextDecoder().decode(stderr).trim().split("\n").at(-1) ?? "";
  throw new Fault("missing", `Cannot get another suite's QEMU: ${program} ${args[0] ?? ""} failed: ${why}`);
}
