/**
 * A real x86-64 PE image named ntoskrnl.exe: that of Debian's `libwine`. The package (100 MB) is downloaded,
 * never installed, and only the one file of 1.6 MB is kept in the cache.
 * @module
 */
import { Fault } from "../../src/base/fault.ts";
import { aptCandidate } from "./apt_candidate.ts";
import { cached } from "./content_cache.ts";

const PACKAGE = "libwine";
const MEMBER = "./usr/lib/x86_64-linux-gnu/wine/x86_64-windows/ntoskrnl.exe";

/**
 * The file's path.
 *
 * @throws {Fault} `missing` when apt cannot bring the package, or it has no such file
 */
export async function wineKernel(): Promise<string> {
  const version = await aptCandidate(PACKAGE, (name) => output("apt-cache", ["policy", name]));
  if (version === undefined) throw missing("apt does not know it; run apt-get update as root");
  return await cached("wine", `ntoskrnl-${version.replaceAll(":", "%3a")}.exe`, async (staging) => {
    const download = await Deno.makeTempDir({ dir: new URL("../.cache/wine", import.meta.url).pathname });
    try {
      // Without its sandbox user apt may write into a folder of ours; the hash is checked all the same.
      await output(
        "apt-get",
        ["-qq", "-o", "APT::Sandbox::User=root", "download", `${PACKAGE}=${version}`],
        download,
      );
      const file = [...Deno.readDirSync(download)].find((entry) => entry.name.endsWith(".deb"))?.name;
      if (file === undefined) throw missing("apt-get download brought no package");
      await output("dpkg-deb", ["-x", file, "unpacked"], download);
      await Deno.copyFile(`${download}/unpacked/${MEMBER}`, staging);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
      throw missing(`the package has no ${MEMBER}`);
    } finally {
      await Deno.remove(download, { recursive: true });
    }
  });
}

function missing(why: string): Fault {
  return new Fault("missing", `Cannot get ${PACKAGE}: ${why.trim().replaceAll("\n", "; ")}`);
}

async function output(program: string, args: string[], cwd?: string): Promise<string> {
  const options: Deno.CommandOptions = { args, stdout: "piped", stderr: "piped", env: { LC_ALL: "C" } };
  if (cwd !== undefined) options.cwd = cwd;
  try {
    const { success, stdout, stderr } = await new Deno.Command(program, options).output();
    if (!success) throw missing(`${program}: ${new TextDecoder().decode(stderr)}`);
    return new TextDecoder().decode(stdout);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw missing(`no ${program} here; a Debian host is needed`);
  }
}
