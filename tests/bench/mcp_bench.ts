/**
 * How long a model's client waits for a click, beside the same by the client library from the same process,
 * and beside a server of the SDK whose tool does nothing: click by click in turns, so that all have the same
 * caches and the same load. Each of the two clicks has a real guest of its own, as it has its own lease.
 * @module
 */
import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { takeInput } from "../../src/client/input_control.ts";
import { CALLS_PER_SECOND } from "../../src/mcp/call_rate.ts";
import { DaemonProcess, until } from "../fixtures/daemon_process.ts";
import { startGuest } from "../guest/qemu.ts";
import { type Bench, type BenchResult, median, resultOf } from "./bench.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const ROUNDS = 12;
/** Calls of a round: half of what a model may make at once. */
const CALLS = 20;
/** A pause beside that after which a model may make so many calls again. */
const SPARE_MS = 500;
const POINT = [320, 200];

/** A server over standard input and output. */
async function modelOf(owned: AsyncDisposableStack, args: readonly string[]): Promise<Client> {
  const client = new Client({ name: "bench", version: "1" });
  await client.connect(
    new StdioClientTransport({
      command: Deno.execPath(),
      args: ["run", "-q", "-A", "--no-check", "--config", `${ROOT}deno.json`, ...args],
      env: Deno.env.toObject(),
      stderr: "inherit",
    }),
  );
  owned.defer(() => client.close());
  return client;
}

/** How long a call takes, ms. */
async function timed(call: () => Promise<void>): Promise<number> {
  const began = performance.now();
  await call();
  return performance.now() - began;
}

async function called(model: Client, name: string, args: Record<string, unknown>): Promise<void> {
  const answer = await model.callTool({ name, arguments: args });
  if (answer.isError === true) throw new Error(`${name}: ${JSON.stringify(answer.content)}`);
}

async function click(): Promise<BenchResult[]> {
  await using owned = new AsyncDisposableStack();
  const start = async () =>
    owned.use(await startGuest({ devices: ["virtio-input"], extraArgs: ["-vga", "std"], ramMiB: 256 }));
  const vms = { model: await start(), library: await start() };
  const daemon = owned.use(
    await DaemonProcess.start({
      config: Object.entries(vms).map(([name, vm]) =>
        `[[endpoint]]\nname = "${name}"\nqmp = "${vm.qmpPath}"\nmemory = "none"\n`
      ).join(""),
    }),
  );
  const client = owned.use(await daemon.connect("bench"));
  await until(
    "the VMs are up",
    () => client.roster.list().filter(({ state }) => state === "up").length === 2,
  );
  const model = await modelOf(owned, [`${ROOT}main.ts`, "mcp", "--socket", daemon.socket]);
  const empty = await modelOf(owned, [new URL("./mcp_empty.ts", import.meta.url).pathname]);
  await called(model, "screenshot", { vm: "model" });
  const args = { vm: "model", coordinate: POINT };
  await using input = await takeInput(client, "library");
  const [ours, library, nothing]: [number[], number[], number[]] = [[], [], []];
  // The first round is not counted: code is compiled in it.
  for (let round = 0; round <= ROUNDS; round++) {
    const began = performance.now();
    const took: [number[], number[], number[]] = [[], [], []];
    for (let i = 0; i < CALLS; i++) {
      took[0].push(await timed(() => called(model, "click", args)));
      took[1].push(await timed(() => input.clickAt({ x: 16_384, y: 16_384 })));
      took[2].push(await timed(() => called(empty, "click", args)));
    }
    if (round > 0) [ours, library, nothing].forEach((all, i) => all.push(median(took[i] as number[])));
    const waitMs = CALLS * 1000 / CALLS_PER_SECOND - (performance.now() - began);
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, waitMs) + SPARE_MS));
  }
  const peer = "the client library's clickAt";
  const both = library.map((ms, i) => ms + (nothing[i] as number));
  return [
    resultOf("mcp.click", "ms", "lower", ours, library, peer),
    resultOf("mcp.click.sdk", "ms", "lower", nothing, library, peer),
    resultOf("mcp.click.ours", "ms", "lower", ours, both, "clickAt and an empty tool of the SDK"),
  ];
}

/** Clicks. */
export const benches: readonly Bench[] = [
  { name: "mcp.click", names: ["mcp.click", "mcp.click.sdk", "mcp.click.ours"], run: click },
];
