/**
 * The installer's example on Debian's own netboot installer, downloaded below tests/.cache: from its boot
 * menu, on a CD that is made here (xorriso and isolinux), or without those from its kernel, to where it wants
 * a network.
 */
import { assertEquals, assertMatch } from "@std/assert";

const ROOT = new URL("../../", import.meta.url).pathname;
const CACHE = `${ROOT}tests/.cache/installer`;
const PACKAGE = "debian-installer-12-netboot-amd64";
const IMAGES = `${CACHE}/root/usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64`;

/** A host's /dev/kvm may be one that cannot run a BIOS. */
const TCG = ["--accelerator", "tcg"];

async function sh(script: string): Promise<void> {
  const { success, stderr } = await new Deno.Command("bash", { args: ["-ec", script] }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
}

async function isThere(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

Deno.test("the installer's example, from the boot menu as far as it goes without a network", async () => {
  if (!await isThere(`${IMAGES}/initrd.gz`)) {
    await sh(`mkdir -p ${CACHE}; cd ${CACHE}; apt-get download ${PACKAGE}; dpkg -x ${PACKAGE}_*.deb root`);
  }
  const hasMenu = await isThere("/usr/bin/xorriso") && await isThere("/usr/lib/ISOLINUX/isolinux.bin");
  const iso = `${CACHE}/installer.iso`;
  if (hasMenu) {
    await sh(`rm -rf ${CACHE}/cd; mkdir -p ${CACHE}/cd/debian-installer/amd64
      cp -r ${IMAGES}/boot-screens ${IMAGES}/linux ${IMAGES}/initrd.gz ${CACHE}/cd/debian-installer/amd64/
      cp /usr/lib/ISOLINUX/isolinux.bin ${IMAGES}/boot-screens/ldlinux.c32 ${CACHE}/cd/
      cp ${IMAGES}/boot-screens/syslinux.cfg ${CACHE}/cd/isolinux.cfg
      xorriso -as mkisofs -quiet -o ${iso} -b isolinux.bin -c boot.cat -no-emul-boot -boot-load-size 4 \
        -boot-info-table ${CACHE}/cd`);
  }
  const folder = await Deno.makeTempDir({ prefix: "vmsig-installer-" });
  try {
    const medium = hasMenu
      ? ["--cdrom", iso]
      : ["--kernel", `${IMAGES}/linux`, "--initrd", `${IMAGES}/initrd.gz`];
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--config", `${ROOT}deno.json`, `${ROOT}examples/installer.ts`, ...medium, ...TCG],
      cwd: folder,
    }).output();
    const decoder = new TextDecoder();
    assertEquals(code, 0, decoder.decode(stderr));
    const text = decoder.decode(stdout);
    if (hasMenu) assertMatch(text, /^the boot menu: install$/m);
    assertMatch(
      text,
      /Select a language[\s\S]*keyboard[\s\S]*Ethernet card[\s\S]*wants a network[\s\S]*No network interfaces/,
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
