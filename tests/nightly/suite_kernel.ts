/**
 * The kernel of another Debian suite, unpacked below tests/.cache: apt with a state of its own (suite_apt.ts)
 * downloads it, and dpkg-deb unpacks it.
 * @module
 */
import { cached, exists } from "../guest/content_cache.ts";
import { SuiteApt } from "./suite_apt.ts";

const META = "linux-image-cloud-amd64";
/** The architecture is the last word of a meta-package's name, or that before a variant of it. */
const ARCHITECTURE = /-(amd64|arm64)(-|$)/;

/** A kernel for -kernel. */
export interface SuiteKernel {
  /** Its package: "linux-image-5.10.0-32-cloud-amd64". */
  readonly name: string;
  /** The bootable image. */
  readonly imagePath: string;
}

/**
 * Gets the newest kernel of a suite.
 *
 * @param suite "bullseye"
 * @param meta the meta-package that depends on it: the cloud kernel's unless told
 * @throws {Fault} `missing` when it cannot be had
 */
export async function suiteKernel(suite: string, meta: string = META): Promise<SuiteKernel> {
  using apt = await SuiteApt.of(suite, `the kernel of ${suite}`, ARCHITECTURE.exec(meta)?.[1]);
  const name = await dependencyOf(apt, meta, "linux-image");
  if (name === undefined) throw apt.missing(`it has no ${meta}`);
  // Since 7.x the image itself is in a package of its own.
  const packages = [name, await dependencyOf(apt, name, "linux-binary")].filter((each) => each !== undefined);
  const version = /Candidate: (\S+)/.exec(await apt.run("apt-cache", ["policy", name]))?.[1] ?? "?";
  const folder = await cached(
    "kernels",
    `${suite}_${name}_${version.replaceAll(":", "%3a")}`,
    async (staging) => {
      await Deno.mkdir(`${staging}/download`, { recursive: true });
      await apt.run("apt-get", ["-q", "download", ...packages], `${staging}/download`);
      for (const { name: file } of Deno.readDirSync(`${staging}/download`)) {
        await apt.run("dpkg-deb", ["-x", `${staging}/download/${file}`, staging]);
      }
      await Deno.remove(`${staging}/download`, { recursive: true });
    },
  );
  const release = name.replace("linux-image-", "");
  const places = [`${folder}/boot/vmlinuz-${release}`, `${folder}/usr/lib/modules/${release}/vmlinuz`];
  for (const imagePath of places) if (await exists(imagePath)) return { name, imagePath };
  throw apt.missing(`${packages.join(" and ")} have no vmlinuz`);
}

async function dependencyOf(
  apt: SuiteApt,
  name: string,
  prefix: string,
): Promise<string | undefined> {
  const depends = await apt.run("apt-cache", ["depends", "--important", name]);
  return new RegExp(`Depends: (${prefix}-[0-9]\\S*)`).exec(depends)?.[1];
}
