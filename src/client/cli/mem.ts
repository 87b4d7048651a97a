/**
 * `vmsig mem`: reads and writes a guest's memory from outside. With an endpoint it works as a control: MEMCTX
 * provides the RAM, MEMWRITE writes. With `pid:N` or `file:PATH` it needs no daemon.
 * @module
 */
import { resetSignal, SIGNAL } from "../../../ffi/signals.ts";
import { suggestion } from "../../base/closest_name.ts";
import { Fault } from "../../base/fault.ts";
import { hexOfBytes } from "../../base/hex.ts";
import { hexOfGva } from "../../base/ids.ts";
import { findersFor } from "../../guest/finders.ts";
import type { AddressSpace } from "../../guest/address_space.ts";
import type { FindResult, GuestOs } from "../../guest/guest_os.ts";
import { searchMemory } from "../../guest/memory_search.ts";
import { kernelHalf, userHalf } from "../../guest/page_scan.ts";
import { walkFailure } from "../../guest/paging.ts";
import type { PhysicalMemory } from "../../guest/physical_memory.ts";
import type { Process } from "../../guest/process.ts";
import { isTarget, type MemoryTarget, openTarget } from "../../ram/open_target.ts";
import { RamWriter } from "../../ram/ram_writer.ts";
import type { Client } from "../client.ts";
import { GuestView } from "../guest_view.ts";
import type { Call, CommandModule } from "./command.ts";
import { usage } from "./command_line.ts";
import { printHexDump } from "./hex_dump.ts";
import {
  addressOf,
  printEnvironment,
  printFiles,
  printLog,
  printLongProcesses,
  printMounts,
  printSockets,
  printSymbol,
  printType,
} from "./mem_insight.ts";
import { dumpProcess, dumpRam } from "./mem_dump.ts";
import { type ContextFacts, printInfo, printMaps, printModules, printProcesses } from "./mem_listing.ts";
import { printValue } from "./mem_print.ts";
import { writeSymbols } from "./mem_symbols.ts";
import { type Request, requestOf } from "./mem_request.ts";
import { note } from "./note.ts";
import { visible } from "./table.ts";

/** Number of words after each action, or its range. */
const ACTIONS: Readonly<Record<string, number | readonly [min: number, max: number]>> = {
  info: 0,
  ps: 0,
  maps: 1,
  modules: 0,
  read: 3,
  write: 3,
  find: 2,
  dmesg: 0,
  files: 1,
  sockets: [0, 1],
  env: 1,
  mounts: [0, 1],
  sym: 1,
  type: 1,
  print: [1, 3],
  dump: 1,
  symbols: 1,
};
const CHUNK_BYTES = 65_536;
const DEFAULT_LIMIT = 1024;

/** An opened guest, from any target. */
interface Opened extends AsyncDisposable {
  /** The name of the target. */
  readonly name: string;
  readonly guest: FindResult;
  readonly memory: PhysicalMemory;
  readonly facts: ContextFacts;
  /** Throws if what was read may belong to another guest by now. */
  check(): Promise<void>;
  /** Writes to a virtual address. */
  write(space: AddressSpace, root: number | undefined, gva: number, bytes: Uint8Array): Promise<void>;
}

/** The command. */
export const mem: CommandModule = {
  args: { min: 2, max: 5 },
  options: {
    raw: { takes: "nothing", help: "read: write the raw bytes, for another program" },
    long: { takes: "nothing", help: "ps: also show user, state, threads, start and command line" },
    last: {
      takes: "number",
      value: "N",
      min: 1,
      max: 1_000_000,
      help: "dmesg: only the N newest records (all)",
    },
    limit: {
      takes: "number",
      value: "N",
      min: 1,
      max: 1_000_000,
      help: `find: how many at most (${DEFAULT_LIMIT})`,
    },
    follow: { takes: "list", value: "F,…", help: "print: follow pointers of these fields: mm, mm.exe_file" },
    pid: { takes: "number", value: "N", min: 1, max: 2 ** 31, help: "dump: one process, as a core for gdb" },
    isf: { takes: "nothing", help: "symbols: with the kernel's types, as volatility3's symbol table" },
  },
  details:
    `info shows the guest's system, ps its processes, maps the mappings of a process, modules the kernel's modules. read
shows LEN bytes at GVA (an address, or a symbol such as init_task+0x10), write writes HEX there, find searches for
HEX, dump writes an ELF core to FILE. PID or "kernel" selects the address space; addresses are 0x… or decimal. dmesg
shows the kernel's log, also after a panic; ps --long shows what the processes are doing (START is in seconds since
boot); files, sockets, env and mounts show a process's open files, its sockets, its environment and the mounts that
it sees. sym shows the address of a symbol of the kernel or of a loaded module (NAME, or MODULE:NAME), or the symbol
at an address; type the layout of a type with byte offsets; print a value of a type at an address (or symbol).
--follow mm follows all pointers of that name, mm.exe_file only that one. These are for Linux guests. Names are
escaped in the same way with and without --json: \\\\ is a backslash, \\xNN a byte that is not text or a control
character, \\u{N} another character that cannot be shown.

In place of ENDPOINT, pid:N is a QEMU process and file:PATH a raw RAM image, an ELF core, or another dump (kdump,
LiME, AVML, VMware): no daemon is needed. write to an endpoint acquires the memwrite lease for the command, and is
allowed only where the daemon's config has a [write] extent; write to pid:N needs the right to write to QEMU's
memory. Pages that the guest has mapped read-only are not written to. Without KVM (QEMU's TCG), code that is written
has no effect where QEMU has translated the old code already.

dump writes all RAM, with a Linux kernel's VMCOREINFO note, for drgn and the like; with --pid one process for gdb,
with the registers of its threads that were off the CPU. Pages that the host has not allocated are holes in FILE;
FILE appears when it is complete. A running guest changes while it is read: stop the VM first for a consistent dump.
symbols writes the kernel's symbols as an ELF file for gdb: gdb FILE, then "target remote" to where vmsig gdb
listens. They are valid for this boot only. With --isf it is the symbol table that volatility3 wants of a kernel,
made without debug information: put it as linux/NAME.json into a folder, and run vol -s FOLDER -f DUMP linux.pslist.
It holds for every boot of this build.`,
  examples: [
    "mem web ps",
    "mem web dmesg --last 20",
    "mem web type list_head",
    "mem web print 'task_struct init_task' --follow mm,real_parent",
    "mem web read 1 0x7ffd00001000 64",
    "mem pid:4711 info --json",
    "mem web dump web.core",
    "mem web symbols web.elf",
    "mem web symbols linux/web.json --isf",
    'mem file:ram.bin find kernel "4c 69 6e 75 78"',
  ],
  async run(call) {
    const [target = "", action = "", ...rest] = call.args;
    const wanted = Object.hasOwn(ACTIONS, action) ? ACTIONS[action] : undefined;
    if (wanted === undefined) {
      const close = suggestion(action, Object.keys(ACTIONS));
      throw usage("mem", `there is no action ${visible(action)}${close}`);
    }
    const [min, max] = typeof wanted === "number" ? [wanted, wanted] : wanted;
    if (rest.length < min || rest.length > max) {
      const many = min === max ? `${min}` : `${min} or ${max}`;
      throw usage("mem", `${action} takes ${many} more arguments, not ${rest.length}`);
    }
    if (action !== "read" && call.flag("raw")) throw usage("mem", "--raw belongs to read");
    if (action !== "dump" && call.number("pid") !== undefined) throw usage("mem", "--pid belongs to dump");
    if (action !== "symbols" && call.flag("isf")) throw usage("mem", "--isf belongs to symbols");
    if (action !== "print" && call.list("follow") !== undefined) {
      throw usage("mem", "--follow belongs to print");
    }
    const request = requestOf(action, rest);
    if (isTarget(target)) {
      await using opened = openHere(target, action === "dump");
      await act(call, opened, request);
      return;
    }
    if (call.nats !== undefined) {
      const { askMemoryThere } = await import("./mem_remote.ts");
      return await askMemoryThere(call, call.nats);
    }
    await using client = await call.connect({ sources: ["CORE", "MEMCTX"] });
    await using opened = await openThere(client, target, call.signal);
    await act(call, opened, request);
  },
};

async function act(call: Call, opened: Opened, request: Request): Promise<void> {
  const { out, json } = call;
  const dumped = call.number("pid");
  if (request.action === "symbols") {
    await writeSymbols(call, found(opened.guest, opened.name), request.path as string);
    return await opened.check();
  }
  if (request.path !== undefined && dumped === undefined) {
    return await dumpRam(call, request.path, opened.guest, opened);
  }
  const os = found(opened.guest, opened.name);
  if (request.path !== undefined) {
    return await dumpProcess(call, request.path, os, processOf(call, os, dumped as number), opened);
  }
  switch (request.action) {
    case "info":
      printInfo(out, json, os, opened.facts);
      break;
    case "ps":
      if (call.flag("long")) printLongProcesses(out, json, os);
      else printProcesses(out, json, os);
      break;
    case "dmesg":
      printLog(out, json, os, call.number("last"));
      break;
    case "files":
      printFiles(out, json, os, ownerOf(call, os, request.pid as number, "open files"));
      break;
    case "sockets":
      printSockets(out, json, os, request.pid === "kernel" ? undefined : processOf(call, os, request.pid));
      break;
    case "env":
      printEnvironment(out, json, os, ownerOf(call, os, request.pid as number, "environment"));
      break;
    case "mounts":
      printMounts(out, json, os, request.pid === "kernel" ? undefined : processOf(call, os, request.pid));
      break;
    case "sym":
      printSymbol(out, json, os, request.gva as string);
      break;
    case "type":
      printType(out, json, os, request.gva as string);
      break;
    case "print":
      printValue(out, json, os, {
        type: request.type as string,
        at: request.gva,
        follow: call.list("follow") ?? [],
      });
      break;
    case "modules":
      printModules(out, json, os);
      break;
    case "maps":
      printMaps(out, json, os, ownerOf(call, os, request.pid as number, "mappings"));
      break;
    case "read":
      read(call, os, request);
      break;
    case "find":
      find(call, spaceOf(call, os, request.pid), request);
      break;
    default:
      return await write(call, opened, request);
  }
  await opened.check();
}

function processOf(call: Call, os: GuestOs, pid: number): Process {
  const process = os.process(pid);
  if (process !== undefined) return process;
  const why = pid === 0 ? ": 0 is the kernel's idle task, which no list has" : "";
  const list = `"vmsig mem ${call.args[0]} ps" lists them`;
  throw new Fault("bad-argument", `Cannot find process ${pid} in the guest${why}; ${list}`);
}

/** A kernel thread asked for what only a program has: the reason for the empty answer is printed. */
function ownerOf(call: Call, os: GuestOs, pid: number, what: string): Process {
  const process = processOf(call, os, pid);
  if (process.root === 0) {
    const state = process.kernelThread ? "is a kernel thread" : "has ended, and waits for its parent";
    note(call, `process ${pid} (${visible(process.name)}) ${state}: it has no ${what}`);
  }
  return process;
}

function spaceOf(call: Call, os: GuestOs, pid: number | "kernel"): AddressSpace {
  return pid === "kernel" ? os.kernel : os.spaceOf(processOf(call, os, pid));
}

function read(call: Call, os: GuestOs, request: Request): void {
  const { length } = request;
  const space = spaceOf(call, os, request.pid);
  const gva = addressOf(os, request.gva);
  const { out, json } = call;
  const isRaw = call.flag("raw");
  const whole = json ? new Uint8Array(length) : new Uint8Array(Math.min(length, CHUNK_BYTES));
  let done = 0;
  while (done < length) {
    const at = json ? done : 0;
    const n = Math.min(CHUNK_BYTES, length - done);
    const have = space.read(gva + done, whole, at, n);
    if (isRaw && !json) out.bytes(whole.subarray(0, have));
    else if (!json) printHexDump(out, gva + done, whole.subarray(0, have));
    done += have;
    if (have < n) break;
  }
  if (json && done > 0) out.json({ gva: hexOfGva(gva), hex: hexOfBytes(whole.subarray(0, done)) });
  if (done === length) return;
  throw new Fault(
    "not-mapped",
    `Cannot read ${length} bytes at ${hexOfGva(gva)}: after ${done} bytes, ${hexOfGva(gva + done)} is ${
      walkFailure(space.failure)
    }`,
  );
}

function find(call: Call, space: AddressSpace, { bytes, pid }: Request): void {
  const limit = call.number("limit") ?? DEFAULT_LIMIT;
  const { from, to } = pid === "kernel" ? kernelHalf(space) : userHalf(space);
  const { addresses } = searchMemory(space, bytes, from, to, limit);
  for (const gva of addresses) {
    if (call.json) call.out.json({ gva: hexOfGva(gva) });
    else call.out.line(hexOfGva(gva));
  }
  if (addresses.length === 0) {
    throw new Fault("not-mapped", `Cannot find these ${bytes.length} bytes: no mapped page holds them`);
  }
}

async function write(call: Call, opened: Opened, request: Request): Promise<void> {
  const { pid, bytes } = request;
  const gva = request.gva as number;
  const os = found(opened.guest, opened.name);
  const process = pid === "kernel" ? undefined : processOf(call, os, pid);
  const space = process === undefined ? os.kernel : os.spaceOf(process);
  await opened.write(space, process === undefined ? undefined : space.root, gva, bytes);
  if (call.json) call.out.json({ gva: hexOfGva(gva), bytes: bytes.length, ok: true });
  else call.out.line(`${bytes.length} bytes written at ${hexOfGva(gva)}`);
}

function found(guest: FindResult, name: string): GuestOs {
  if (guest.found) return guest.os;
  const code = guest.reason === "no-kernel" ? "seam-down" : "not-supported";
  throw new Fault(code, `Cannot read the guest of ${name}: ${guest.reason}: ${guest.detail}`);
}

async function openThere(client: Client, ref: string, signal: AbortSignal): Promise<Opened> {
  const view = await GuestView.open(client, ref, { signal });
  try {
    const { epoch, ramBytes, lowBytes, endpoint, guest, memory } = view;
    return {
      name: ref,
      guest,
      memory,
      facts: { epoch, ramBytes, lowBytes },
      check: () => view.check(),
      async write(_space, root, gva, bytes) {
        await using _lease = await client.acquire(endpoint, "memwrite", { signal });
        await client.writeMemory(endpoint, gva, bytes, root === undefined ? {} : { cr3: root });
      },
      [Symbol.asyncDispose]: () => view[Symbol.asyncDispose](),
    };
  } catch (error) {
    await view[Symbol.asyncDispose]();
    throw error;
  }
}

function openHere(name: string, writesFile: boolean): Opened {
  // No resources are held and the event loop does not run: Ctrl-C and SIGTERM end the process at once, even
  // while the kernel blocks it on another process. A dump handles them itself, and removes its file.
  if (!writesFile) { for (const signal of [SIGNAL.INT, SIGNAL.TERM]) resetSignal(signal); }
  const target = openTarget(name, findersFor("auto"));
  try {
    const { memory, lowBytes, guest } = target;
    return {
      name,
      guest,
      memory,
      facts: { epoch: null, ramBytes: memory.ramBytes, lowBytes },
      check: () => Promise.resolve(memory.verify()),
      write: (space, _root, gva, bytes) => Promise.resolve(writeHere(target, space, gva, bytes)),
      [Symbol.asyncDispose]: () => Promise.resolve(target[Symbol.dispose]()),
    };
  } catch (error) {
    target[Symbol.dispose]();
    throw error;
  }
}

function writeHere(target: MemoryTarget, space: AddressSpace, gva: number, bytes: Uint8Array): void {
  const where = `Cannot write ${bytes.length} bytes at ${hexOfGva(gva)}`;
  if (target.qemu === undefined) {
    throw new Fault("not-supported", `${where}: ${target.name} is an image, which is only read`);
  }
  const { ok, runs, sizeBytes, reason } = space.runs(gva, bytes.length);
  if (!ok) throw new Fault("not-mapped", `${where}: ${hexOfGva(gva + sizeBytes)} is ${reason}`);
  const fixed = runs.find((run) => !run.writable);
  if (fixed !== undefined) {
    throw new Fault("refused", `${where}: the guest has ${hexOfGva(fixed.gva)} mapped read-only`);
  }
  using writer = new RamWriter(target.qemu.backends, target.qemu.fds, target.qemu.pieces);
  if (!writer.store(runs, bytes)) throw new Fault("not-mapped", `${where}: it is not in QEMU's shared RAM`);
}
