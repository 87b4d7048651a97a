/**
 * `vmsig console`: a VM's serial console on this terminal, or as a script: expect this, send that.
 * @module
 */
import { Fault } from "../../base/fault.ts";
import { suggestion } from "../../base/closest_name.ts";
import type { Client } from "../client.ts";
import { ConsoleControl, type ConsoleEntry, listConsoles } from "../console_control.ts";
import type { Call, CommandModule, OptionStep } from "./command.ts";
import { usage } from "./command_line.ts";
import { ConsoleEscape, escapeHelp } from "./console_escape.ts";
import { note, noteLine } from "./note.ts";
import { printTable, visible } from "./table.ts";

/** Consoles of one VM. */
const MAX_PORT = 31;
const MAX_TIMEOUT_MS = 86_400_000;

/** The command. */
export const console: CommandModule = {
  args: { min: 1, max: 2 },
  options: {
    port: { takes: "number", value: "N", max: MAX_PORT, help: "which console of the VM (0)" },
    backlog: { takes: "nothing", help: "begin with the output that the daemon has kept" },
    "read-only": { takes: "nothing", help: "only print the output, without a lease" },
    expect: {
      takes: "texts",
      value: "RE",
      help: "wait for a text that this expression matches",
    },
    send: {
      takes: "texts",
      value: "TEXT",
      help: "send a text: \\r, \\n, \\t, \\e and \\xHH are understood",
    },
    timeout: {
      takes: "number",
      value: "MS",
      min: 1,
      max: MAX_TIMEOUT_MS,
      help: "with --expect: how long each may take (30000)",
    },
  },
  details:
    `Without --expect and --send, this terminal is connected to the console until you type Enter, ~ and a dot; Ctrl-C
goes to the guest. Enter, ~ and ? list the escapes, and tell how to have the guest use the size of this terminal:
a serial port has none of its own. If standard input is not a terminal, it is sent to the console, and the output is printed until
Ctrl-C. "vmsig console ENDPOINT list" lists the consoles.

Any number of controls may read a console. Writing needs the console lease, which this command acquires with the
first key. QEMU accepts one client on a console's socket: while the daemon has it open, other programs wait. On a
terminal (-serial pty) QEMU checks only once a second whether somebody has opened it, and drops the guest's output
until then; console = "always" in the endpoint's config keeps it open from the start. A guest that writes to a serial
port waits for the daemon; of a virtio console, QEMU drops without notice what the daemon does not read at once.

--expect and --send make a script that is run in the given order. Each --expect waits for its text in the output
since the one before. The output is printed. If a text does not come, the exit code is 1.`,
  examples: [
    "console web",
    "console web list",
    "console web --read-only --backlog",
    "console web --send '\\n' --expect 'login: ' --timeout 60000",
  ],
  async run(call) {
    const [ref = "", verb] = call.args;
    if (verb !== undefined && verb !== "list") {
      throw usage("console", `there is no action ${visible(verb)}${suggestion(verb, ["list"])}`);
    }
    const steps = call.steps.map(stepOf);
    const isScript = steps.length > 0;
    if (call.flag("read-only") && steps.some(({ does }) => does === "send")) {
      throw usage("console", "--read-only sends nothing");
    }
    if (!isScript && call.number("timeout") !== undefined) {
      throw usage("console", "--timeout is for --expect");
    }
    await using client = await call.connect({ sources: ["CORE"], prioMin: 1 });
    if (verb === "list") return await list(call, client, ref);
    const port = call.number("port");
    await using opened = await ConsoleControl.open(client, ref, {
      signal: call.signal,
      backlog: call.flag("backlog"),
      lossless: isScript,
      ...(port === undefined ? {} : { port }),
    });
    if (isScript) return await script(call, opened, steps);
    await attach(call, opened);
  },
};

async function list({ json, out, signal }: Call, client: Client, ref: string): Promise<void> {
  const entries = await listConsoles(client, ref, { signal });
  if (json) {
    for (const entry of entries) out.json(entry);
    return;
  }
  if (entries.length === 0) return out.line("the VM has no serial port and no virtio console");
  printTable(out, ["NUMBER", "LABEL", "KIND", "STATE", "KEPT"], entries.map(rowOf));
}

function rowOf({ number, label, role, place, open, start, end, why }: ConsoleEntry): string[] {
  const state = open ? "open" : why !== "" ? why : place === "other" ? "cannot be reached" : "closed";
  return [`${number}`, visible(label), visible(role), visible(state), `${end - start} bytes`];
}

/** One step of a script. */
type Step =
  | { readonly does: "expect"; readonly wanted: RegExp }
  | { readonly does: "send"; readonly text: string };

function stepOf({ option, text }: OptionStep): Step {
  return option === "send"
    ? { does: "send", text: unescaped(text) }
    : { does: "expect", wanted: expressionOf(text) };
}

async function script(call: Call, opened: ConsoleControl, steps: readonly Step[]): Promise<void> {
  const timeoutMs = call.number("timeout");
  const { signal } = call;
  for (const step of steps) {
    if (step.does === "send") {
      await opened.send(step.text, { signal });
      continue;
    }
    const { wanted } = step;
    const found = await opened.expect(wanted, { signal, ...(timeoutMs === undefined ? {} : { timeoutMs }) });
    if (call.json) call.out.json({ expected: wanted.source, ...found });
    else call.out.line(visibleLines(found.before + found.text));
  }
  if (opened.lostBytes > 0) note(call, `${opened.lostBytes} bytes were lost`);
}

/** Both directions, until the other side or the person ends it. */
async function attach(call: Call, opened: ConsoleControl): Promise<void> {
  const ending = new AbortController();
  const signal = AbortSignal.any([call.signal, ending.signal]);
  const isTerminal = Deno.stdin.isTerminal();
  if (isTerminal && !call.flag("read-only")) {
    note(call, "connected; Enter, ~ and a dot leave (Enter, ~ and ? show help)");
  }
  const sending = call.flag("read-only")
    ? Promise.resolve()
    : sendInput(call, opened, isTerminal, signal).finally(() => isTerminal && ending.abort());
  try {
    for (;;) {
      const bytes = await opened.read({ signal });
      if (call.json) call.out.json({ text: new TextDecoder().decode(bytes) });
      else call.out.bytes(bytes);
    }
  } catch (error) {
    // The person left, or was interrupted: the console is as it was.
    if (!(error instanceof Fault) || error.code !== "interrupted") throw error;
  } finally {
    ending.abort();
    await sending;
    if (opened.lostBytes > 0) note(call, `${opened.lostBytes} bytes were lost: this terminal was too slow`);
  }
}

/** Standard input to the guest; ends at its end, or with the escape. */
async function sendInput(
  { json }: Call,
  opened: ConsoleControl,
  isTerminal: boolean,
  signal: AbortSignal,
): Promise<void> {
  const escape = new ConsoleEscape();
  const tell = (text: string) => Deno.stderr.writeSync(new TextEncoder().encode(text));
  let isRefused = false;
  const reader = Deno.stdin.readable.getReader();
  const stop = () => void reader.cancel().catch(() => {});
  signal.addEventListener("abort", stop, { once: true });
  if (isTerminal) Deno.stdin.setRaw(true);
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const { bytes, asksHelp, isLeaving } = isTerminal
        ? escape.take(value)
        : { bytes: value, asksHelp: false, isLeaving: false };
      if (bytes.length > 0) {
        try {
          await opened.send(bytes, { signal });
          isRefused = false;
        } catch (error) {
          // A person reads on while another writes.
          if (!isTerminal || !(error instanceof Fault) || error.code !== "busy") throw error;
          if (!isRefused) tell(`\n${noteLine(json, `${error.message}; until then you only read`)}\n`);
          isRefused = true;
        }
      }
      if (asksHelp) tell(escapeHelp(Deno.consoleSize()));
      if (isLeaving) return;
    }
  } finally {
    if (isTerminal) Deno.stdin.setRaw(false);
    signal.removeEventListener("abort", stop);
  }
}

function expressionOf(text: string): RegExp {
  try {
    return new RegExp(text, "mu");
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw usage("console", `${visible(text)} is not a regular expression: ${error.message}`);
  }
}

const ESCAPES: Readonly<Record<string, string>> = { r: "\r", n: "\n", t: "\t", e: "\x1b", "\\": "\\" };

/** A text as it is typed in a shell, with its escapes. */
function unescaped(text: string): string {
  return text.replaceAll(/\\(x[0-9a-fA-F]{2}|.)/gs, (all, what: string) => {
    if (what.startsWith("x") && what.length === 3) return String.fromCharCode(parseInt(what.slice(1), 16));
    const known = ESCAPES[what];
    if (known === undefined) {
      throw usage("console", `${visible(all)} is not an escape: \\r \\n \\t \\e \\xHH \\\\`);
    }
    return known;
  });
}

/** Lines of a guest for a person: what could steer the terminal is escaped, line ends stay. */
function visibleLines(text: string): string {
  return text.split(/\r?\n/).map(visible).join("\n");
}
