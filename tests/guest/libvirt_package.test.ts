/**
 * What the Debian package brings for libvirt, used as it is used: the hook, run by a libvirtd of the system's
 * own kind for a domain that starts, and systemd's drop-in. The package is built with a stand-in for the
 * compiled executable (the real one is compiled and packaged by `deno task compile:check`) and unpacked.
 * @module
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { buildDeb } from "../../scripts/build/deb.ts";
import { until } from "../fixtures/daemon_process.ts";
import { Libvirtd } from "./libvirtd.ts";

async function output(program: string, ...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args }).output();
  assert(success, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}

Deno.test({
  name: "the package: what is in it, and its hook, run by libvirt when a domain starts",
  ignore: Deno.uid() !== 0,
  async fn() {
    const folder = await Deno.makeTempDir({ prefix: "vmsig-package-" });
    try {
      await Deno.writeTextFile(`${folder}/vmsig`, "#!/bin/sh\necho vmsig\n");
      const deb = await buildDeb({ executable: `${folder}/vmsig`, output: `${folder}/out` });
      await output("dpkg-deb", "-x", deb, `${folder}/root`);
      await output("dpkg-deb", "-e", deb, `${folder}/control`);
      const at = (path: string) => `${folder}/root/${path}`;
      const hook = "etc/libvirt/hooks/qemu.d/vmsig";
      for (
        const [path, mode] of [
          ["usr/bin/vmsig", 0o755],
          [hook, 0o755],
          ["lib/systemd/system/vmsigd.service.d/libvirt.conf", 0o644],
          ["usr/share/man/man1/vmsig.1.gz", 0o644],
        ] as const
      ) assertEquals((await Deno.stat(at(path))).mode ?? 0, 0o100000 | mode, path);
      assertEquals(await output(at("usr/bin/vmsig")), "vmsig\n");
      for (const script of ["postinst", "prerm", "postrm"]) {
        // Each runs to its end for what it need not do.
        await output(`${folder}/control/${script}`, "abort-upgrade");
      }
      assertMatch(
        await Deno.readTextFile(`${folder}/control/conffiles`),
        /^\/etc\/libvirt\/hooks\/qemu\.d\/vmsig$/m,
      );
      const dropIn = await Deno.readTextFile(at("lib/systemd/system/vmsigd.service.d/libvirt.conf"));
      assertStringIncludes(dropIn, "After=libvirtd.service virtqemud.service");
      await isValid(at("lib/systemd/system"));

      // A systemctl that notes what it is asked, and libvirt's own word for its hooks.
      await using libvirt = await Libvirtd.start({
        isSystem: true,
        hooks: { vmsig: await Deno.readTextFile(at(hook)) },
        programs: { systemctl: '#!/bin/sh\necho "$@" >>/run/asked\n' },
      });
      await libvirt.domain("before");
      const asked = `${libvirt.folder}/run/asked`;
      // Without a systemd it asks nothing, and the domain starts all the same.
      await until(
        "the domain runs",
        async () => (await libvirt.virsh("domstate", "before")).startsWith("running"),
      );
      assertEquals(await readOr(asked), "");
      await Deno.mkdir(`${libvirt.folder}/run/systemd/system`, { recursive: true });
      await libvirt.domain("web");
      assertEquals(await readOr(asked), "--no-block start vmsigd.service\n");
      await libvirt.virsh("destroy", "web");
      assertEquals(await readOr(asked), "--no-block start vmsigd.service\n");
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

/** systemd's own word for the unit with its drop-in, where it is installed; the program need not be. */
async function isValid(units: string): Promise<void> {
  const unit = `${units}/vmsigd.service`;
  const text = await Deno.readTextFile(unit);
  await Deno.writeTextFile(unit, text.replace("ExecStart=/usr/bin/vmsig", "ExecStart=/bin/true"));
  try {
    const { code, stderr } = await new Deno.Command("systemd-analyze", {
      args: ["verify", "--man=no", "vmsigd.service"],
      env: { SYSTEMD_UNIT_PATH: `${units}:` },
      stdout: "null",
      stderr: "piped",
    }).output();
    assertEquals([code, new TextDecoder().decode(stderr)], [0, ""]);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

async function readOr(path: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "";
    throw error;
  }
}
