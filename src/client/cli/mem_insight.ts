/**
 * What `vmsig mem` shows of a guest beyond its lists: its kernel's log, open files, sockets, environments,
 * mounts, symbols and types. All text comes from the guest and is shown in the reversible form of table.ts.
 * @module
 */
import { Fault } from "../../base/fault.ts";
import { hexOfGva, parseAddress } from "../../base/ids.ts";
import type { GuestOs } from "../../guest/guest_os.ts";
import type { GuestInsight, LogRecord, ProcessFacts, Unsupported } from "../../guest/insight.ts";
import type { Process } from "../../guest/process.ts";
import { checkWhole } from "./mem_listing.ts";
import type { Output } from "./output.ts";
import { type Cell, printTable, visible } from "./table.ts";

const LEVELS = ["emerg", "alert", "crit", "err", "warn", "notice", "info", "debug"];

/**
 * The guest's insight.
 *
 * @throws {Fault} `not-supported` if its system or kernel is not supported to that extent
 */
export function insightOf(os: GuestOs): GuestInsight {
  return known(os.insight(), "look beyond the lists of this guest");
}

/**
 * An answer, if there is one.
 *
 * @throws {Fault} `not-supported` if the kernel lacks what is needed
 */
export function known<T extends object>(answer: T | Unsupported, what: string): T {
  if (!("unsupported" in answer)) return answer;
  throw new Fault("not-supported", `Cannot ${what}: ${answer.unsupported}`);
}

/** `dmesg`. */
export function printLog(out: Output, json: boolean, os: GuestOs, last: number | undefined): void {
  const listing = known(insightOf(os).log(last), "read the kernel's log");
  for (const record of listing.items) {
    if (json) out.json(logObject(record));
    else for (const text of logLines(record)) out.line(text);
  }
  checkWhole(listing, "records of the kernel's log");
}

/** A log record for `--json`. */
export function logObject(record: LogRecord): object {
  return {
    seq: record.seq,
    timeNs: record.timeNs,
    level: record.level,
    facility: record.facility,
    caller: record.caller,
    device: visible(record.device),
    text: visible(record.text),
  };
}

/** A log record as lines for a person: time, level, text; each line of the text has both in front. */
export function logLines({ timeNs, level, text }: LogRecord): string[] {
  const micros = Math.floor(timeNs / 1000);
  const time = `${Math.floor(micros / 1e6)}`.padStart(5) + "." + `${micros % 1e6}`.padStart(6, "0");
  const head = `[${time}] ${(LEVELS[level] ?? "").padEnd(6)} `;
  return text.split("\n").map((line) => `${head}${visible(line)}`.trimEnd());
}

/** `ps --long`. */
export function printLongProcesses(out: Output, json: boolean, os: GuestOs): void {
  const listing = os.processes();
  const insight = insightOf(os);
  const rows: Cell[][] = [];
  for (const process of listing.items) {
    const facts = insight.facts(process);
    const words = process.kernelThread ? [] : os.commandLine(process);
    if (json) out.json(longProcess(process, facts, words));
    else {
      rows.push([
        `${process.pid}`,
        `${process.ppid}`,
        `${facts.uid ?? "-"}`,
        facts.state,
        `${facts.threads ?? "-"}`,
        facts.startNs === undefined ? "-" : (facts.startNs / 1e9).toFixed(2),
        words.length === 0 ? { text: `[${process.name}]`, tone: "dim" } : words.join(" "),
      ]);
    }
  }
  if (!json) printTable(out, ["PID", "PPID", "UID", "STATE", "THREADS", "START", "COMMAND"], rows);
  checkWhole(listing, "processes");
}

function longProcess(process: Process, facts: ProcessFacts, words: readonly string[]): object {
  return {
    pid: process.pid,
    ppid: process.ppid,
    name: visible(process.name),
    root: hexOfGva(process.root),
    kernelThread: process.kernelThread,
    uid: facts.uid ?? null,
    state: facts.state,
    threads: facts.threads ?? null,
    startNs: facts.startNs ?? null,
    command: words.map(visible),
  };
}

/** `files`. */
export function printFiles(out: Output, json: boolean, os: GuestOs, process: Process): void {
  const listing = known(insightOf(os).files(process), "list open files");
  const rows: Cell[][] = [];
  for (const { fd, type, path, flags, position } of listing.items) {
    if (json) out.json({ fd, type, path: visible(path), flags, position });
    else rows.push([`${fd}`, type, `0${flags.toString(8)}`, `${position}`, path]);
  }
  if (!json) printTable(out, ["FD", "TYPE", "FLAGS", "POSITION", "PATH"], rows);
  checkWhole(listing, `open files of process ${process.pid}`);
}

/** `sockets`. */
export function printSockets(out: Output, json: boolean, os: GuestOs, process: Process | undefined): void {
  const listing = known(insightOf(os).sockets(process), "list sockets");
  const rows: Cell[][] = [];
  for (const { pid, fd, inode, kind, state, local, remote } of listing.items) {
    if (json) out.json({ pid, fd, inode, kind, state, local: visible(local), remote: visible(remote) });
    else rows.push([`${pid}`, `${fd}`, kind, state || "-", local || "-", remote || "-"]);
  }
  if (!json) printTable(out, ["PID", "FD", "KIND", "STATE", "LOCAL", "REMOTE"], rows);
  checkWhole(listing, "sockets");
}

/** `env`. */
export function printEnvironment(out: Output, json: boolean, os: GuestOs, process: Process): void {
  for (const entry of insightOf(os).environment(process)) {
    const equals = entry.indexOf("=");
    if (!json) out.line(visible(entry));
    else if (equals < 0) out.json({ name: visible(entry), value: null });
    else out.json({ name: visible(entry.slice(0, equals)), value: visible(entry.slice(equals + 1)) });
  }
}

/** `mounts`. */
export function printMounts(out: Output, json: boolean, os: GuestOs, process: Process | undefined): void {
  const listing = known(insightOf(os).mounts(process), "list mounts");
  const rows: Cell[][] = [];
  for (const { source, target, type, readOnly } of listing.items) {
    if (json) out.json({ source: visible(source), target: visible(target), type: visible(type), readOnly });
    else rows.push([target, type, readOnly ? "ro" : "rw", source]);
  }
  if (!json) printTable(out, ["TARGET", "TYPE", "MODE", "SOURCE"], rows);
  checkWhole(listing, "mounts");
}

/** `sym`: a name's address, or the symbol at an address. */
export function printSymbol(out: Output, json: boolean, os: GuestOs, word: string): void {
  const address = parseAddress(word);
  const symbol = address === undefined ? byName(os, word) : os.nearestSymbol(address);
  if (symbol === undefined) {
    throw new Fault(
      "bad-argument",
      address === undefined
        ? `Cannot find symbol ${visible(word)} in the guest's kernel and its loaded modules`
        : `Cannot find a symbol at ${
          hexOfGva(address)
        }: it is outside the image of the guest's kernel and its loaded modules`,
    );
  }
  const { name, offsetBytes, module } = symbol;
  if (json) {
    const own = module === undefined ? {} : { module: visible(module) };
    out.json({ name: visible(name), address: hexOfGva(symbol.address), offset: offsetBytes, ...own });
  } else {
    const past = offsetBytes === 0 ? "" : `+0x${offsetBytes.toString(16)}`;
    out.line(
      `${hexOfGva(symbol.address + offsetBytes)} ${visible(name)}${past}${
        module === undefined ? "" : ` [${visible(module)}]`
      }`,
    );
  }
}

function byName(os: GuestOs, name: string): ReturnType<GuestOs["nearestSymbol"]> {
  const address = os.symbol(name);
  return address === undefined ? undefined : { name, address, offsetBytes: 0 };
}

/** An address in the notation of `read`: a number, a symbol, or a symbol and an offset ("init_task+0x10"). */
export function addressOf(os: GuestOs, word: number | string): number {
  const plain = typeof word === "number" ? word : parseAddress(word);
  if (plain !== undefined) return plain;
  const [, name = "", past] = SYMBOL_WORD.exec(`${word}`) ?? [];
  const offset = past === undefined ? 0 : parseAddress(past) ?? 0;
  const symbol = os.symbol(name);
  if (symbol !== undefined) return symbol + offset;
  throw new Fault(
    "bad-argument",
    `Cannot find symbol ${visible(name)} in the guest's kernel and its loaded modules`,
  );
}

/** A symbol (of a module: "name" or "module:name"), and an offset. */
export const SYMBOL_WORD = /^((?:\w{1,55}:)?[A-Za-z_.$][\w.$]{0,511})(?:\+(0x[0-9a-fA-F]{1,8}|[0-9]{1,9}))?$/;

/** `type`. */
export function printType(out: Output, json: boolean, os: GuestOs, name: string): void {
  const type = insightOf(os).type(name);
  if (type === undefined) {
    throw new Fault("bad-argument", `Cannot find type ${visible(name)} in the guest's kernel`);
  }
  const { lines, members, sizeBytes, name: own } = known(type, "read the kernel's types");
  if (!json) { for (const text of lines) out.line(visible(text)); }
  else {
    out.json({
      name: visible(own),
      size: sizeBytes,
      members: members.map((member) => ({
        name: visible(member.name),
        type: visible(member.declaration),
        offset: Math.floor(member.bits / 8),
        bit: member.bits % 8,
        width: member.width,
      })),
    });
  }
}
