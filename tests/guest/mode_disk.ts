/**
 * A machine whose screen a test sets: a firmware that boots programs/modes.S, and a serial line that tells it
 * which mode to set next.
 * @module
 */
import { Fault } from "../../src/base/fault.ts";
import { cached, contentHash } from "./content_cache.ts";
import { within } from "./guest_process.ts";
import { type MachineOptions, type Qemu, startFirmware } from "./qemu.ts";

/** Modes that SeaBIOS' VGA has, by what they are. */
export const MODE = {
  TEXT: 0xff03,
  /** The graphics mode that is set, with another pattern. */
  REPAINT: 0xfe00,
  "640x400x8": 0x100,
  "640x480x15": 0x110,
  "640x480x16": 0x111,
  "640x480x24": 0x112,
  "800x600x16": 0x114,
  "1024x768x24": 0x118,
  "320x200x32": 0x140,
  "640x400x32": 0x141,
  "640x480x32": 0x142,
  "800x600x32": 0x143,
  "1024x768x32": 0x144,
  "1280x1024x32": 0x145,
} as const;

const SOURCE = new URL("./programs/modes.S", import.meta.url).pathname;
const DISK_BYTES = 1024 * 1024;
const LIMIT_MS = 180_000;

/** A machine that sets the modes that it is told. */
export class ModeMachine implements AsyncDisposable {
  /** The machine. */
  readonly vm: Qemu;
  readonly #line: Deno.Conn;

  private constructor(vm: Qemu, line: Deno.Conn) {
    this.vm = vm;
    this.#line = line;
  }

  /**
   * Boots it, up to its first text screen.
   *
   * @param extra makes more arguments for QEMU, which may use the folder that it is given
   */
  static async start(
    options: MachineOptions = {},
    extra: (dir: string) => string[] = () => [],
  ): Promise<ModeMachine> {
    const dir = await Deno.makeTempDir({ prefix: "vmsig-modes-" });
    const path = `${dir}/modes.sock`;
    const listener = Deno.listen({ transport: "unix", path });
    let vm: Qemu | undefined;
    try {
      vm = await startFirmware({
        ...options,
        extraArgs: [
          ...["-drive", `if=ide,format=raw,snapshot=on,file=${await sector()}`],
          ...["-chardev", `socket,id=modes,path=${path}`, "-serial", "chardev:modes"],
          ...options.extraArgs ?? [],
          ...extra(dir),
        ],
      });
      const machine = new ModeMachine(vm, await listener.accept());
      await machine.set(MODE.TEXT);
      return machine;
    } catch (error) {
      await vm?.[Symbol.asyncDispose]();
      throw error;
    } finally {
      listener.close();
      await Deno.remove(dir, { recursive: true });
    }
  }

  /** Sets a mode, and comes back when the machine has painted it. */
  async set(mode: number): Promise<void> {
    await this.#line.write(new Uint8Array([mode & 255, mode >> 8]));
    const answer = new Uint8Array(1);
    await within(this.#line.read(answer), LIMIT_MS, () => `mode 0x${mode.toString(16)}`);
    if (answer[0] !== 46) throw new Error(`the machine answers a mode with ${answer[0]}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#line.close();
    await this.vm[Symbol.asyncDispose]();
  }
}

/** The assembled boot sector. */
async function sector(): Promise<string> {
  const source = await Deno.readTextFile(SOURCE);
  return await cached(
    "programs",
    `modes-${await contentHash([source, String(DISK_BYTES)])}`,
    async (staging) => {
      await run("as", ["--32", "-o", `${staging}.o`, SOURCE]);
      try {
        const flags = ["-m", "elf_i386", "--oformat", "binary", "-Ttext", "0x7c00"];
        await run("ld", [...flags, "-o", staging, `${staging}.o`]);
        // The firmware boots no disk of a single sector.
        await Deno.truncate(staging, DISK_BYTES);
      } finally {
        await Deno.remove(`${staging}.o`);
      }
    },
  );
}

async function run(program: string, args: readonly string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(program, { args: [...args], stderr: "piped" }).output();
  if (!success) throw new Fault("bad-argument", `Cannot ${program}: ${new TextDecoder().decode(stderr)}`);
}
