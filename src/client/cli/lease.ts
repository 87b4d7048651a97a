/**
 * `vmsig lease`: shows the owner of a lease, or owns one.
 * @module
 */
import { aborted } from "../../base/aborted.ts";
import { suggestion } from "../../base/closest_name.ts";
import { Fault } from "../../base/fault.ts";
import type { EndpointId } from "../../base/ids.ts";
import { MAX_LEASE_MESSAGE } from "../../event/kinds/lease_kinds.ts";
import { KIND } from "../../event/kind.ts";
import { LEASE_CLASS_NAMES } from "../../event/body_number.ts";
import type { Client } from "../client.ts";
import type { Lease, LeaseClassName, LeaseLoss } from "../lease.ts";
import { partyWords } from "../lease_parties.ts";
import { holderWords, type LeaseHolder } from "../lease_holder.ts";
import type { Call, CommandModule } from "./command.ts";
import { usage } from "./command_line.ts";
import { note } from "./note.ts";
import { runUnder } from "./run_under.ts";
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
      help: "hold: the daemon revokes the lease if this command is silent for this long",
    },
    wait: {
      takes: "nothing",
      help: "hold: wait while another control owns it, and again each time it is taken away",
    },
    message: {
      takes: "text",
      value: "WHY",
      help: "hold: the reason, shown to other controls; at most 200 bytes",
    },
  },
  details:
    `status shows whether a class is owned, by whom and why, and who waits for it. hold acquires it and keeps it until
Ctrl-C, or while COMMAND runs, and then exits with COMMAND's exit code. If the lease is lost meanwhile, COMMAND gets
SIGTERM and this command fails with "stale-lease".

With --wait, hold waits while another control owns the lease, and gets it when it is released. If a control with
higher priority takes it away (such as a person on the web page), hold waits for it again. Others see that it waits,
and its --message. COMMAND is run once, when the lease is first acquired, and is ended when the lease is lost.

A lease belongs to the control that acquired it. Other vmsig commands that COMMAND runs are other controls, and the
lease locks them out too.`,
  examples: [
    "lease web input status",
    "lease web power hold",
    "lease web input hold -- sleep 60",
    'lease web input hold --wait --message "the nightly tests"',
  ],
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
    if (verb === "status" && (call.flag("wait") || call.text("message") !== undefined)) {
      throw usage("lease", "--wait and --message are for hold");
    }
    if (new TextEncoder().encode(call.text("message") ?? "").length > MAX_LEASE_MESSAGE) {
      throw usage("lease", `--message may have ${MAX_LEASE_MESSAGE} bytes`);
    }
    if (call.rest?.length === 0 || call.rest?.[0] === "") {
      throw usage("lease", "behind -- a command is missing");
    }
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
  if (client.knowsKind(KIND.CMD_LEASE_WHO)) {
    return await parties({ json, out, signal }, client, ref, className);
  }
  const { busy, owner } = await client.leaseStatus(ref, className, { signal });
  // A free lease has no owner; uid 0 is root.
  const whose = owner === undefined ? {} : { ownerPrincipal: owner.principal, ...namesOf(owner) };
  if (json) out.json({ endpoint: await client.endpoint(ref), class: className, busy, ...whose });
  else out.line(owner === undefined ? `${className}: free` : `${className}: owned by ${holderWords(owner)}`);
}

/** The same with the waiting controls and their reasons. */
async function parties(
  { json, out, signal }: Pick<Call, "json" | "out" | "signal">,
  client: Client,
  ref: string,
  className: LeaseClassName,
): Promise<void> {
  const { owner, waiting, more } = await client.leaseParties(ref, className, { signal });
  if (json) {
    const whose = owner === undefined ? {} : { ownerPrincipal: owner.principal, ...namesOf(owner), owner };
    const facts = { endpoint: await client.endpoint(ref), class: className, busy: owner !== undefined };
    return out.json({ ...facts, ...whose, ...(waiting.length === 0 ? {} : { waiting, more }) });
  }
  out.line(owner === undefined ? `${className}: free` : `${className}: owned by ${partyWords(owner)}`);
  for (const each of waiting) out.line(`  waits: ${partyWords(each)}`);
  if (more > 0) out.line(`  and ${more} more`);
}

/** There is a name only if the process speaks for a principal. */
function namesOf({ as }: LeaseHolder): { readonly ownerAs?: string } {
  return as === "" ? {} : { ownerAs: as };
}

async function hold(call: Call, client: Client, ref: string, className: LeaseClassName): Promise<number> {
  const ttlMs = call.number("ttl") ?? 0;
  const message = call.text("message") ?? "";
  const wait = call.flag("wait");
  const endpoint = await client.endpoint(ref);
  const name = visible(client.roster.nameOf(endpoint));
  if (wait) await tellWaiting(call, client, endpoint, className, name);
  const options = { ttlMs, message, wait, signal: call.signal };
  await using mine = await client.acquire(endpoint, className, options);
  if (wait && call.rest === undefined) return await holdAgain(call, mine, name, message);
  const lost = mine.lost.then((reason) => {
    throw lossOf(mine, reason, name);
  });
  const facts = factsOf(mine);
  if (call.rest !== undefined) {
    return await runUnder(call, mine, lost, () => call.json && call.out.json(facts));
  }
  tellOwned(call, mine, name);
  await Promise.race([lost, aborted(call.signal)]);
  return 0;
}

/** Owns it until Ctrl-C; if it is taken away, waits for it to be given back. */
async function holdAgain(call: Call, first: Lease, name: string, message: string): Promise<number> {
  let mine = first;
  for (;;) {
    tellOwned(call, mine, name);
    const reason = await Promise.race([mine.lost, aborted(call.signal)]);
    if (reason === undefined) break;
    if (reason === "disconnected") throw lossOf(mine, reason, name);
    note(
      call,
      `${name}: ${mine.className} was taken away (${reason}${byWhom(mine)}); waiting until it is given back`,
    );
    mine = await mine.untilGivenBack({ message, signal: call.signal });
  }
  await mine.release();
  return 0;
}

function lossOf(mine: Lease, reason: LeaseLoss, name: string): Fault {
  const what = `Cannot keep ${mine.className} of ${name}`;
  if (reason === "disconnected") {
    return new Fault(
      "unreachable",
      `${what}: the daemon closed the connection; look at its log, and acquire it again when it runs`,
    );
  }
  const why = `the lease was taken away (${reason}${byWhom(mine)})`;
  return new Fault("stale-lease", `${what}: ${why}; acquire it again`);
}

/** Says whom it waits for, if it has to wait. */
async function tellWaiting(
  call: Call,
  client: Client,
  endpoint: EndpointId,
  className: LeaseClassName,
  name: string,
): Promise<void> {
  const { owner } = await client.leaseStatus(endpoint, className, { signal: call.signal });
  if (owner !== undefined) {
    note(call, `${name}: ${holderWords(owner)} owns ${className}; waiting if it has to`);
  }
}

function factsOf({ endpoint, className, token, ttlMs }: Lease): Readonly<Record<string, unknown>> {
  return { endpoint, class: className, held: true, token, ttlMs };
}

function tellOwned(call: Call, mine: Lease, name: string): void {
  if (call.json) call.out.json(factsOf(mine));
  else call.out.line(`${name}: ${mine.className} is owned (token ${mine.token}); Ctrl-C releases it`);
}

function byWhom({ takenBy }: Lease): string {
  return takenBy === undefined ? "" : ` by ${holderWords(takenBy)}`;
}
