/**
 * Which files to load, and in which order, so that the wanted modules of a kernel work. A package that was
 * only unpacked has no modules.dep (depmod makes it at installation), so the dependencies are read from
 * where depmod reads most of them: the `.modinfo` section of each module. Symbol versions are not looked at.
 * @module
 */
import { Fault } from "../../src/base/fault.ts";
import type { Kernel } from "./kernel_package.ts";

/** A module's file, uncompressed. */
export interface ModuleFile {
  /** The name with underscores, as /proc/modules shows it. */
  readonly name: string;
  /** What insmod loads. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

const indexes = new Map<string, Map<string, string>>();

/**
 * The files of the wanted modules and of what they depend on, each after its dependencies. A module that is
 * built into the kernel is left out.
 *
 * @throws {Fault} `missing` when the kernel has no such module
 */
export async function modulesInOrder(kernel: Kernel, wanted: readonly string[]): Promise<ModuleFile[]> {
  const paths = moduleIndex(kernel);
  const builtin = new Set(
    (await Deno.readTextFile(`${kernel.modulesDir}/modules.builtin`)).trim().split("\n").map(moduleName),
  );
  const done = new Set<string>();
  const files: ModuleFile[] = [];
  const add = async (name: string, whoWants: string): Promise<void> => {
    if (done.has(name) || builtin.has(name)) return;
    done.add(name);
    const path = paths.get(name);
    if (path === undefined) {
      throw new Fault("missing", `Cannot find module ${name} (for ${whoWants}) in kernel ${kernel.release}`);
    }
    const bytes = await uncompressed(path);
    for (const dependency of dependenciesOf(bytes)) await add(dependency, name);
    files.push({ name, bytes });
  };
  for (const name of wanted) await add(moduleName(name), "the guest");
  return files;
}

/** The module's name from its path or from either spelling. */
function moduleName(path: string): string {
  return path.replace(/^.*\//, "").replace(/\.ko(\.\w+)?$/, "").replaceAll("-", "_");
}

function moduleIndex(kernel: Kernel): Map<string, string> {
  let index = indexes.get(kernel.modulesDir);
  if (index !== undefined) return index;
  index = new Map<string, string>();
  const folders = [`${kernel.modulesDir}/kernel`];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    for (const entry of Deno.readDirSync(folder)) {
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory) folders.push(path);
      else if (/\.ko(\.\w+)?$/.test(entry.name)) index.set(moduleName(path), path);
    }
  }
  indexes.set(kernel.modulesDir, index);
  return index;
}

async function uncompressed(path: string): Promise<Uint8Array<ArrayBuffer>> {
  if (path.endsWith(".ko")) return await Deno.readFile(path);
  const program = path.endsWith(".zst") ? "zstd" : path.endsWith(".xz") ? "xz" : "gzip";
  const command = new Deno.Command(program, { args: ["-dc", path], stdout: "piped", stderr: "null" });
  const { success, stdout } = await command.output();
  if (!success) throw new Fault("missing", `Cannot decompress ${path}: ${program} failed`);
  return new Uint8Array(stdout);
}

/** The `depends=` entry of the `.modinfo` section of an ELF64 file. */
function dependenciesOf(module: Uint8Array<ArrayBuffer>): string[] {
  const info = elfSection(module, ".modinfo");
  const text = new TextDecoder("latin1").decode(info);
  const depends = text.split("\0").find((entry) => entry.startsWith("depends="))?.slice("depends=".length) ??
    "";
  return depends.split(",").filter((name) => name !== "").map(moduleName);
}

function elfSection(elf: Uint8Array<ArrayBuffer>, wanted: string): Uint8Array<ArrayBuffer> {
  const view = new DataView(elf.buffer, elf.byteOffset, elf.byteLength);
  const headers = Number(view.getBigUint64(0x28, true));
  const entryBytes = view.getUint16(0x3a, true);
  const count = view.getUint16(0x3c, true);
  const header = (i: number) => headers + i * entryBytes;
  const offsetOf = (i: number) => Number(view.getBigUint64(header(i) + 0x18, true));
  const names = offsetOf(view.getUint16(0x3e, true));
  const decoder = new TextDecoder();
  for (let i = 0; i < count; i++) {
    const at = names + view.getUint32(header(i), true);
    const name = decoder.decode(elf.subarray(at, elf.indexOf(0, at)));
    if (name !== wanted) continue;
    const size = Number(view.getBigUint64(header(i) + 0x20, true));
    return elf.subarray(offsetOf(i), offsetOf(i) + size);
  }
  throw new Fault("missing", `Cannot read a kernel module: it has no ${wanted} section`);
}
