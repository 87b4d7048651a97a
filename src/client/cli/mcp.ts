/**
 * `vmsig mcp`: VMs for a language model, by the Model Context Protocol.
 * @module
 */
import type { CallTrace } from "../../mcp/call_trace.ts";
import type { SeatOptions } from "../../mcp/seat.ts";
import { Asks } from "../asks.ts";
import { defaultSocketPathHere } from "../connect.ts";
import { understood, usage } from "./command_line.ts";
import type { TraceRecorder } from "../record/trace_recorder.ts";
import type { Call, CommandModule } from "./command.ts";
import { note } from "./note.ts";

/** The command. */
export const mcp: CommandModule = {
  args: { min: 0, max: 0 },
  options: {
    listen: {
      takes: "text",
      value: "ADDRESS",
      help: "serve over HTTP instead, at /mcp: 127.0.0.1:PORT, or unix:PATH for this user alone",
    },
    tokens: {
      takes: "text",
      value: "FILE",
      help: "with --listen: who may connect: lines of NAME and the token's SHA-256; mode 0600",
    },
    endpoint: { takes: "texts", value: "NAME", help: "offer only this VM; repeatable" },
    "read-only": { takes: "nothing", help: "offer only tools that change nothing: no keyboard, no programs" },
    "no-power": { takes: "nothing", help: "do not offer tools that reset or stop a VM, or load a snapshot" },
    trace: {
      takes: "text",
      value: "FILE",
      help: "record what vmsig record --trace records, and each call as an action, for vmsig trace",
    },
  },
  details:
    `Serves MCP on standard input and output, for an MCP client (an agent, an editor) that starts it. With --listen it
serves streamable HTTP to clients that send "Authorization: Bearer TOKEN": head -c 24 /dev/urandom | base64 makes a
token, printf %s TOKEN | sha256sum its hash for the file; on a unix socket --tokens may be left out. A client with
the token of NAME is the principal token:NAME: the daemon's config says what that name may do ([[admission]] token =
"NAME") and that the user who runs this may speak for it (speaks_for).

Tools: list_vms, screenshot, wait; click, double_click, right_click, middle_click, move, drag, scroll, key,
hold_key, type, lease_take, lease_give_back; console_read, console_send; processes, read_memory, dmesg; exec,
read_file, write_file; vm_state, power, snapshot_list, snapshot_save, snapshot_load, snapshot_delete; ask_person,
which "vmsig ask" and the page of "vmsig web" answer. Resources, with subscriptions: roster, events, audit, each
VM's screen. Tools that the daemon's grant does not cover are not offered. Coordinates are pixels of the screenshot,
which is scaled down if it is large.

The input lease is acquired with the first input, and released after a minute without input or when the client
disconnects; held keys are then released. When a person takes the lease, the model is informed, and gets it back
only if it asks for it.

With --trace, FILE can be read only by you (0600): it has the screens, what the model typed and what it was answered. Your
file of this name is replaced. "vmsig trace FILE -o FILE.html" makes a page of it, also while it grows.`,
  examples: [
    "mcp",
    "mcp --read-only",
    "mcp --endpoint web --no-power",
    "mcp --listen 127.0.0.1:8471 --tokens ~/.config/vmsig/agents",
    "mcp --trace run.vmsig",
  ],
  async run(call) {
    const endpoints = call.steps.filter(({ option }) => option === "endpoint").map(({ text }) => text);
    if (endpoints.some((name) => name === "")) throw usage("mcp", "--endpoint takes a VM's name");
    const listen = call.text("listen");
    const tokens = call.text("tokens");
    if (listen === undefined && tokens !== undefined) throw usage("mcp", "--tokens is for --listen");
    const { parseListenAddress } = await import("../vnc/viewer_listener.ts");
    const address = listen === undefined ? undefined : understood("mcp", () => parseListenAddress(listen));
    if (address?.kind === "tcp" && tokens === undefined) {
      throw usage("mcp", "whoever is on this host reaches the loopback: say --tokens FILE");
    }
    const trace = call.text("trace");
    await using recorder = trace === undefined ? undefined : await startTrace(call, trace, endpoints);
    const options: SeatOptions = {
      join: (sub, reconnect, as = "") => call.connect(sub, reconnect, { as }),
      limits: { readOnly: call.flag("read-only"), noPower: call.flag("no-power"), endpoints },
      tell: (line) => note(call, line),
      asks: await Asks.here(call.socket ?? defaultSocketPathHere()),
      trace: await tracing(recorder),
    };
    if (address === undefined) {
      const { serveOnStdio } = await import("../../mcp/stdio.ts");
      return await serveOnStdio(options, call.signal);
    }
    const { serveOnHttp } = await import("../../mcp/http.ts");
    await serveOnHttp({
      seat: options,
      address,
      tokens,
      signal: call.signal,
      onReady: (url) => call.json ? call.out.json({ url }) : call.out.line(`${url}; Ctrl-C ends it`),
    });
  },
};

/** Starts a trace of everything that the model may see, through connections of the server's own user. */
async function startTrace(call: Call, path: string, names: readonly string[]): Promise<TraceRecorder> {
  const { TraceRecorder } = await import("../record/trace_recorder.ts");
  return await TraceRecorder.start({
    join: (sub) => call.connect(sub),
    endpoint: undefined,
    names,
    path,
    consoles: true,
    onLost: (why) => note(call, `the trace ${path} has ended: ${why}`),
  });
}

async function tracing(recorder: TraceRecorder | undefined): Promise<CallTrace | undefined> {
  if (recorder === undefined) return undefined;
  const { CallTrace } = await import("../../mcp/call_trace.ts");
  return new CallTrace(recorder, "");
}
