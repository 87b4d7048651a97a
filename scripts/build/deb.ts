/**
 * `deno task deb`: builds the Debian package from the compiled executable: systemd unit, tmpfiles, default
 * config, man page and completions for bash, zsh and fish.
 *
 *   deno run -A scripts/build/deb.ts [--executable FILE] [--output FOLDER]
 *
 * Without --executable it compiles one first (scripts/build/compile.ts), which needs Deno's runtime base
 * (scripts/build/runtime_base.ts).
 * @module
 */
import { exitCodeOf, Fault, messageOf } from "../../src/base/fault.ts";
import { VERSION } from "../../src/base/version.ts";
import { compile, thisDeno } from "./compile.ts";
import { completion } from "./completion.ts";
import { manPage } from "./man_page.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

/** What to package. */
export interface DebOptions {
  /** The compiled executable; compiled anew when absent. */
  readonly executable?: string | undefined;
  /** Where the package goes. */
  readonly output: string;
  /** The package's version, for tests of upgrades. */
  readonly version?: string;
}

/**
 * Builds the package.
 *
 * @returns its path
 * @throws {Fault} with the words of the tool that failed
 */
export async function buildDeb(options: DebOptions): Promise<string> {
  const staging = Deno.makeTempDirSync({ prefix: "vmsig-deb-" });
  try {
    const root = `${staging}/root`;
    const put = async (path: string, content: string | Uint8Array, mode = 0o644): Promise<void> => {
      const file = `${root}/${path}`;
      Deno.mkdirSync(file.slice(0, file.lastIndexOf("/")), { recursive: true });
      if (typeof content === "string") await Deno.writeTextFile(file, content);
      else await Deno.writeFile(file, content);
      Deno.chmodSync(file, mode);
    };
    const executable = options.executable ?? await compiled(staging);
    await put("usr/bin/vmsig", await Deno.readFile(executable), 0o755);
    await put("lib/systemd/system/vmsigd.service", read("config/vmsigd.service"));
    await put("lib/systemd/system/vmsig-join.service", read("config/vmsig-join.service"));
    await put("usr/share/doc/vmsig/nats/vmsig.conf", read("config/nats/vmsig.conf"));
    await put("lib/systemd/system/vmsigd.service.d/libvirt.conf", read("config/deb/libvirt.conf"));
    await put("etc/libvirt/hooks/qemu.d/vmsig", read("config/deb/libvirt-hook"), 0o755);
    await put("usr/lib/tmpfiles.d/vmsig.conf", read("config/vmsig.tmpfiles"));
    await put("etc/vmsig/vmsigd.toml", read("config/vmsigd.toml") + read("config/deb/vmsigd.toml"));
    await put("usr/share/man/man1/vmsig.1.gz", await gzip(await manPage()));
    await put("usr/share/bash-completion/completions/vmsig", await completion("bash"));
    await put("usr/share/zsh/vendor-completions/_vmsig", await completion("zsh"));
    await put("usr/share/fish/vendor_completions.d/vmsig.fish", await completion("fish"));
    await put("usr/share/doc/vmsig/copyright", read("LICENSE"));
    await put("usr/share/doc/vmsig/README.md", read("README.md"));
    await put("usr/share/doc/vmsig/SECURITY.md", read("src/SECURITY.md"));
    await put("DEBIAN/control", control(options.version ?? VERSION, sizeKib(root)));
    await put("DEBIAN/conffiles", "/etc/vmsig/vmsigd.toml\n/etc/libvirt/hooks/qemu.d/vmsig\n");
    for (const script of ["postinst", "prerm", "postrm"]) {
      await put(`DEBIAN/${script}`, read(`config/deb/${script}`), 0o755);
    }
    Deno.mkdirSync(options.output, { recursive: true });
    const deb = `${options.output}/vmsig_${options.version ?? VERSION}_amd64.deb`;
    await run("dpkg-deb", ["--root-owner-group", "-Zgzip", "-z1", "--build", root, deb]);
    return deb;
  } finally {
    Deno.removeSync(staging, { recursive: true });
  }
}

function read(path: string): string {
  return Deno.readTextFileSync(`${ROOT}${path}`);
}

async function compiled(staging: string): Promise<string> {
  await compile({ ...thisDeno(), output: `${staging}/vmsig` });
  return `${staging}/vmsig`;
}

function control(version: string, installedKib: number): string {
  return [
    "Package: vmsig",
    `Version: ${version}`,
    "Architecture: amd64",
    "Section: admin",
    "Priority: optional",
    "Maintainer: The vmsig founders <vmsig@localhost>",
    `Installed-Size: ${installedKib}`,
    "Depends: libc6, adduser | passwd",
    "Suggests: qemu-system-x86",
    "Description: bus between virtual machines and what watches and steers them",
    " Connects the state, memory, frames and input of QEMU virtual machines to",
    " programs and people, with order, priority, leases and an audit trail.",
    "",
  ].join("\n");
}

function sizeKib(folder: string): number {
  let bytes = 0;
  for (const entry of Deno.readDirSync(folder)) {
    const path = `${folder}/${entry.name}`;
    bytes += entry.isDirectory ? sizeKib(path) * 1024 : Deno.statSync(path).size;
  }
  return Math.ceil(bytes / 1024);
}

async function gzip(text: string): Promise<Uint8Array> {
  const stream = new Blob([text]).stream().pipeThrough(new CompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function run(program: string, args: readonly string[]): Promise<void> {
  try {
    const { code, stderr } = await new Deno.Command(program, {
      args: [...args],
      stdout: "null",
      stderr: "piped",
    }).output();
    if (code !== 0) {
      throw new Fault("refused", `Cannot build the package: ${new TextDecoder().decode(stderr).trim()}`);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new Fault("missing", `Cannot build the package: no ${program}; install dpkg-dev`, { cause: error });
  }
}

if (import.meta.main) {
  const value = (name: string): string | undefined => {
    const at = Deno.args.indexOf(name);
    return at < 0 ? undefined : Deno.args[at + 1];
  };
  try {
    const deb = await buildDeb({
      executable: value("--executable"),
      output: value("--output") ?? `${ROOT}dist`,
    });
    console.log(`made ${deb} (${Math.round(Deno.statSync(deb).size / 1e6)} MB)`);
  } catch (error) {
    console.error(`vmsig: ${error instanceof Fault ? error.code : "internal"}: ${messageOf(error)}`);
    Deno.exit(exitCodeOf(error));
  }
}
