/**
 * `vmsig lease`: who owns what, and owning it oneself.
 * @module
 */
import { suggestion } from "../../base/closest_name.ts";
import { Fault, messageOf } from "../../base/fault.ts";
import { LEASE_CLASS_NAMES } from "../../event/body_number.ts";
import type { Client } from "../client.ts";
import type { Lease, LeaseClassName } from "../lease.ts";
import type { Call, CommandModule } from "./command.ts";
import { usage } from "./command_line.ts";
import { visible } from "./table.ts";

/** The command. */
export const lease: CommandModule = {
  args: { min: 3, max: 3 },
  takesCommand: true,
  options: {
    ttl: {
      takes: "number",
      value: "MS",
      min: 10,
      max: 86_400_000,
      help: "hold: let the daemon take it away when this command has been silent for so long",
    },
  },
  details:
    `status tells whether a class is owned, and by which user. hold acquires it and keeps it until Ctrl-C, or while COMMAND
runs, whose exit code is then this one's; when the lease is lost meanwhile, COMMAND is ended with SIGTERM and this
command fails with "stale-lease".

A lease belongs to the control that acquired it: what COMMAND does through other vmsig commands is done by other
controls, which the lease keeps out like everybody else.`,
  examples: ["lease web input status", "lease web power hold", "lease web input hold -- sleep 60"],
  async run(call) {
    const [ref = "", className = "", verb = ""] = call.args;
    if (!LEASE_CLASS_NAMES.includes(className)) {
      throw usage(
        "lease",
        `there is no class ${visible(className)}${suggestion(className, LEASE_CLASS_NAMES)}`,
      );
    }
    if (verb !== "status" && verb !== "hold") {
      throw usage("lease", `there is no action ${visible(verb)}${suggestion(verb, ["status", "hold"])}`);
    }
    if (verb === "status" && call.rest !== undefined) throw usage("lease", "status takes no command");
    if (call.rest?.length === 0) throw usage("lease", "behind -- a command is missing");
    await using client = await call.connect({ sources: ["CORE"], prioMin: 1 });
    if (verb === "status") await status(call, client, ref, className as LeaseClassName);
    else return await hold(call, client, ref, className as LeaseClassName);
  },
};

async function status(
  { json, out, signal }: Call,
  client: Client,
  ref: string,
  className: LeaseClassName,
): Promise<void> {
  const { busy, ownerPrincipal } = await client.leaseStatus(ref, className, { signal });
  // A free lease has no owner; uid 0 is root.
  const owner = busy ? { ownerPrincipal } : {};
  if (json) out.json({ endpoint: await client.endpoint(ref), class: className, busy, ...owner });
  else out.line(busy ? `${className}: owned by uid ${ownerPrincipal}` : `${className}: free`);
}

async function hold(call: Call, client: Client, ref: string, className: LeaseClassName): Promise<number> {
  const ttlMs = call.number("ttl") ?? 0;
  await using mine = await client.acquire(ref, className, { ttlMs, signal: call.signal });
  const name = visible(client.roster.nameOf(mine.endpoint));
  const lost = mine.lost.then((reason) => {
    throw new Fault(
      "stale-lease",
      `Cannot keep ${className} of ${name}: the lease was taken away (${reason}); acquire it again`,
    );
  });
  const { endpoint, token } = mine;
  const facts = { endpoint, class: className, held: true, token, ttlMs: mine.ttlMs };
  if (call.rest !== undefined) return await runUnder(call, mine, lost, facts);
  if (call.json) call.out.json(facts);
  else call.out.line(`${name}: ${className} is owned (token ${token}); Ctrl-C releases it`);
  await Promise.race([lost, aborted(call.signal)]);
  return 0;
}

/** Runs a program while the lease is owned. Nothing is printed of a lease under which nothing could run. */
async function runUnder(
  { signal, rest, json, out }: Call,
  mine: Lease,
  lost: Promise<never>,
  facts: Readonly<Record<string, unknown>>,
): Promise<number> {
  const [program = "", ...args] = rest ?? [];
  if (!mine.owned) await lost;
  let child: Deno.ChildProcess;
  try {
    child = new Deno.Command(program, { args, stdin: "inherit", stdout: "inherit", stderr: "inherit" })
      .spawn();
  } catch (error) {
    const isAbsent = error instanceof Deno.errors.NotFound;
    const why = isAbsent ? "there is no such program" : messageOf(error);
    throw new Fault(isAbsent ? "missing" : "refused", `Cannot run ${visible(program)}: ${why}`, {
      cause: error,
    });
  }
  // Ctrl-C reaches the program by itself, as it is in the terminal's foreground; a SIGTERM to us does not.
  const end = () => terminate(child);
  mine.signal.addEventListener("abort", end, { once: true });
  signal.addEventListener("abort", end, { once: true });
  if (mine.signal.aborted || signal.aborted) end();
  try {
    if (json) out.json(facts);
    const ended = await Promise.race([child.status, lost]);
    return ended.code;
  } catch (error) {
    end();
    throw error;
  } finally {
    mine.signal.removeEventListener("abort", end);
    signal.removeEventListener("abort", end);
    await child.status;
  }
}

function terminate(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGTERM");
  } catch (error) {
    // It has ended by itself meanwhile.
    if (!(error instanceof TypeError || error instanceof Deno.errors.NotFound)) throw error;
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
