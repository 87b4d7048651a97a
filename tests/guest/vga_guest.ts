/**
 * A VM whose boot sector does to its VGA what a test tells it (vga_boot.S): modes by dispi registers,
 * patterns in video memory, the firmware's text. No kernel, so that it is there in a second.
 * @module
 */
import { cached, contentHash } from "./content_cache.ts";
import { GuestError, within } from "./guest_process.ts";
import { type MachineOptions, type Qemu, startFirmware } from "./qemu.ts";
import { TestQmp } from "./test_qmp.ts";
import { type DisplayCard, parseDisplayCards } from "../../src/display/vga/monitor_texts.ts";
import { askMonitor, placeOf } from "./card_rig.ts";
import type { VideoMemoryPlace } from "../../src/display/vga/video_memory.ts";

const SOURCE = new URL("./vga_boot.S", import.meta.url).pathname;

/** A mode to set. */
export interface TestMode {
  readonly width: number;
  readonly height: number;
  readonly bits: number;
  /** Pixels of a row in memory; the width unless told. */
  readonly virtualWidth?: number;
  readonly xOffset?: number;
  readonly yOffset?: number;
}

/** The VM. */
export class VgaGuest implements AsyncDisposable {
  readonly vm: Qemu;
  readonly qmp: TestQmp;
  readonly #connection: Deno.Conn;
  readonly #dir: string;

  private constructor(vm: Qemu, qmp: TestQmp, connection: Deno.Conn, dir: string) {
    this.vm = vm;
    this.qmp = qmp;
    this.#connection = connection;
    this.#dir = dir;
  }

  /** Starts it and waits for its boot sector. */
  static start(options: MachineOptions = {}): Promise<VgaGuest> {
    return VgaGuest.#start(options, true);
  }

  /** Starts one that waits for a migration from another of these options. */
  static incoming(options: MachineOptions = {}): Promise<VgaGuest> {
    const extraArgs = [...options.extraArgs ?? [], "-incoming", "defer"];
    return VgaGuest.#start({ ...options, extraArgs }, false);
  }

  static async #start(options: MachineOptions, isBooting: boolean): Promise<VgaGuest> {
    const disk = await bootDisk();
    const dir = await Deno.makeTempDir({ prefix: "vmsig-vga-" });
    let vm: Qemu | undefined;
    let qmp: TestQmp | undefined;
    using listener = Deno.listen({ transport: "unix", path: `${dir}/port` });
    try {
      vm = await startFirmware({
        ...options,
        extraArgs: [
          ...[
            "-drive",
            `file=${disk},format=raw,if=none,id=boot,snapshot=on`,
            "-device",
            "ide-hd,drive=boot",
          ],
          ...["-chardev", `socket,id=vga,path=${dir}/port`, "-serial", "chardev:vga"],
          ...options.extraArgs ?? [],
        ],
      });
      const connection = await within(listener.accept(), 180_000, () => "the VGA guest's port");
      const own = options.qmpSockets === undefined ? vm.qmpPath : vm.qmpPaths[options.qmpSockets - 1];
      qmp = await TestQmp.connect(own as string);
      const guest = new VgaGuest(vm, qmp, connection, dir);
      if (isBooting) await guest.answer();
      return guest;
    } catch (error) {
      await qmp?.[Symbol.asyncDispose]();
      await vm?.[Symbol.asyncDispose]();
      await Deno.remove(dir, { recursive: true });
      throw error;
    }
  }

  /** An answer of the human monitor. */
  async monitor(line: string): Promise<string> {
    return await askMonitor(this.qmp, line);
  }

  /** Its display cards. */
  async cards(): Promise<DisplayCard[]> {
    return parseDisplayCards(await this.monitor("info pci"));
  }

  /** Where a card's video memory lies. */
  place(card: DisplayCard): Promise<VideoMemoryPlace & { readonly region: string }> {
    return placeOf(this.vm.pid, this.qmp, card);
  }

  /** Writes a dispi register, through the guest's ports. */
  async register(index: number, value: number): Promise<void> {
    await this.command(0x72, index, value & 0xff, value >> 8);
  }

  /** Sets a mode as a driver does. */
  async setMode(mode: TestMode): Promise<void> {
    await this.register(4, 0);
    await this.register(1, mode.width);
    await this.register(2, mode.height);
    await this.register(3, mode.bits);
    await this.register(4, 0x41);
    if (mode.virtualWidth !== undefined) await this.register(6, mode.virtualWidth);
    if (mode.xOffset !== undefined) await this.register(8, mode.xOffset);
    if (mode.yOffset !== undefined) await this.register(9, mode.yOffset);
  }

  /** Fills video memory from its start with noise. */
  async fill(seed: number, banks: number): Promise<void> {
    await this.command(0x66, ...bytesOf32(seed), banks & 0xff);
  }

  /** The same, but each pixel of 32 bits is black or grey. */
  async speckle(seed: number, banks: number): Promise<void> {
    await this.command(0x67, ...bytesOf32(seed), banks & 0xff);
  }

  /** An interrupt 0x10 of the firmware. */
  async video(ax: number, bx = 0, cx = 0, dx = 0): Promise<void> {
    await this.command(0x69, ...[ax, bx, cx, dx].flatMap((word) => [word & 0xff, word >> 8]));
  }

  /** Prints bytes as the firmware's teletype does. */
  async print(bytes: Uint8Array): Promise<void> {
    await this.command(0x70, bytes.length & 0xff, bytes.length >> 8, ...bytes);
  }

  /** Writes one byte of video memory. */
  async poke(at: number, value: number): Promise<void> {
    await this.command(0x77, at >>> 16, at & 0xff, at >>> 8 & 0xff, value);
  }

  /** Writes a byte to a port. */
  async port(port: number, value: number): Promise<void> {
    await this.command(0x6f, port & 0xff, port >> 8, value);
  }

  /** A screendump as PPM, with the VM stopped or not. */
  async screendump(device?: string): Promise<Uint8Array<ArrayBuffer>> {
    const file = `${this.#dir}/dump.ppm`;
    await this.qmp.execute("screendump", { filename: file, ...(device === undefined ? {} : { device }) });
    return await Deno.readFile(file);
  }

  /** Sends a command, and waits until it is done. */
  async command(...bytes: number[]): Promise<void> {
    const all = Uint8Array.from(bytes);
    for (let at = 0; at < all.length;) at += await this.#connection.write(all.subarray(at));
    await this.answer();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#connection.close();
    await this.qmp[Symbol.asyncDispose]();
    await this.vm[Symbol.asyncDispose]();
    await Deno.remove(this.#dir, { recursive: true });
  }

  /** Waits for a command's end, or for the boot sector after a reset. */
  async answer(): Promise<void> {
    const byte = new Uint8Array(1);
    const n = await within(this.#connection.read(byte), 180_000, () => "the VGA guest's answer");
    if (n !== 1 || byte[0] !== 0x6b) throw new GuestError(`the VGA guest answered ${n} ${byte[0]}`);
  }
}

function bytesOf32(value: number): number[] {
  return [value & 0xff, value >>> 8 & 0xff, value >>> 16 & 0xff, value >>> 24];
}

async function bootDisk(): Promise<string> {
  const source = await Deno.readTextFile(SOURCE);
  return await cached("programs", `vga_boot-${await contentHash([source, "1 MiB"])}`, async (path) => {
    await run("cc", "-c", "-o", `${path}.o`, SOURCE);
    await run("ld", "-Ttext", "0x7c00", "--oformat", "binary", "-o", path, `${path}.o`);
    await Deno.remove(`${path}.o`);
    // SeaBIOS reads no disk of one sector.
    await Deno.truncate(path, 1 << 20);
  });
}

async function run(program: string, ...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(program, { args, stderr: "piped" }).output();
  if (!success) throw new GuestError(`${program}: ${new TextDecoder().decode(stderr)}`);
}
