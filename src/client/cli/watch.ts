/**
 * `vmsig watch`: events as they come.
 * @module
 */
import { CLASS, KIND, KIND_CLASS, kindByName } from "../../event/kind.ts";
import { SOURCE, sourceByName, type SourceName } from "../../event/source.ts";
import type { Client } from "../client.ts";
import type { ClientEvent } from "../client_event.ts";
import { describeEvent } from "../describe_event.ts";
import type { EventStream } from "../event_stream.ts";
import { suggestion } from "../../base/closest_name.ts";
import type { Call, CommandModule } from "./command.ts";
import { usage } from "./command_line.ts";
import { endAfter } from "./end_after.ts";
import { EventLine } from "./event_line.ts";
import { visible } from "./table.ts";

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
    count: { takes: "number", value: "N", min: 1, help: "end after N events" },
    for: { takes: "number", value: "MS", min: 0, max: 2_147_483_647, help: "end after this time" },
  },
  details: `Prints the events that your grant lets through: first what is retained (roster, memory contexts,
frame rings and their producers), then live ones, until Ctrl-C. Kinds: ${upKinds().join(", ")}.`,
  examples: ["watch", "watch web --kind VM_LIFECYCLE", "watch --source vmhost,core --json --for 5000"],
  async run(call) {
    const kinds = call.list("kind")?.map(kindOf);
    const sources = call.list("source")?.map(sourceOf);
    const numbers = call.args.every((ref) => /^[0-9]+$/.test(ref)) ? call.args.map(Number) : [];
    const wanted = sources?.map((source) => sourceNames()[source - 1] as SourceName);
    await using client = await call.connect({
      // The roster gives names to the numbers, whatever is to be shown.
      ...(wanted === undefined ? {} : { sources: [...new Set<SourceName>([...wanted, "CORE"])] }),
      ...(numbers.every((n) => n < 64) ? { endpoints: numbers } : {}),
    });
    await using stream = client.events();
    const endpoints = await endpointsOf(client, call.args);
    const wants = (event: ClientEvent) =>
      (kinds === undefined || kinds.includes(event.kind)) &&
      (sources === undefined || sources.includes(event.source)) &&
      (endpoints === undefined || endpoints.includes(event.endpoint));
    using _timer = endAfter(stream, call);
    await print(call, client, stream, wants);
  },
};

async function print(
  call: Call,
  client: Client,
  stream: EventStream,
  wants: (event: ClientEvent) => boolean,
): Promise<void> {
  const { out, json } = call;
  const format = new EventLine(out, client.roster);
  let left = call.number("count") ?? Infinity;
  for await (const event of stream) {
    if (!wants(event)) {
      if (event.kind === KIND.OVERRUN) tellLoss(event);
      continue;
    }
    if (json) out.json(describeEvent(event));
    else format.print(event);
    if (--left <= 0) return;
  }
}

// An OVERRUN that was not asked for concerns whoever relies on what was: it goes where errors go.
function tellLoss(event: ClientEvent): void {
  const lost = event.as("OVERRUN")?.lost ?? 0;
  Deno.stderr.writeSync(
    new TextEncoder().encode(`vmsig: dropped: ${lost} events were lost, because this watch was too slow\n`),
  );
}

async function endpointsOf(client: Client, refs: readonly string[]): Promise<number[] | undefined> {
  if (refs.length === 0) return undefined;
  return await Promise.all(refs.map((ref) => client.endpoint(ref)));
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

function upKinds(): string[] {
  return Object.entries(KIND).filter(([, kind]) => KIND_CLASS[kind] === CLASS.UP).map(([name]) => name);
}
