/**
 * Debian's kernels for the test guests: the package behind `linux-image-cloud-amd64`, `linux-image-amd64` or
 * `linux-image-cloud-arm64` is downloaded and unpacked into the cache, never installed. For another
 * architecture than the machine's own, apt gets lists of their own below the cache: the machine's settings
 * stay as they are. Knows nothing of initramfs or QEMU.
 * @module
 */
import { Fault } from "../../src/base/fault.ts";
import { aptListsTime } from "./apt_candidate.ts";
import { CACHE_DIR, cached, exists } from "./content_cache.ts";

/**
 * Which kernel: small and quick to boot, with drivers for everything (uinput, PS/2, USB, DRM), or the small
 * one of arm64.
 */
export type KernelFlavour = "cloud" | "generic" | "arm64";

/** An unpacked kernel. */
export interface Kernel {
  /** The release, as uname -r says it: "6.1.0-56-cloud-amd64". */
  readonly release: string;
  /** The bootable image. */
  readonly imagePath: string;
  /** The folder of its modules (modules.builtin, kernel/…). */
  readonly modulesDir: string;
}

const META_PACKAGES: Record<KernelFlavour, string> = {
  cloud: "linux-image-cloud-amd64",
  generic: "linux-image-amd64",
  arm64: "linux-image-cloud-arm64",
};

/** Of the 300 MB of the generic kernel's modules, what no test guest can have a device for. */
const LEFT_OUT = ["sound", "drivers/net/wireless", "drivers/media", "drivers/gpu/drm/amd", "drivers/staging"];

const resolved = new Map<KernelFlavour, Promise<Kernel>>();

/**
 * The newest kernel of a flavour that the machine's package lists know.
 *
 * @throws {Fault} `missing` when apt cannot tell or bring it
 */
export function kernelOf(flavour: KernelFlavour): Promise<Kernel> {
  let kernel = resolved.get(flavour);
  if (kernel === undefined) {
    kernel = unpackedKernel(flavour);
    resolved.set(flavour, kernel);
  }
  return kernel;
}

async function unpackedKernel(flavour: KernelFlavour): Promise<Kernel> {
  const meta = META_PACKAGES[flavour];
  const apt = flavour === "arm64" ? await foreignApt("arm64") : [];
  try {
    return await unpackedPackage(await packageOf(meta, apt), apt);
  } catch (error) {
    // Lists may be absent, or so old that the archive no longer has what they name. Those of another
    // architecture are below the cache, which whoever runs the tests may write.
    if (!(error instanceof Fault) || (Deno.uid() !== 0 && apt.length === 0)) throw error;
    const updated = await output("apt-get", [...apt, "-qq", "-o", "DPkg::Lock::Timeout=300", "update"]);
    if (!updated.success) throw missing(meta, `apt-get update: ${updated.stderr}`);
    return await unpackedPackage(await packageOf(meta, apt), apt);
  }
}

/** apt's options for packages of another architecture, from the machine's own sources. */
async function foreignApt(architecture: string): Promise<string[]> {
  const dir = `${CACHE_DIR}apt-${architecture}`;
  for (const folder of ["state/lists/partial", "cache/archives/partial"]) {
    await Deno.mkdir(`${dir}/${folder}`, { recursive: true });
  }
  const options = {
    "APT::Architecture": architecture,
    "APT::Architectures": architecture,
    "Dir::State": `${dir}/state`,
    "Dir::State::status": "/dev/null",
    "Dir::Cache": `${dir}/cache`,
    "Acquire::Languages": "none",
    "APT::Sandbox::User": "root",
  };
  return Object.entries(options).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
}

interface ExactPackage {
  readonly name: string;
  readonly version: string;
}

async function unpackedPackage(
  { name, version }: ExactPackage,
  apt: readonly string[],
): Promise<Kernel> {
  const folder = await cached("kernels", `${name}_${version.replaceAll(":", "%3a")}`, async (staging) => {
    await Deno.mkdir(staging);
    await unpack(`${name}=${version}`, staging, apt);
  });
  const release = name.replace(/^linux-image-/, "");
  const modules = `lib/modules/${release}`;
  const usr = `${folder}/usr/${modules}`;
  return {
    release,
    imagePath: `${folder}/boot/vmlinuz-${release}`,
    modulesDir: await exists(usr) ? usr : `${folder}/${modules}`,
  };
}

/** The versioned package that a meta-package depends on; asked of apt once for each state of its lists. */
async function packageOf(meta: string, apt: readonly string[]): Promise<ExactPackage> {
  const answer = await cached("resolved", `${meta}-${await aptListsTime()}`, async (staging) => {
    const name = await dependencyOf(meta, apt);
    if (name === undefined) throw missing(meta, "apt does not know it; run apt-get update as root");
    const policy = await output("apt-cache", [...apt, "policy", name]);
    const version = policy.stdout.match(/Candidate: (\S+)/)?.[1];
    if (version === undefined || version === "(none)") throw missing(name, "apt has no candidate for it");
    await Deno.writeTextFile(staging, `${name} ${version}`);
  });
  const [name = "", version = ""] = (await Deno.readTextFile(answer)).split(" ");
  return { name, version };
}

async function dependencyOf(meta: string, apt: readonly string[]): Promise<string | undefined> {
  const depends = await output("apt-cache", [...apt, "depends", "--important", meta]);
  return depends.stdout.match(/Depends: (linux-image-[0-9]\S*)/)?.[1];
}

async function unpack(exactPackage: string, folder: string, apt: readonly string[]): Promise<void> {
  const download = await Deno.makeTempDir({ dir: folder });
  // Without its sandbox user apt may write into a folder of ours; the hash is checked all the same.
  const options = [...apt, "-qq", "-o", "APT::Sandbox::User=root"];
  const got = await output("apt-get", [...options, "download", exactPackage], download);
  const file = [...Deno.readDirSync(download)].find((entry) => entry.name.endsWith(".deb"))?.name;
  if (!got.success || file === undefined) throw missing(exactPackage, got.stderr);
  const out = await output("dpkg-deb", ["-x", `${download}/${file}`, folder]);
  if (!out.success) throw missing(exactPackage, out.stderr);
  await Deno.remove(download, { recursive: true });
  for (const modules of [`${folder}/lib/modules`, `${folder}/usr/lib/modules`]) {
    if (!await exists(modules)) continue;
    for (const release of Deno.readDirSync(modules)) {
      for (const left of LEFT_OUT) {
        const path = `${modules}/${release.name}/kernel/${left}`;
        if (await exists(path)) await Deno.remove(path, { recursive: true });
      }
    }
  }
}

function missing(what: string, why: string): Fault {
  return new Fault("missing", `Cannot get the guest kernel ${what}: ${why.trim().replaceAll("\n", "; ")}`);
}

async function output(
  program: string,
  args: string[],
  cwd?: string,
): Promise<{ success: boolean; stdout: string; stderr: string }> {
  try {
    const options: Deno.CommandOptions = { args, stdout: "piped", stderr: "piped", env: { LC_ALL: "C" } };
    if (cwd !== undefined) options.cwd = cwd;
    const { success, stdout, stderr } = await new Deno.Command(program, options).output();
    const decoder = new TextDecoder();
    return { success, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new Fault("missing", `Cannot get a guest kernel: no ${program} here; a Debian host is needed`);
  }
}
