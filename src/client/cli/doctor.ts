/**
 * `vmsig doctor`: checks whether this machine has what vmsig needs, and says what to do about the rest.
 * @module
 */
import { Fault } from "../../base/fault.ts";
import { principalWords } from "../../base/principal_name.ts";
import { connect, defaultSocketPathHere } from "../connect.ts";
import type { Call, CommandModule } from "./command.ts";
import { examineConfig, examineSocket, examineUinput, NO_PATH, socketOf } from "./daemon_check.ts";
import { examineDisplays } from "./display_check.ts";
import { examineMachine, type Finding } from "./machine_check.ts";
import type { Tone } from "./output.ts";
import type { Weakness } from "./security/finding.ts";
import { checkSecurity } from "./security/security_check.ts";
import { printTable, visible } from "./table.ts";

const TONES: Readonly<Record<Finding["state"], Tone>> = { ok: "good", note: "warn", missing: "bad" };
const SEVERITIES: Readonly<Record<Weakness["severity"], Tone>> = {
  high: "bad",
  medium: "bad",
  low: "warn",
  note: "dim",
};

/** The command. */
export const doctor: CommandModule = {
  args: { min: 0, max: 0 },
  options: {
    config: { takes: "text", value: "FILE", help: "the daemon's config (/etc/vmsig/vmsigd.toml)" },
    security: {
      takes: "nothing",
      help: "look instead for weaknesses that others could use against the daemon",
    },
  },
  details:
    `Checks the kernel, the C shim, this user's rights, and what the config needs: /dev/uinput if an endpoint has input =
"uinput", the folder of the control socket, whether the daemon answers there, and what shows each VM's screen.
Everything missing is reported with a remedy, and the exit code is then 3. Notes concern features that not everybody
needs.

With --security it looks for weaknesses that others could use against the daemon: who can write to or replace its
socket, its config, the trigger directory, the monitors that these name and the RAM files of QEMUs; rules that grant
more than is needed; overrides of the systemd unit; kernel settings; the daemon's process. Each finding is high,
medium, low or a note, with its remedy. The exit code is 0 if only notes were found, otherwise 1. Run it as root;
other users cannot see everything.`,
  examples: ["doctor", "doctor --json", "doctor --config ./vmsigd.toml", "doctor --security"],
  async run(call) {
    if (call.flag("security")) return examineSecurity(call);
    const findings = await examine(call);
    if (call.json) { for (const finding of findings) call.out.json(finding); }
    else print(call, findings);
    return findings.some(({ state }) => state === "missing") ? 3 : 0;
  },
};

async function examine(call: Call): Promise<Finding[]> {
  const { finding, config } = examineConfig(call.text("config"));
  const choose = () =>
    socketOf({
      given: call.socket,
      environment: Deno.env.get("VMSIG_SOCKET"),
      byConfig: call.text("config") !== undefined,
      config,
    });
  const socket = examineSocket(choose);
  const path = socket.found === NO_PATH ? undefined : choose();
  const daemon = path === undefined ? [] : await examineDaemon(path, call.signal);
  return [...examineMachine(), examineUinput(config, path), socket, finding, ...daemon];
}

function examineSecurity(call: Call): number {
  const { out } = call;
  const found = checkSecurity({
    socket: call.socket ?? defaultSocketPathHere(),
    config: call.text("config"),
  });
  if (call.json) { for (const weakness of found) out.json(weakness); }
  else if (found.length === 0) out.line("nothing was found that weakens the daemon on this host");
  else {
    printTable(
      out,
      ["SEVERITY", "WHERE", "FOUND"],
      found.map((
        { severity, check, found },
      ) => [{ text: severity, tone: SEVERITIES[severity] }, check, found]),
    );
    out.line();
    for (const { check, remedy } of found) out.line(`${check}: ${visible(remedy)}`);
  }
  return found.some(({ severity }) => severity !== "note") ? 1 : 0;
}

async function examineDaemon(socket: string, signal: AbortSignal): Promise<Finding[]> {
  try {
    const sub = { sources: ["CORE", "FRAME"], prioMin: 1 } as const;
    await using client = await connect({ socket, name: "vmsig doctor", sub, signal });
    const { capNames, principal, as } = client.grant;
    const found = `it answers; ${principalWords(principal, as)} may ${capNames.join(", ").toLowerCase()}`;
    return [{ check: "daemon", state: "ok", found }, ...await examineDisplays(client)];
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return [{ check: "daemon", state: "missing", found: error.code, remedy: error.message }];
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
