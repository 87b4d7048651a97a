/**
 * An installer, driven from its boot menu: Debian's netboot installer, as far as it goes without a network.
 * It boots a CD, or a kernel and an initramfs, in a VM of its own, answers the questions, and ends where the
 * installer wants a network.
 *
 *   apt-get install debian-installer-12-netboot-amd64
 *   D=/usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64
 *   deno run -A examples/installer.ts --kernel $D/linux --initrd $D/initrd.gz
 *   deno run -A examples/installer.ts --cdrom mini.iso
 *
 * VMSIG_TRACE=always keeps a trace of it: vmsig trace vmsig-artifacts/*.vmsig -o installer.html
 *
 * @module
 */
import { parseArgs } from "@std/cli";
import { scratchMachine } from "@vmsig/vmsig/testing";

/** A question: what is on the screen then, and the keys that answer it. */
const QUESTIONS: readonly (readonly [shows: RegExp, ...keys: string[]])[] = [
  [/Select a language/, "enter"],
  [/Select your location/, "enter"],
  [/Configure the keyboard/, "enter"],
  [/No Ethernet card was detected/, "enter"],
];
/** The kernel's words: a text screen, which is read exactly, and not the installer's terminal of pictures. */
const WORDS = "fb=false vga=normal";
/** Where it cannot go on. */
const END = /No network interfaces (?:detected|were found)/;
/** The menu of Debian's installer is a picture of this width. */
const MENU_WIDTH = 640;

const given = parseArgs(Deno.args, { string: ["cdrom", "kernel", "initrd", "accelerator"] });
const file = (name: string) => typeof given[name] === "string" ? given[name] as string : undefined;
const [cdrom, kernel, initrd] = ["cdrom", "kernel", "initrd"].map(file);
if (cdrom === undefined && (kernel === undefined || initrd === undefined)) {
  console.error("say --cdrom FILE, or --kernel FILE and --initrd FILE");
  Deno.exit(2);
}

await using scratch = await scratchMachine({
  ...(cdrom === undefined
    ? { kernel: kernel as string, initrd: initrd as string, append: WORDS }
    : { cdrom, args: ["-boot", "d"] }),
  memoryMiB: 1024,
  accelerator: file("accelerator") === "tcg" ? "tcg" : "auto",
  // Without KVM the installer looks for hardware for many minutes.
  timeoutMs: 3_600_000,
});
const { machine: vm } = scratch;

if (cdrom !== undefined) {
  while ((await vm.screen.picture()).width !== MENU_WIDTH) await vm.screen.change();
  await vm.screen.still(1000);
  // The menu is a picture; behind it is a prompt, which is text.
  await vm.key("esc");
  await vm.screen.text(/^boot:/m);
  await vm.type(`install ${WORDS}\n`);
  console.log("the boot menu: install");
}
for (const [shows, ...keys] of QUESTIONS) {
  await vm.screen.text(shows);
  await vm.screen.still(500);
  for (const key of keys) await vm.key(key);
  console.log(`${shows.source}: ${keys.join(" ")}`);
}
await vm.screen.text(END);
console.log("it wants a network; this is as far as it goes without one:");
console.log((await vm.screen.lines()).map((line) => line.trimEnd()).filter((line) => line !== "").join("\n"));
