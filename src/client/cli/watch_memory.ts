/**
 * `vmsig watch --memory`: values in guests' memory, printed when they change.
 * @module
 */
import { readRegularFile } from "../../../ffi/regular_file.ts";
import { Fault, messageOf } from "../../base/fault.ts";
import { hexOfBytes } from "../../base/hex.ts";
import { hexOfGva, parseAddress } from "../../base/ids.ts";
import { MAX_WATCHED_BYTES, MAX_WATCHED_VALUES } from "../../base/limits.ts";
import type { Client } from "../client.ts";
import type { MemoryEvent, WatchedValue } from "../memory_event.ts";
import type { MemoryWatcher } from "../memory_watch.ts";
import type { Call } from "./command.ts";
import { usage } from "./command_line.ts";
import { SYMBOL_WORD } from "./mem_insight.ts";
import { note } from "./note.ts";
import type { Output, Tone } from "./output.ts";
import { line, visible } from "./table.ts";

const MAX_LIST_BYTES = 16 * 1024 * 1024;
const WIDTHS = [13, 12, 10, 28];
const TITLES = ["SECONDS", "ENDPOINT", "PROCESS", "ADDRESS", "VALUE"];

/** The values named by `--memory`, on the line or in files, in order. */
export function valuesOf(call: Call): WatchedValue[] {
  return call.steps.filter(({ option }) => option === "memory")
    .flatMap(({ text }) => text.startsWith("@") ? valuesIn(text.slice(1)) : [valueOf(text, "--memory")]);
}

/** Prints values until the command ends. */
export async function watchValues(call: Call, values: readonly WatchedValue[]): Promise<void> {
  await using client = await call.connect({ sources: ["CORE", "MEMCTX"] });
  await using watch = await client.watchMemory(values, {
    rateHz: call.number("rate") ?? 10,
    signal: call.signal,
  });
  using _timer = endAfter(watch, call);
  const print = call.json ? printObject : printLine;
  let left = call.number("count") ?? Infinity;
  let isFirst = true;
  for await (const event of watch) {
    if (event.what === "rate") {
      tellRate(call, event);
      continue;
    }
    if (isFirst && !call.json) {
      call.out.line(line(call.out, TITLES.map((text) => ({ text, tone: "dim" })), WIDTHS));
    }
    isFirst = false;
    print(call.out, client, values, event);
    if ((event.what === "value" || event.what === "unreadable") && --left <= 0) return;
  }
}

function endAfter(watch: MemoryWatcher, { number }: Call): Disposable {
  const limit = number("for");
  const timer = limit === undefined ? undefined : setTimeout(() => watch.end(), limit);
  return { [Symbol.dispose]: () => clearTimeout(timer) };
}

type Printed = Exclude<MemoryEvent, { what: "rate" }>;

function printLine(out: Output, client: Client, values: readonly WatchedValue[], event: Printed): void {
  const name = client.roster.nameOf(event.endpoint);
  if (event.what === "began" || event.what === "ended") {
    const text = event.what === "began"
      ? `epoch ${event.epoch} begins`
      : `epoch ${event.epoch} has ended: ${event.reason}`;
    out.line(line(out, ["", name, "", "", { text, tone: "warn" }], WIDTHS));
    return;
  }
  const watched = values[event.index] as WatchedValue;
  const shown = event.what === "value"
    ? { text: textOf(event), tone: (event.isFirst ? "dim" : "plain") as Tone }
    : { text: event.reason, tone: "bad" as Tone };
  out.line(line(
    out,
    [
      { text: (event.tsNs / 1e9).toFixed(6), tone: "dim" as Tone },
      name,
      watched.pid === undefined ? "kernel" : `${watched.pid}`,
      addressText(watched),
      shown,
    ],
    WIDTHS,
  ));
}

function textOf({ bytes, value }: Extract<MemoryEvent, { what: "value" }>): string {
  return value === undefined ? hexOfBytes(bytes) : `0x${value.toString(16)} (${value})`;
}

function printObject(out: Output, client: Client, values: readonly WatchedValue[], event: Printed): void {
  const { what, endpoint, epoch } = event;
  const head = { what, endpoint, name: visible(client.roster.nameOf(endpoint)), epoch };
  if (event.what === "began") return out.json(head);
  if (event.what === "ended") return out.json({ ...head, reason: visible(event.reason) });
  const watched = values[event.index] as WatchedValue;
  const place = {
    index: event.index,
    tsNs: event.tsNs,
    pid: watched.pid ?? null,
    address: addressText(watched),
    size: watched.sizeBytes,
  };
  if (event.what === "unreadable") return out.json({ ...head, ...place, reason: event.reason });
  const { bytes, value, isFirst } = event;
  // Numbers that a double cannot hold are text.
  const number = value === undefined
    ? {}
    : { value: value < 2n ** 53n ? Number(value) : `0x${value.toString(16)}` };
  out.json({ ...head, ...place, first: isFirst, hex: hexOfBytes(bytes), ...number });
}

function addressText({ address, offset = 0 }: WatchedValue): string {
  if (typeof address === "number") return hexOfGva(address);
  return `${visible(address)}${offset === 0 ? "" : `+0x${offset.toString(16)}`}`;
}

function tellRate(call: Call, event: Extract<MemoryEvent, { what: "rate" }>): void {
  const why = event.because === "reader"
    ? "its output is taken too slowly"
    : "looking at all values takes longer than that";
  note(
    call,
    `${event.missed} rounds were skipped: ${event.askedHz} per second were requested, ${
      event.reachedHz.toFixed(1)
    } were made, because ${why}`,
    "dropped",
  );
}

function valuesIn(path: string): WatchedValue[] {
  let text: string;
  try {
    text = new TextDecoder().decode(readRegularFile(path, MAX_LIST_BYTES));
  } catch (error) {
    const code = error instanceof Fault && error.code === "too-large" ? "too-large" : "bad-argument";
    throw new Fault(code, `Cannot read the list of values: ${messageOf(error)}`, { cause: error });
  }
  const values: WatchedValue[] = [];
  for (const [i, row] of text.split("\n").entries()) {
    const spec = row.trim();
    if (spec === "" || spec.startsWith("#")) continue;
    if (values.length >= MAX_WATCHED_VALUES) {
      throw new Fault("too-large", `Cannot watch more than ${MAX_WATCHED_VALUES} values`);
    }
    values.push(valueOf(spec, `${visible(path)}, line ${i + 1}`));
  }
  return values;
}

/** "web:1234:0x7ffd00001000:8", "web::init_task+0x10:4". */
function valueOf(spec: string, where: string): WatchedValue {
  const wrong = (why: string): Fault => usage("watch", `${where}: ${visible(spec)}: ${why}`);
  const parts = spec.split(":");
  const [size = "", at = "", who = ""] = [parts.pop(), parts.pop(), parts.pop()];
  const endpoint = parts.join(":");
  if (endpoint === "") throw wrong("it takes ENDPOINT:PID:ADDRESS:SIZE; PID is left empty for the kernel");
  const sizeBytes = parseAddress(size) ?? 0;
  if (!(sizeBytes >= 1 && sizeBytes <= MAX_WATCHED_BYTES)) {
    throw wrong(`${visible(size)} is not a valid size: 1 to ${MAX_WATCHED_BYTES} bytes`);
  }
  if (who !== "" && !/^[1-9][0-9]{0,9}$/.test(who)) {
    throw wrong(`${visible(who)} is not a valid process number`);
  }
  const pid = who === "" ? {} : { pid: Number(who) };
  const address = parseAddress(at);
  if (address !== undefined) return { endpoint, ...pid, address, sizeBytes };
  const [, symbol, past] = SYMBOL_WORD.exec(at) ?? [];
  if (symbol === undefined) throw wrong(`${visible(at)} is neither an address nor a symbol`);
  return { endpoint, ...pid, address: symbol, offset: parseAddress(past ?? "0") ?? 0, sizeBytes };
}
