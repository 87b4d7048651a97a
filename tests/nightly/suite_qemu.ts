/**
 * The QEMU of another Debian suite, unpacked below tests/.cache and run from there, without root and without
 * touching this machine's packages: apt with a state of its own (suite_apt.ts) resolves and downloads it and
 * all that it needs, its C library too, and dpkg-deb unpacks that.
 *
 * The executable names the suite's own program interpreter, and its libraries: started by that instead,
 * /proc/PID/exe would name the interpreter, which no daemon takes for a QEMU; and LD_LIBRARY_PATH would be
 * handed to what QEMU runs (`exec:`), which is the machine's own shell.
 * @module
 */
import { contentHash, exists } from "../guest/content_cache.ts";
import { SuiteApt } from "./suite_apt.ts";

const LIBRARIES = "usr/lib/x86_64-linux-gnu";
const PROGRAM = "qemu-system-x86_64";
const PACKAGES = ["qemu-system-x86", "qemu-system-modules-opengl", "qemu-system-modules-spice", "patchelf"];
/** libvirt runs with all of the suite's /usr bound over the machine's, in a mount namespace of its own. */
const LIBVIRT = ["libvirt-daemon", "libvirt-daemon-driver-qemu"];
/** Of a root, what PATH begins with. */
const BIN = "vmsig-bin";
/** Another one when a root is made in another way. */
const SCHEME = "rpath";
/** How long a root is kept after its last use. */
const KEEP_MS = 24 * 3_600_000;

/** A suite's QEMU. */
export interface SuiteQemu {
  /** A folder for the front of PATH. */
  readonly bin: string;
  /** What it says of itself. */
  readonly version: string;
  /** The suite's /usr, with its libvirt in it. */
  readonly usr: string;
}

/**
 * Gets it, or what was got before: as many of the suite's packages as are newer are downloaded each time.
 *
 * @param suite "trixie", "sid"
 * @throws {Fault} `missing` when it cannot be had
 */
export async function suiteQemu(suite: string): Promise<SuiteQemu> {
  using apt = await SuiteApt.of(suite, "the QEMU of another suite");
  const { dir } = apt;
  await apt.run("apt-get", [
    "-qy",
    "--no-install-recommends",
    "--download-only",
    "install",
    ...PACKAGES,
    ...LIBVIRT,
  ]);
  await apt.run("apt-get", ["-q", "autoclean"]);
  const archives = [...Deno.readDirSync(`${dir}/cache/archives`)].map(({ name }) => name)
    .filter((name) => name.endsWith(".deb")).sort();
  // A root of its own for each set of packages: another run's may be in use.
  // And for each place: its programs have it in them.
  const root = `${dir}/root-${(await contentHash([SCHEME, dir, ...archives])).slice(0, 12)}`;
  if (!await exists(root)) await unpack(apt, archives, root);
  await Deno.utime(root, new Date(), new Date());
  await forgetRoots(dir, root);
  const version = await apt.run(`${root}/${BIN}/${PROGRAM}`, ["--version"]);
  return { bin: `${root}/${BIN}`, version: /version (\S+)/.exec(version)?.[1] ?? "?", usr: `${root}/usr` };
}

/** Unpacks the packages; the root appears by rename, whole. */
async function unpack(apt: SuiteApt, archives: readonly string[], root: string): Promise<void> {
  const staging = await Deno.makeTempDir({ dir: apt.dir, prefix: "staging-" });
  try {
    for (const name of archives) {
      await apt.run("dpkg-deb", ["-x", `${apt.dir}/cache/archives/${name}`, staging]);
    }
    const interpreter = `${LIBRARIES}/ld-linux-x86-64.so.2`;
    await apt.run(`${staging}/${interpreter}`, [
      "--library-path",
      `${staging}/${LIBRARIES}`,
      `${staging}/usr/bin/patchelf`,
      "--set-interpreter",
      `${root}/${interpreter}`,
      "--force-rpath",
      "--set-rpath",
      `${root}/${LIBRARIES}`,
      `${staging}/usr/bin/${PROGRAM}`,
    ]);
    await Deno.mkdir(`${staging}/${BIN}`);
    const script = `#!/bin/sh
export QEMU_MODULE_DIR='${root}/${LIBRARIES}/qemu'
exec '${root}/usr/bin/${PROGRAM}' -L '${root}/usr/share/qemu' -L '${root}/usr/share/seabios' "$@"
`;
    await Deno.writeTextFile(`${staging}/${BIN}/${PROGRAM}`, script, { mode: 0o755 });
    await Deno.chmod(staging, 0o755);
    await Deno.rename(staging, root);
  } catch (error) {
    await Deno.remove(staging, { recursive: true });
    throw error;
  }
}

/** Removes the roots of older packages, which nobody has used for a day. */
async function forgetRoots(dir: string, current: string): Promise<void> {
  for (const { name } of Deno.readDirSync(dir)) {
    const path = `${dir}/${name}`;
    if (!/^(root|staging)-/.test(name) || path === current) continue;
    const used = (await Deno.stat(path)).mtime?.getTime() ?? 0;
    if (Date.now() - used > KEEP_MS) await Deno.remove(path, { recursive: true });
  }
}
