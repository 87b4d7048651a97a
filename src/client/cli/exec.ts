/**
 * `vmsig exec`: runs a program in a guest through its agent.
 * @module
 */
import { Fault } from "../../base/fault.ts";
import { AgentControl } from "../agent_control.ts";
import type { CommandModule } from "./command.ts";
import { usage } from "./command_line.ts";
import { note } from "./note.ts";

/** Size limit of standard input, bytes. */
const MAX_INPUT_BYTES = 32_768;
/** Exit code of a program that was ended by a signal, as in a shell: 128 + signal. */
const SIGNAL_EXIT = 128;

/** The command. */
export const exec: CommandModule = {
  args: { min: 1, max: 1 },
  takesCommand: true,
  options: {
    env: { takes: "texts", value: "NAME=VALUE", help: "set a variable in its environment; repeatable" },
    stdin: {
      takes: "nothing",
      help: `pass standard input to it, ${MAX_INPUT_BYTES} bytes at most`,
    },
    timeout: {
      takes: "number",
      value: "MS",
      min: 1,
      max: 86_400_000,
      help: "stop waiting after this time; the program continues",
    },
  },
  details:
    `Runs the program in the guest through the QEMU guest agent, prints its output when it has ended, and exits with its
exit code. It is not run by a shell; for one, write sh -c '…'. Acquires the agent lease for the command, and fails
with "busy" if another control owns it. At most a megabyte of output is read; for more, write it to a file and copy
that with "vmsig cp". Ctrl-C stops waiting (exit code 130) and prints the pid under which the program continues,
because the agent cannot end it.`,
  examples: ["exec web -- uname -a", "exec web --timeout 60000 -- sh -c 'apt-get update 2>&1'"],
  async run(call) {
    const [ref = ""] = call.args;
    const [path, ...args] = call.rest ?? [];
    if (path === undefined || path === "") throw usage("exec", "behind -- the program is missing");
    const env = call.steps.map(({ text }) => text);
    const wrong = env.find((word) => !/^[^=]+=/.test(word));
    if (wrong !== undefined) throw usage("exec", `--env ${wrong} is not NAME=VALUE`);
    const input = call.flag("stdin") ? await readInput() : undefined;
    const timeoutMs = call.number("timeout");
    await using client = await call.connect({ sources: ["CORE"], prioMin: 1 });
    await using agent = await AgentControl.of(client, ref);
    const { code, signal, out, err, truncated } = await agent.exec(path, args, {
      env,
      signal: call.signal,
      ...(input === undefined ? {} : { input }),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    }).catch((error) => {
      // An interrupted command usually prints nothing; but here the program goes on in the guest.
      if (error instanceof Fault && error.code === "interrupted") note(call, error.message);
      throw error;
    });
    const decoder = new TextDecoder();
    if (call.json) {
      call.out.json({ code, signal, out: decoder.decode(out), err: decoder.decode(err), truncated });
    } else {
      call.out.bytes(out);
      Deno.stderr.writeSync(err);
      if (truncated) {
        Deno.stderr.writeSync(new TextEncoder().encode("vmsig: the guest's agent kept a part of it\n"));
      }
    }
    return signal > 0 ? SIGNAL_EXIT + signal : code;
  },
};

async function readInput(): Promise<Uint8Array> {
  const bytes = new Uint8Array(await new Response(Deno.stdin.readable).arrayBuffer());
  if (bytes.length <= MAX_INPUT_BYTES) return bytes;
  throw new Fault(
    "too-large",
    `Cannot give ${bytes.length} bytes to a program: ${MAX_INPUT_BYTES} are possible; copy a file with "vmsig cp"`,
  );
}
