/**
 * The kernel of another Debian suite, unpacked below tests/.cache: apt with a state of its own downloads it
 * from where this machine's packages come from, and dpkg-deb unpacks it. Nothing of this machine is changed.
 * @module
 */
import { Fault } from "../../src/base/fault.ts";
import { CACHE_DIR, cached, exists } from "../guest/content_cache.ts";

const META = "linux-image-cloud-amd64";
const KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg";

/** A kernel for -kernel. */
export interface SuiteKernel {
  /** Its package: "linux-image-5.10.0-32-cloud-amd64". */
  readonly name: string;
  /** The bootable image. */
  readonly imagePath: string;
}

/**
 * Gets the newest cloud kernel of a suite.
 *
 * @param suite "bullseye"
 * @throws {Fault} `missing` when it cannot be had
 */
export async function suiteKernel(suite: string): Promise<SuiteKernel> {
  const apt = await aptOf(suite);
  await run("apt-get", [...apt, "-q", "update"]);
  const name = await dependencyOf(apt, META, "linux-image");
  if (name === undefined) throw missing(suite, `it has no ${META}`);
  // Since 7.x the image itself is in a package of its own.
  const packages = [name, await dependencyOf(apt, name, "linux-binary")].filter((each) => each !== undefined);
  const version = /Candidate: (\S+)/.exec(await run("apt-cache", [...apt, "policy", name]))?.[1] ?? "?";
  const folder = await cached(
    "kernels",
    `${suite}_${name}_${version.replaceAll(":", "%3a")}`,
    async (staging) => {
      await Deno.mkdir(`${staging}/download`, { recursive: true });
      await run("apt-get", [...apt, "-q", "download", ...packages], `${staging}/download`);
      for (const { name: file } of Deno.readDirSync(`${staging}/download`)) {
        await run("dpkg-deb", ["-x", `${staging}/download/${file}`, staging]);
      }
      await Deno.remove(`${staging}/download`, { recursive: true });
    },
  );
  const release = name.replace("linux-image-", "");
  const places = [`${folder}/boot/vmlinuz-${release}`, `${folder}/usr/lib/modules/${release}/vmlinuz`];
  for (const imagePath of places) if (await exists(imagePath)) return { name, imagePath };
  throw missing(suite, `${packages.join(" and ")} have no vmlinuz`);
}

async function dependencyOf(
  apt: readonly string[],
  name: string,
  prefix: string,
): Promise<string | undefined> {
  const depends = await run("apt-cache", [...apt, "depends", "--important", name]);
  return new RegExp(`Depends: (${prefix}-[0-9]\\S*)`).exec(depends)?.[1];
}

/** apt's options for a suite, with all of its state below the cache. */
async function aptOf(suite: string): Promise<string[]> {
  const dir = `${CACHE_DIR}kernel-suites/${suite}`;
  for (const folder of ["state/lists/partial", "cache/archives/partial"]) {
    await Deno.mkdir(`${dir}/${folder}`, { recursive: true });
  }
  const signed = await exists(KEYS) ? `[signed-by=${KEYS}] ` : "";
  await Deno.writeTextFile(`${dir}/sources.list`, `deb ${signed}${await archiveUri(suite)} ${suite} main\n`);
  const options = {
    "Dir::State": `${dir}/state`,
    "Dir::State::status": "/dev/null",
    "Dir::Cache": `${dir}/cache`,
    "Dir::Etc::SourceList": `${dir}/sources.list`,
    "Dir::Etc::SourceParts": "/dev/null",
    "Acquire::Languages": "none",
    "APT::Sandbox::User": "root",
  };
  return Object.entries(options).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
}

/** Where this machine's own suite comes from. */
async function archiveUri(suite: string): Promise<string> {
  const text = await run("apt-get", ["indextargets", "--format", "$(ORIGIN) $(LABEL) $(REPO_URI)"]);
  for (const line of text.split("\n")) {
    const [origin, label, uri = ""] = line.split(" ");
    if (origin === "Debian" && label === "Debian") return uri;
  }
  throw missing(suite, "apt knows no archive of Debian's; run apt-get update");
}

async function run(program: string, args: readonly string[], cwd?: string): Promise<string> {
  const options: Deno.CommandOptions = {
    args: [...args],
    env: { LC_ALL: "C" },
    stdout: "piped",
    stderr: "piped",
  };
  if (cwd !== undefined) options.cwd = cwd;
  const { success, stdout, stderr } = await new Deno.Command(program, options).output();
  if (success) return new TextDecoder().decode(stdout);
  throw missing(program, new TextDecoder().decode(stderr).trim().split("\n").at(-1) ?? "");
}

function missing(what: string, why: string): Fault {
  return new Fault("missing", `Cannot get the kernel of another suite: ${what}: ${why}`);
}
