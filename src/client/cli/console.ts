/**
 * `vmsig console`: a VM's serial console on this terminal, or as a script of expected and sent texts.
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
const LINGER_MS = 1000;
/** The daemon keeps so much of a console; what is read before any input is sent has a bound. */
const MOST_KEPT = 1 << 20;

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
    linger: {
      takes: "number",
      value: "MS",
      max: MAX_TIMEOUT_MS,
      help: `once standard input has ended: leave when the console was silent for this long (${LINGER_MS})`,
    },
  },
  details:
    `Without --expect and --send, this terminal is connected to the console until you type Enter, ~ and a dot; Ctrl-C
goes to the guest. Enter, ~ and ? list the escape sequences, and show how to have the guest use the size of this
terminal: a serial port has none of its own. If standard input is not a terminal, it is sent to the console, the
output is printed, and the command ends when standard input has ended and the console has been silent for a second
(--linger): so
"vmsig console web --backlog < /dev/null" prints what the daemon has kept. To follow a console until Ctrl-C, use
--read-only. "vmsig console ENDPOINT list" lists the consoles.

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
    "console web --linger 5000",
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
    if (call.number("linger") !== undefined && (isScript || call.flag("read-only") || verb !== undefined)) {
      throw usage("console", "--linger is for standard input that is sent to the console");
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

/** Both directions, until the other side, the person or the end of the input ends it. */
async function attach(call: Call, opened: ConsoleControl): Promise<void> {
  const ending = new AbortController();
  const signal = AbortSignal.any([call.signal, ending.signal]);
  const isReadOnly = call.flag("read-only");
  const isTerminal = Deno.stdin.isTerminal();
  if (isTerminal && !isReadOnly) {
    note(call, "connected; Enter, ~ and a dot leave (Enter, ~ and ? show help)");
  }
  const print = (bytes: Uint8Array<ArrayBuffer>): void => {
    if (call.json) call.out.json({ text: new TextDecoder().decode(bytes) });
    else call.out.bytes(bytes);
  };
  // From the end of the input on, each silence may be the one that ends it.
  const lingerMs = call.number("linger") ?? LINGER_MS;
  let isOver = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const listenOn = (): void => {
    clearTimeout(timer);
    if (isOver) timer = setTimeout(() => ending.abort(), lingerMs);
  };
  let sending = Promise.resolve();
  try {
    // What is there is printed, however soon the input ends.
    if (!isTerminal && !isReadOnly) await printKept(opened, signal, print);
    if (!isReadOnly) {
      sending = sendInput(call, opened, isTerminal, signal).then(() => {
        if (isTerminal) return ending.abort();
        isOver = true;
        listenOn();
      });
      // What goes wrong with the input ends the output, and is told below.
      sending.catch(() => ending.abort());
    }
    for (;;) {
      print(await opened.read({ signal }));
      listenOn();
    }
  } catch (error) {
    // The person left or was interrupted, which does not affect the console.
    if (!(error instanceof Fault) || error.code !== "interrupted") throw error;
  } finally {
    ending.abort();
    clearTimeout(timer);
    await sending;
    if (opened.lostBytes > 0) note(call, `${opened.lostBytes} bytes were lost: this terminal was too slow`);
  }
}

/** Prints what the daemon has now. */
async function printKept(
  opened: ConsoleControl,
  signal: AbortSignal,
  print: (bytes: Uint8Array<ArrayBuffer>) => void,
): Promise<void> {
  for (let total = 0; total < MOST_KEPT;) {
    const bytes = await opened.readNow(0, signal);
    if (bytes.length === 0) return;
    print(bytes);
    total += bytes.length;
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

/** A text with the escapes that a shell's $'…' has. */
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

/**
 * A guest's output for a person: control characters that a terminal would obey are escaped, line ends are
 * kept.
 */
function visibleLines(text: string): string {
  return text.split(/\r?\n/).map(visible).join("\n");
}
