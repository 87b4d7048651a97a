/**
 * Parses the words of a `vmsig mem` line before a VM is accessed: process, address or symbol, length, bytes.
 * @module
 */
import { bytesOfHex } from "../../base/hex.ts";
import { parseAddress } from "../../base/ids.ts";
import { MAX_MEMWRITE_BYTES, MAX_SEARCH_PATTERN_BYTES } from "../../base/limits.ts";
import { usage } from "./command_line.ts";
import { SYMBOL_WORD } from "./mem_insight.ts";
import { visible } from "./table.ts";

/** Actions whose word is a kernel name and not a process. */
const NAME_ACTIONS: readonly string[] = ["sym", "type"];
/** Actions whose word is the file to write. */
const FILE_ACTIONS: readonly string[] = ["dump", "symbols"];
/** Actions that have no answer for the kernel itself. */
const PROCESS_ACTIONS: readonly string[] = ["maps", "files", "sockets", "env", "mounts"];
const MAX_READ_BYTES = 2 ** 30;

/** The parsed words after the action; errors in them are reported before a VM is accessed. */
export interface Request {
  /** The action. */
  readonly action: string;
  /** The address space. */
  readonly pid: number | "kernel";
  /** An address, or a word that only the guest can resolve to one. */
  readonly gva: number | string;
  /** Bytes to read. */
  readonly length: number;
  /** Bytes to write, or to find. */
  readonly bytes: Uint8Array;
  /** For dump and symbols: the file to write. */
  readonly path?: string;
  /** For print: the name of a type. */
  readonly type?: string;
}

/**
 * Parses the words after an action.
 *
 * @throws {Fault} `usage`
 */
export function requestOf(action: string, words: readonly string[]): Request {
  const [who = "kernel", first = "", second = ""] = words;
  if (NAME_ACTIONS.includes(action)) {
    return { action, pid: "kernel", gva: who, length: 0, bytes: new Uint8Array(0) };
  }
  if (action === "print") return printRequest(words);
  if (FILE_ACTIONS.includes(action)) {
    if (who === "") throw usage("mem", `${action} takes the name of a file`);
    return { action, pid: "kernel", gva: 0, length: 0, bytes: new Uint8Array(0), path: who };
  }
  const pid = who === "kernel" ? "kernel" : Number(/^[0-9]{1,10}$/.test(who) ? who : NaN);
  if (Number.isNaN(pid)) throw usage("mem", `${visible(who)} is neither a process number nor "kernel"`);
  // If the word is omitted, sockets and mounts are shown for all, or for process 1.
  if (PROCESS_ACTIONS.includes(action) && pid === "kernel" && words.length > 0) {
    throw usage("mem", `${action} takes a process number`);
  }
  const isRange = action === "read" || action === "write";
  const isSymbol = action === "read" && SYMBOL_WORD.test(first);
  const gva = isSymbol ? first : isRange ? parseAddress(first) : 0;
  if (gva === undefined) throw usage("mem", `${visible(first)} is not a valid address`);
  const length = action === "read" ? parseAddress(second) : 0;
  if (length === undefined || (action === "read" && !(length > 0))) {
    throw usage("mem", `${visible(second)} is not a valid length`);
  }
  if (length > MAX_READ_BYTES) {
    throw usage(
      "mem",
      `${length} bytes are too many to read at once: at most ${MAX_READ_BYTES}; read in pieces`,
    );
  }
  const hex = action === "write" ? second : action === "find" ? first : "";
  const bytes = hex === "" && !isRange && action !== "find" ? new Uint8Array(0) : bytesOfHex(hex || "-");
  if (action === "read") return { action, pid, gva, length, bytes: new Uint8Array(0) };
  if (bytes === undefined) throw usage("mem", `${visible(hex)} are not bytes in hexadecimal`);
  const most = action === "write" ? MAX_MEMWRITE_BYTES : MAX_SEARCH_PATTERN_BYTES;
  if (bytes.length > most) {
    throw usage("mem", `${bytes.length} bytes are too many to ${action} at once: at most ${most}`);
  }
  return { action, pid, gva, length, bytes };
}

/** "task_struct 0x…", in one word or in several; the last one is the address. */
function printRequest(words: readonly string[]): Request {
  const all = words.join(" ").trim().split(/ +/);
  const at = all.pop() ?? "";
  const type = all.join(" ");
  if (type === "") throw usage("mem", "print takes a type and an address: print 'task_struct init_task'");
  const gva = parseAddress(at) ?? (SYMBOL_WORD.test(at) ? at : undefined);
  if (gva === undefined) throw usage("mem", `${visible(at)} is not a valid address`);
  return { action: "print", pid: "kernel", gva, length: 0, bytes: new Uint8Array(0), type };
}
