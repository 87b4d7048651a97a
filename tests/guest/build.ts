/**
 * The guest builder: from a kernel's name, C programs and modules to a kernel and an initramfs that QEMU
 * boots, in seconds, and from the cache at once. It starts no guest (qemu.ts does).
 *
 *   deno run -A tests/guest/build.ts --kernel generic --program evrec --module uinput --module evdev
 *
 * @module
 */
import { parseArgs } from "@std/cli";
import { exitCodeOf, messageOf } from "../../src/base/fault.ts";
import { compiledProgram, type ProgramSource } from "./c_program.ts";
import { cached, contentHash, fileHash, forgetOldest } from "./content_cache.ts";
import { CpioWriter } from "./cpio_writer.ts";
import { denoRuntime, type PayloadFile, repositoryFiles } from "./deno_payload.ts";
import { modulesInOrder } from "./kernel_modules.ts";
import { type Kernel, type KernelFlavour, kernelOf } from "./kernel_package.ts";

/** What is wanted of a guest. */
export interface GuestSpec {
  /** Which of Debian's kernels; cloud unless said otherwise. */
  readonly kernel?: KernelFlavour;
  /** C programs for /bin; /init is always there. */
  readonly programs?: readonly ProgramSource[];
  /** Modules loaded at boot, in this order, each after what it depends on. */
  readonly modules?: readonly string[];
  /** More files: the guest's path and the content. */
  readonly files?: Readonly<Record<string, string | Uint8Array<ArrayBuffer>>>;
  /** Deno with these folders and files of the checkout under /repo; run it as GUEST_DENO says. */
  readonly deno?: readonly string[];
  /**
   * Whether the guest goes down when its power button is pressed (modules button and evdev). Default true.
   */
  readonly powerButton?: boolean;
}

/** What QEMU boots. */
export interface BuiltGuest {
  /** For -kernel. */
  readonly kernelPath: string;
  /** For -initrd. */
  readonly initrdPath: string;
  /** As uname -r says it. */
  readonly release: string;
}

/** Modules for -device virtio-keyboard-pci and virtio-tablet-pci with evdev. */
export const INPUT_MODULES: readonly string[] = ["virtio_pci", "virtio_input", "evdev"];
/** Modules for -device pvpanic. */
export const PVPANIC_MODULES: readonly string[] = ["pvpanic_mmio"];
/** Modules of the generic kernel that make /dev/fb0 and /dev/dri/card0 of QEMU's standard VGA. */
export const FRAMEBUFFER_MODULES: readonly string[] = ["bochs"];
/** Modules of the generic kernel for a PS/2 mouse and -device usb-tablet on a QEMU with -usb or xhci. */
export const LEGACY_INPUT_MODULES: readonly string[] = [
  "psmouse",
  "uhci_hcd",
  "ehci_pci",
  "xhci_pci",
  "usbhid",
  "hid_generic",
  "evdev",
];

/** Images that are kept, in bytes; one with Deno takes about 190 MB. */
const IMAGES_BYTES = 1536 * 1024 * 1024;

/**
 * Builds a guest, or finds it built.
 *
 * @throws {Fault} `missing` when the machine lacks something (with the remedy), `bad-argument` when a program
 *   does not compile
 */
export async function buildGuest(spec: GuestSpec = {}): Promise<BuiltGuest> {
  const kernel = await kernelOf(spec.kernel ?? "cloud");
  const files = await contentOf(kernel, spec);
  const parts: string[] = [];
  for (const file of files) {
    const hash = typeof file.content === "string"
      ? await fileHash(file.content)
      : await contentHash([file.content]);
    parts.push(`${file.path} ${file.executable} ${hash}`);
  }
  const initrdPath = await cached("images", `${await contentHash(parts)}.cpio`, async (staging) => {
    await writeImage(files, staging);
    await forgetOldest("images", IMAGES_BYTES);
  });
  return { kernelPath: kernel.imagePath, initrdPath, release: kernel.release };
}

interface ImageFile {
  readonly path: string;
  readonly executable: boolean;
  /** The bytes, or the path of the file that has them. */
  readonly content: Uint8Array<ArrayBuffer> | string;
}

async function contentOf(kernel: Kernel, spec: GuestSpec): Promise<ImageFile[]> {
  const wanted = [...spec.modules ?? [], ...(spec.powerButton ?? true) ? ["button", "evdev"] : []];
  const [programs, modules] = await Promise.all([
    Promise.all(
      ["init", ...spec.programs ?? []].map((program) =>
        compiledProgram(program, spec.kernel === "arm64" ? "arm64" : "amd64")
      ),
    ),
    modulesInOrder(kernel, wanted),
  ]);
  const files: ImageFile[] = programs.map(({ name, path }) => ({
    path: name === "init" ? "/init" : `/bin/${name}`,
    executable: true,
    content: path,
  }));
  for (const { name, bytes } of modules) {
    files.push({ path: `/lib/modules/${name}.ko`, executable: false, content: bytes });
  }
  const encoder = new TextEncoder();
  const list = modules.map(({ name }) => `/lib/modules/${name}.ko\n`).join("");
  files.push({ path: "/modules.list", executable: false, content: encoder.encode(list) });
  for (const [path, content] of Object.entries(spec.files ?? {})) {
    files.push({
      path,
      executable: true,
      content: typeof content === "string" ? encoder.encode(content) : content,
    });
  }
  if (spec.deno !== undefined) {
    const payload = [...await denoRuntime(), ...await repositoryFiles(spec.deno)];
    files.push(...payload.map((file: PayloadFile) => ({
      path: file.guestPath,
      executable: file.executable,
      content: file.hostPath,
    })));
  }
  return files;
}

/** Uncompressed: under TCG the kernel takes longer to unpack gzip than QEMU does to copy the bytes. */
async function writeImage(files: readonly ImageFile[], path: string): Promise<void> {
  const cpio = new CpioWriter();
  for (const folder of ["/dev", "/proc", "/sys", "/tmp", "/run", "/bin"]) cpio.folder(folder);
  for (const file of files) {
    const bytes = typeof file.content === "string" ? await Deno.readFile(file.content) : file.content;
    cpio.file(file.path, bytes, file.executable);
  }
  using out = await Deno.open(path, { write: true, createNew: true });
  for (const part of cpio.finish()) {
    for (let at = 0; at < part.length;) at += await out.write(part.subarray(at));
  }
}

function isFlavour(name: unknown): name is KernelFlavour {
  return name === "cloud" || name === "generic" || name === "arm64";
}

if (import.meta.main) {
  const options = parseArgs(Deno.args, {
    string: ["kernel", "program", "module", "deno"],
    collect: ["program", "module", "deno"],
    default: { kernel: "cloud" },
  });
  if (!isFlavour(options.kernel) || options._.length > 0) {
    console.error(
      "usage: build.ts [--kernel cloud|generic|arm64] [--program NAME]… [--module NAME]… [--deno FOLDER]…",
    );
    Deno.exit(2);
  }
  try {
    // `collect` makes each of the three a list of texts.
    const [programs, modules, deno] = [options.program, options.module, options.deno] as string[][];
    const guest = await buildGuest({
      kernel: options.kernel,
      programs: programs ?? [],
      modules: modules ?? [],
      ...(deno !== undefined && deno.length > 0 ? { deno } : {}),
    });
    console.log(JSON.stringify(guest));
  } catch (error) {
    console.error(`vmsig: ${messageOf(error)}`);
    Deno.exit(exitCodeOf(error));
  }
}
