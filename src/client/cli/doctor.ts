/**
 * `vmsig doctor`: whether this machine has what vmsig needs, and what to do about what it lacks.
 * @module
 */
import { Fault } from "../../base/fault.ts";
import type { Call, CommandModule } from "./command.ts";
import { examineMachine, type Finding } from "./machine_check.ts";
import type { Tone } from "./output.ts";
import { printTable, visible } from "./table.ts";

const TONES: Readonly<Record<Finding["state"], Tone>> = { ok: "good", note: "warn", missing: "bad" };

/** The command. */
export const doctor: CommandModule = {
  args: { min: 0, max: 0 },
  options: {
    config: { takes: "text", value: "FILE", help: "the daemon's config (/etc/vmsig/vmsigd.toml)" },
  },
  details:
    `Looks at the kernel, the C shim, this user's rights, /dev/uinput, the config, and whether the daemon answers. What is
missing is told with its remedy, and the exit code is then 3. A note is something that only some uses need.`,
  examples: ["doctor", "doctor --json", "doctor --config ./vmsigd.toml"],
  async run(call) {
    const findings: Finding[] = [];
    for (const examine of examineMachine(call.text("config"))) findings.push(examine());
    findings.push(await examineDaemon(call));
    if (call.json) { for (const finding of findings) call.out.json(finding); }
    else print(call, findings);
    return findings.some(({ state }) => state === "missing") ? 3 : 0;
  },
};

async function examineDaemon(call: Call): Promise<Finding> {
  try {
    await using client = await call.connect({ sources: [] });
    const { capNames, principal } = client.grant;
    const found = `it answers; uid ${principal} may ${capNames.join(", ").toLowerCase()}`;
    return { check: "daemon", state: "ok", found };
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return { check: "daemon", state: "missing", found: error.code, remedy: error.message };
  }
}

function print({ out }: Call, findings: readonly Finding[]): void {
  printTable(
    out,
    ["CHECK", "STATE", "FOUND"],
    findings.map(({ check, state, found }) => [check, { text: state, tone: TONES[state] }, found]),
  );
  const lacks = findings.filter(({ remedy }) => remedy !== undefined);
  if (lacks.length > 0) out.line();
  for (const { check, remedy = "" } of lacks) out.line(`${check}: ${visible(remedy)}`);
}
