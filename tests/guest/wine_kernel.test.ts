/**
 * A real PE image as the kernel of a built guest: Debian's libwine has an ntoskrnl.exe. Its exports are
 * compared with those that a plain reader takes from the file.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { Fault } from "../../src/base/fault.ts";
import { AddressSpace } from "../../src/guest/address_space.ts";
import { pagingOf } from "../../src/guest/paging.ts";
import { findWindows } from "../../src/guest/win32/find_windows.ts";
import { PeExports, readPeImage } from "../../src/guest/win32/pe_image.ts";
import { BUILD_24H2, KERNEL_BASE, PROCESSES, signed, WindowsImage } from "../fixtures/windows_image.ts";
import { wineKernel } from "./wine_kernel.ts";

/** What the builder puts behind the image, its variables among it, must count as the kernel's. */
const SIZE_WITH_VARIABLES = 0x0104_6000;
const ENTRY_PAGE = 0xa1_0000;

interface Section {
  readonly rva: number;
  readonly offset: number;
  /** Bytes in the file. */
  readonly sizeBytes: number;
  /** Bytes in memory: what the file does not give is zeros. */
  readonly memoryBytes: number;
}

/** A PE file, read the plain way: by file offsets. */
class PeFile {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView;
  readonly pe: number;
  readonly sections: Section[] = [];

  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.pe = this.view.getUint32(0x3c, true);
    const first = this.pe + 24 + this.view.getUint16(this.pe + 20, true);
    for (let i = 0; i < this.view.getUint16(this.pe + 6, true); i++) {
      const at = first + i * 40;
      const sizeBytes = Math.min(this.view.getUint32(at + 8, true), this.view.getUint32(at + 16, true));
      this.sections.push({
        rva: this.view.getUint32(at + 12, true),
        offset: this.view.getUint32(at + 20, true),
        sizeBytes,
        memoryBytes: this.view.getUint32(at + 8, true),
      });
    }
  }

  /** Its pages as a loader would lay them out. */
  pages(): Map<number, Uint8Array<ArrayBuffer>> {
    const pages = new Map<number, Uint8Array<ArrayBuffer>>();
    const headerBytes = this.view.getUint32(this.pe + 24 + 60, true);
    const header = { rva: 0, offset: 0, sizeBytes: headerBytes, memoryBytes: headerBytes };
    for (const { rva, offset, sizeBytes, memoryBytes } of [header, ...this.sections]) {
      for (let at = 0; at < memoryBytes; at += 4096) {
        const page = new Uint8Array(4096);
        if (at < sizeBytes) {
          page.set(this.bytes.subarray(offset + at, offset + Math.min(at + 4096, sizeBytes)));
        }
        pages.set(rva + at, page);
      }
    }
    return pages;
  }

  /** Name and address of each export that is not forwarded. */
  exports(): Map<string, number> {
    const rva = this.view.getUint32(this.pe + 24 + 112, true);
    const sizeBytes = this.view.getUint32(this.pe + 24 + 116, true);
    const directory = this.#offset(rva);
    const u32 = (at: number): number => this.view.getUint32(at, true);
    const functions = this.#offset(u32(directory + 28));
    const names = this.#offset(u32(directory + 32));
    const ordinals = this.#offset(u32(directory + 36));
    const found = new Map<string, number>();
    for (let i = 0; i < u32(directory + 24); i++) {
      const at = this.#offset(u32(names + i * 4));
      const name = new TextDecoder().decode(this.bytes.subarray(at, this.bytes.indexOf(0, at)));
      const address = u32(functions + this.view.getUint16(ordinals + i * 2, true) * 4);
      if (address < rva || address >= rva + sizeBytes) found.set(name, address);
    }
    return found;
  }

  #offset(rva: number): number {
    const section = this.sections.find((s) => rva >= s.rva && rva < s.rva + s.sizeBytes);
    if (section === undefined) throw new Error(`no section holds 0x${rva.toString(16)}`);
    return rva - section.rva + section.offset;
  }
}

async function wineFile(): Promise<PeFile | undefined> {
  try {
    return new PeFile(await Deno.readFile(await wineKernel()));
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    console.log(`wine's ntoskrnl.exe: skipped. ${error.message}`);
    return undefined;
  }
}

const file = await wineFile();

function guestOf(wine: PeFile, left: (rva: number) => boolean = () => true): WindowsImage {
  return new WindowsImage({
    layout: BUILD_24H2,
    forge: (pages) => {
      pages.clear();
      for (const [rva, bytes] of wine.pages()) if (left(rva)) pages.set(rva, bytes);
      const header = pages.get(0);
      assert(header !== undefined);
      assertEquals(pages.has(ENTRY_PAGE), false);
      new DataView(header.buffer).setUint32(wine.pe + 24 + 56, SIZE_WITH_VARIABLES, true);
    },
  });
}

Deno.test({
  name: "wine's ntoskrnl.exe: all exports of a real image are read, and a guest is found through them",
  ignore: file === undefined,
  fn: () => {
    assert(file !== undefined);
    const expected = file.exports();
    assert(expected.size > 1000, `${expected.size} exports in the file`);
    const image = guestOf(file);
    const addressOf = (name: string): number => {
      const rva = expected.get(name);
      assert(rva !== undefined, name);
      return rva;
    };
    image.poke(KERNEL_BASE + BigInt(addressOf("PsInitialSystemProcess")), image.process("System").object);
    image.poke(KERNEL_BASE + BigInt(addressOf("NtBuildNumber")), 0xf000_65f4n);

    const result = findWindows(image.memory);
    assert(result.found, result.found ? "" : result.detail);
    const os = result.os;
    assertEquals(os.version, "10.0.26100");
    const base = signed(KERNEL_BASE);
    for (const [name, rva] of expected) assertEquals(os.symbol(name), base + rva, name);
    assertEquals(os.processes().items.map((process) => process.pid), PROCESSES.map((process) => process.pid));
    // It has no PsLoadedModuleList: said, not made up.
    assertEquals(expected.has("PsLoadedModuleList"), false);
    assertEquals(os.modules().end.complete, false);

    const headers = readPeImage(os.kernel, base);
    assert(headers !== undefined);
    const exports = new PeExports(os.kernel, headers);
    assertEquals([exports.size, exports.lost], [expected.size, 0]);
  },
});

Deno.test({
  name: "wine's ntoskrnl.exe: pages that are not mapped cost what is on them",
  ignore: file === undefined,
  fn: () => {
    assert(file !== undefined);
    const expected = file.exports();
    const rva = file.view.getUint32(file.pe + 24 + 112, true);
    const first = Math.floor(rva / 4096) * 4096;
    const image = guestOf(file, (page) => page < first + 8192 || page >= first + 12_288);
    const root = image.kernelRoot;
    assertEquals(image.tables.translate(root, KERNEL_BASE + BigInt(first) + 8192n), undefined);
    const space = new AddressSpace(image.memory, pagingOf(4), root);
    const headers = readPeImage(space, signed(KERNEL_BASE));
    assert(headers !== undefined);
    const exports = new PeExports(space, headers);
    assert(exports.lost > 0 && exports.size > 0, `${exports.size} read, ${exports.lost} lost`);
    assert(exports.size < expected.size);
    for (const [name, address] of expected) {
      const got = exports.lookup(name);
      assert(got === undefined || got === signed(KERNEL_BASE) + address, name);
    }
  },
});
