/**
 * What is available about a Linux guest beyond its lists ({@linkcode GuestInsight}): combines the readers of
 * this folder. The kernel's types are read once, at the first query that needs them.
 * @module
 */
import { textOfBytes } from "../../base/byte_text.ts";
import { MAX_COMMAND_LINE_BYTES, MAX_LISTING } from "../../base/limits.ts";
import type {
  GuestInsight,
  LogRecord,
  Mount,
  OpenFile,
  OpenSocket,
  ProcessFacts,
  TypeLayout,
  Unsupported,
} from "../insight.ts";
import type { AddressSpace } from "../address_space.ts";
import type { ListEnd, Listing, Process } from "../process.ts";
import { FileTable } from "./file_table.ts";
import { isfOf } from "./isf.ts";
import type { KernelTypes } from "./kernel_types.ts";
import type { KernelView } from "./kernel_view.ts";
import { MountList } from "./mount_list.ts";
import { readLog } from "./printk_log.ts";
import { SocketFacts } from "./socket_facts.ts";
import { TaskFacts } from "./task_facts.ts";
import { declare, typeLines } from "./type_text.ts";
import type { NearestSymbol } from "../guest_os.ts";
import type { TypedValue, ValueOptions } from "../typed_value.ts";
import { readValue } from "./value_reader.ts";

/** A kernel's release, who built it where, by what, and when. */
const MAX_BANNER_BYTES = 1024;

/** What it needs of its guest. */
export interface InsightParts {
  /** The kernel. */
  readonly view: KernelView;
  /** Its types. */
  readonly types: KernelTypes;
  /** Address of a symbol. */
  symbol(name: string): number | undefined;
  /** All symbols of the kernel's image; undefined without kallsyms. */
  symbols(): ReadonlyMap<string, number> | undefined;
  /** The symbol at an address of the kernel's image. */
  nearestSymbol(address: number): NearestSymbol | undefined;
  /** All processes. */
  processes(): Listing<Process>;
  /** The address space of a process. */
  spaceOf(process: Process): AddressSpace;
  /** The process's mm_struct now. */
  mmOf(process: Process): number | undefined;
}

/** The answers of one kernel. */
export class LinuxInsight implements GuestInsight {
  readonly #parts: InsightParts;
  readonly #facts: TaskFacts;
  readonly #files: FileTable;
  readonly #sockets: SocketFacts;
  readonly #mounts: MountList;

  /**
   * Looks the fields up; nothing of a process is read yet.
   *
   * @param parts the guest's
   */
  constructor(parts: InsightParts) {
    const { view, types } = parts;
    this.#parts = parts;
    this.#facts = new TaskFacts(view.space, types);
    this.#files = new FileTable(view, types);
    this.#sockets = new SocketFacts(view, types);
    this.#mounts = new MountList(view, types);
  }

  log(last?: number): Listing<LogRecord> | Unsupported {
    const { view, types } = this.#parts;
    view.space.memory.verify();
    const prb = this.#parts.symbol("prb");
    if (prb === undefined) return { unsupported: "it has no printk ring buffer (kernels before 5.10)" };
    return readLog(view.space, types, prb, last);
  }

  symbols(): ReadonlyMap<string, number> | Unsupported {
    this.#parts.view.space.memory.verify();
    return this.#parts.symbols() ?? { unsupported: "it has no symbol table (CONFIG_KALLSYMS)" };
  }

  symbolTable(): { readonly text: string } | Unsupported {
    const symbols = this.symbols();
    if ("unsupported" in symbols) return symbols;
    const { types, view } = this.#parts;
    const place = this.#parts.symbol("linux_banner");
    const bytes = new Uint8Array(MAX_BANNER_BYTES);
    const have = place === undefined ? 0 : view.space.read(place, bytes);
    const end = bytes.subarray(0, have).indexOf(0);
    if (end < 0) return { unsupported: "its linux_banner cannot be read" };
    const banner = bytes.subarray(0, end + 1);
    return { text: isfOf({ types, symbols, kernelOffset: view.kernelOffset, banner }) };
  }

  facts(process: Process): ProcessFacts {
    return this.#facts.of(process.object);
  }

  files(process: Process): Listing<OpenFile> | Unsupported {
    return this.#files.read(process.object);
  }

  sockets(process?: Process): Listing<OpenSocket> | Unsupported {
    if (!this.#sockets.isKnown) return { unsupported: "its BTF lacks a field of sockets" };
    const processes = process === undefined ? this.#parts.processes() : undefined;
    const items: OpenSocket[] = [];
    let early: ListEnd | undefined;
    for (const one of processes?.items ?? [process as Process]) {
      const files = this.#files.read(one.object, true);
      if ("unsupported" in files) return files;
      for (const { fd, inode, object } of files.items) {
        const socket = this.#sockets.of(object);
        if (socket === undefined) continue;
        if (items.length >= MAX_LISTING) {
          return { items, end: { complete: false, reason: "too-many", at: object } };
        }
        items.push({ pid: one.pid, fd, inode, ...socket });
      }
      if (files.end.complete) continue;
      if (process !== undefined) return { items, end: files.end };
      // A process that has ended meanwhile is skipped.
      if (early === undefined && this.#isThere(one)) early = files.end;
    }
    return { items, end: early ?? processes?.end ?? { complete: true } };
  }

  #isThere({ pid, object }: Process): boolean {
    return this.#parts.processes().items.some((one) => one.pid === pid && one.object === object);
  }

  environment(process: Process): readonly string[] {
    const { types, view } = this.#parts;
    const [startAt, endAt] = [types.at("mm_struct.env_start"), types.at("mm_struct.env_end")];
    const mm = this.#parts.mmOf(process);
    if (mm === undefined || startAt === undefined || endAt === undefined || process.root === 0) return [];
    const start = view.space.readU64(mm, startAt);
    const size = view.space.readU64(mm, endAt) - start;
    if (!(size > 0)) return [];
    const bytes = new Uint8Array(Math.min(size, MAX_COMMAND_LINE_BYTES));
    const have = this.#parts.spaceOf(process).read(start, bytes);
    return textOfBytes(bytes.subarray(0, have)).split("\0").filter((entry) => entry !== "");
  }

  mounts(process?: Process): Listing<Mount> | Unsupported {
    const viewer = process ?? this.#parts.processes().items.find(({ pid }) => pid === 1);
    if (viewer === undefined) return { unsupported: "no process 1 is running in it" };
    return this.#mounts.read(viewer.object);
  }

  type(name: string): TypeLayout | undefined {
    const { types } = this.#parts;
    const id = types.find(name);
    if (id === undefined) return undefined;
    const members = Array.from(types.members(types.plain(id)), (member) => ({
      name: member.name,
      declaration: declare(types, member.type, member.name),
      bits: member.bits,
      width: member.width,
    }));
    return { name: types.name(id), sizeBytes: types.size(id), members, lines: typeLines(types, id) };
  }

  value(type: string, address: number, options?: ValueOptions): TypedValue | undefined {
    const { types, view } = this.#parts;
    view.space.memory.verify();
    const id = types.find(type);
    if (id === undefined) return undefined;
    const nearestSymbol = (at: number) => this.#parts.nearestSymbol(at);
    return readValue({ space: view.space, types, nearestSymbol }, id, address, options);
  }
}
