/**
 * `vmsig watch`: events as they arrive.
 * @module
 */
import type { EndpointId } from "../../base/ids.ts";
import { CLASS, KIND, KIND_CLASS, kindByName } from "../../event/kind.ts";
import { SOURCE, sourceByName, type SourceName } from "../../event/source.ts";
import type { Client } from "../client.ts";
import type { ClientEvent } from "../client_event.ts";
import { describeEvent } from "../describe_event.ts";
import type { EventStream } from "../event_stream.ts";
import { MAX_WATCH_HZ } from "../../base/limits.ts";
import { suggestion } from "../../base/closest_name.ts";
import type { Call, CommandModule } from "./command.ts";
import { type CrashLog, CrashLogs } from "./crash_log.ts";
import { logLines, logObject } from "./mem_insight.ts";
import { note } from "./note.ts";
import { usage } from "./command_line.ts";
import { endAfter } from "./end_after.ts";
import { EventLine } from "./event_line.ts";
import { visible } from "./table.ts";
import { valuesOf, watchValues } from "./watch_memory.ts";

/** A panic's own line, and what a Linux kernel prints after it before it informs the host. */
const CRASH_RECORDS = 40;

/** The command. */
export const watch: CommandModule = {
  options: {
    source: {
      takes: "list",
      value: "S,…",
      choices: sourceNames().map((name) => name.toLowerCase()),
      help: `only these sources: ${sourceNames().join(", ")}`,
    },
    kind: { takes: "list", value: "K,…", choices: upKinds(), help: "only these kinds, by name or number" },
    count: { takes: "number", value: "N", min: 1, help: "stop after N events" },
    follow: {
      takes: "nothing",
      help: "reconnect when the daemon is restarted, and report what may have been missed",
    },
    for: { takes: "number", value: "MS", min: 0, max: 2_147_483_647, help: "stop after this time" },
    memory: {
      takes: "texts",
      value: "E:PID:ADDR:SIZE",
      help: "print this value in a guest's memory when it changes; @FILE lists one per line; repeatable",
    },
    rate: {
      takes: "number",
      value: "HZ",
      fraction: true,
      min: 0.1,
      max: MAX_WATCH_HZ,
      help: "how often values in memory are read, per second (10)",
    },
    dmesg: {
      takes: "number",
      value: "N",
      max: 100_000,
      help: `when a VM crashes, print the last N records of its kernel's log (${CRASH_RECORDS})`,
    },
  },
  details:
    `Prints the events that your grant lets through: first what is retained (roster, memory contexts, frame rings and
their producers), then live ones, until Ctrl-C or until the daemon ends. The exit code is then 4, or 0 after a
replay that was played to its end. With --follow it waits for the next daemon instead, prints RECONNECTED regardless
of the other options, and then the events of that daemon; endpoints that are given by name are found again by name.

If you may read the memory of a VM that crashes, the last records of its kernel's log are printed below the event,
or with --json in its field dmesg (or dmesgError, if they could not be read). --dmesg sets how many, in addition to
the panic's own message; 0 prints none.

With --memory it prints values in guests' memory and no events: ENDPOINT:PID:ADDRESS:SIZE, where an empty PID means
the kernel's memory and ADDRESS may be a kernel symbol (jiffies, init_task+0x10). Each value is printed once, and
then whenever it has changed; after a reset of the VM this starts again. If the rate is too high, reads are skipped
and the number of skipped reads is reported.

Kinds: ${upKinds().join(", ")}.`,
  examples: [
    "watch",
    "watch web --kind VM_LIFECYCLE",
    "watch --source vmhost,core --json --for 5000",
    "watch web --follow",
    "watch --memory web::jiffies:8 --rate 100 --for 2000",
    "watch --memory web:1234:0x7ffd00001000:4 --memory @values.txt --json",
  ],
  async run(call) {
    const values = call.steps.length === 0 ? [] : valuesOf(call);
    if (call.steps.length > 0) {
      const other = ["source", "kind", "dmesg"].find((name) => call.list(name) ?? call.number(name));
      if (other !== undefined || call.flag("follow") || call.args.length > 0) {
        throw usage("watch", "--memory watches values and no events: it takes --rate, --count and --for");
      }
      return await watchValues(call, values);
    }
    if (call.number("rate") !== undefined) throw usage("watch", "--rate belongs to --memory");
    const kinds = call.list("kind")?.map(kindOf);
    const sources = call.list("source")?.map(sourceOf);
    const numbers = call.args.every((ref) => /^[0-9]+$/.test(ref)) ? call.args.map(Number) : [];
    const wanted = sources?.map((source) => sourceNames()[source - 1] as SourceName);
    const last = kinds === undefined || kinds.includes(KIND.VM_LIFECYCLE)
      ? call.number("dmesg") ?? CRASH_RECORDS
      : 0;
    const isWithLogs = last > 0 && (wanted === undefined || wanted.includes("VMHOST"));
    await using client = await call.connect({
      // The roster is needed for names, whatever is shown; the log of a crash is in memory.
      ...(wanted === undefined ? {} : {
        sources: [...new Set<SourceName>([...wanted, "CORE", ...isWithLogs ? ["MEMCTX" as const] : []])],
      }),
      ...(numbers.every((n) => n < 64) ? { endpoints: numbers } : {}),
    }, call.flag("follow") && { onAway: () => tellAway(call) });
    await using stream = client.events();
    const shown = await Promise.all(call.args.map((ref) => shownOf(client, ref)));
    const wants = (event: ClientEvent) =>
      (kinds === undefined || kinds.includes(event.kind)) &&
      (sources === undefined || sources.includes(event.source)) &&
      (shown.length === 0 || shown.some((one) => concerns(client, event, one)));
    using _timer = endAfter(stream, call);
    using logs = isWithLogs ? new CrashLogs(client, last) : undefined;
    await print(call, client, { stream, wants, logs });
  },
};

async function print(
  call: Call,
  client: Client,
  { stream, wants, logs }: {
    readonly stream: EventStream;
    readonly wants: (event: ClientEvent) => boolean;
    readonly logs: CrashLogs | undefined;
  },
): Promise<void> {
  const { out, json } = call;
  const format = new EventLine(out, client.roster);
  let left = call.number("count") ?? Infinity;
  for await (const event of stream) {
    const isMarker = event.kind === KIND.RECONNECTED;
    const isWanted = wants(event);
    logs?.update(event);
    if (!isWanted && !isMarker) {
      if (event.kind === KIND.OVERRUN) tellLoss(call, event);
      continue;
    }
    const log = isWanted && CrashLogs.isCrash(event) ? await logs?.read(event.endpoint) : undefined;
    if (json) out.json({ ...describeEvent(event), ...logFields(log) });
    else {
      format.print(event);
      for (const line of crashLines(log)) out.line(`  ${line}`);
    }
    if (isWanted && --left <= 0) return;
  }
}

function logFields(log: CrashLog | undefined): object {
  if (log === undefined) return {};
  return "why" in log ? { dmesgError: visible(log.why) } : { dmesg: log.records.map(logObject) };
}

function crashLines(log: CrashLog | undefined): string[] {
  if (log === undefined) return [];
  return "why" in log
    ? [`(its kernel's log cannot be read: ${visible(log.why)})`]
    : log.records.flatMap(logLines);
}

// An OVERRUN that was not requested means that requested events were lost: it is reported like an error.
function tellLoss(call: Call, event: ClientEvent): void {
  const lost = event.as("OVERRUN")?.lost ?? 0;
  note(call, `${lost} events were lost, because this watch was too slow`, "dropped");
}

function tellAway(call: Call): void {
  note(call, "the daemon is away; waiting for the next one", "unreachable");
}

/** An endpoint to show, by name, because another daemon may give it another number. */
type Shown = { readonly name: string } | { readonly number: EndpointId };

async function shownOf(client: Client, ref: string): Promise<Shown> {
  const number = await client.endpoint(ref);
  return client.roster.get(number)?.name === ref ? { name: ref } : { number };
}

function concerns({ roster }: Client, event: ClientEvent, shown: Shown): boolean {
  if ("number" in shown) return shown.number === event.endpoint;
  // An entry that is gone has already been removed from the roster.
  return (event.as("ROSTER")?.name ?? roster.get(event.endpoint)?.name) === shown.name;
}

function kindOf(text: string): number {
  const number = /^[0-9]+$/.test(text) ? Number(text) : kindByName(text);
  if (number !== undefined && (KIND_CLASS[number] ?? CLASS.UNKNOWN) !== CLASS.UNKNOWN) return number;
  throw usage("watch", `there is no kind ${visible(text)}${suggestion(text, Object.keys(KIND))}`);
}

function sourceOf(text: string): number {
  const number = /^[0-9]+$/.test(text) ? Number(text) : sourceByName(text);
  if (number !== undefined && number > 0 && number <= sourceNames().length) return number;
  throw usage("watch", `there is no source ${visible(text)}${suggestion(text, sourceNames())}`);
}

function sourceNames(): string[] {
  return Object.keys(SOURCE).filter((name) => name !== "NONE");
}

/** Kinds that are reported to a program. */
function upKinds(): string[] {
  const classes: readonly number[] = [CLASS.UP, CLASS.LOCAL];
  return Object.entries(KIND).filter(([, kind]) => classes.includes(KIND_CLASS[kind] ?? CLASS.UNKNOWN))
    .map(([name]) => name);
}
