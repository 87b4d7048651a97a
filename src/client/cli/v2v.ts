/**
 * `vmsig v2v`: a channel as a pipe for a shell, and its benchmark. Needs no daemon between two processes of
 * this host; between VMs the daemon serves the memory (`--ivshmem`).
 * @module
 */
import { suggestion } from "../../base/closest_name.ts";
import { Log } from "../../base/log.ts";
import { note } from "./note.ts";
import { checkPrefix } from "../../rendezvous/prefix.ts";
import { defaultSocketPathHere } from "../connect.ts";
import type { Call, CommandModule } from "./command.ts";
import { understood, usage } from "./command_line.ts";
import { visible } from "./table.ts";

/** The command. */
export const v2v: CommandModule = {
  args: { min: 1, max: 64 },
  options: {
    stream: { takes: "nothing", help: "a byte stream instead of one message per line" },
    order: {
      takes: "number",
      value: "N",
      min: 0,
      max: 8,
      help: "listen: rings of 4096 << N bytes each way (4)",
    },
    ivshmem: {
      takes: "text",
      value: "PATH",
      help: "use the socket of an ivshmem server ([[channel]] in the config); the other end is in a VM",
    },
    wait: {
      takes: "number",
      value: "MS",
      max: 2_147_483_647,
      help: "how long to wait for the other end (default: listen for ever, connect not at all)",
    },
  },
  details:
    `listen and connect send standard input to the other end, and print what comes from there on standard output, like
socat. PREFIX names the channel: its socket is v2v/PREFIX.sock in the runtime directory (the folder of the control
socket). Only the same user and root can connect. bench measures the channel on this machine; names or prefixes of
benchmarks may follow.`,
  examples: [
    "v2v listen backup --stream > copy.tar",
    "v2v connect backup --stream < copy.tar",
    "v2v bench v2v.msg64",
  ],
  async run(call) {
    const [what, ...rest] = call.args;
    if (what === "bench") return await bench(call, rest);
    if (what !== "listen" && what !== "connect") {
      throw usage("v2v", `no ${what}; there are listen PREFIX, connect PREFIX and bench`);
    }
    const [prefix] = rest;
    if (prefix === undefined || rest.length > 1) throw usage("v2v", `${what} takes one PREFIX`);
    const ivshmem = call.text("ivshmem");
    if (ivshmem === undefined) understood("v2v", () => checkPrefix(prefix));
    const { v2vListen, v2vConnect } = await import("../../rendezvous/v2v_command.ts");
    const order = call.number("order");
    const waitMs = call.number("wait");
    const options = {
      runtimeDir: runtimeDirOf(call),
      stream: call.flag("stream"),
      input: Deno.stdin.readable,
      output: Deno.stdout.writable,
      signal: call.signal,
      log: new Log("v2v", "warn", (line) => call.json ? note(call, line) : console.error(line)),
      ...(order === undefined ? {} : { order }),
      ...(ivshmem === undefined ? {} : { ivshmem }),
      ...(waitMs === undefined ? {} : { waitMs }),
    };
    await (what === "listen" ? v2vListen(prefix, options) : v2vConnect(prefix, options));
  },
};

async function bench(call: Call, names: readonly string[]): Promise<void> {
  const { v2vBench } = await import("../../rendezvous/v2v_bench_command.ts");
  const { V2V_MEASURES } = await import("../../rendezvous/v2v_bench.ts");
  const known = V2V_MEASURES.map(({ name }) => name);
  const unknown = names.find((wanted) => !known.some((name) => name.startsWith(wanted)));
  if (unknown !== undefined) {
    throw usage("v2v", `there is no benchmark ${visible(unknown)}${suggestion(unknown, known)}`);
  }
  for await (const figure of v2vBench({ names, signal: call.signal })) {
    if (call.json) call.out.json(figure);
    else {
      const { name, ours, unit, peer, peerName, ratio } = figure;
      const beside = peer === null ? "" : `  (${peerName}: ${short(peer)}, ratio ${ratio?.toFixed(2)})`;
      call.out.line(`${name.padEnd(18)} ${short(ours).padStart(12)} ${unit}${beside}`);
    }
  }
}

function short(figure: number): string {
  return figure >= 1000 ? Math.round(figure).toLocaleString("en") : figure.toPrecision(3);
}

/** The runtime directory: the folder of the control socket. */
function runtimeDirOf(call: Call): string {
  const socket = call.socket ?? defaultSocketPathHere();
  const slash = socket.lastIndexOf("/");
  return slash < 0 ? "." : socket.slice(0, Math.max(slash, 1));
}
