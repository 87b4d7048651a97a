/**
 * The man page and the bash completion, made from the same command table as the help: what they say is what the commands do.
 *
 *   deno run -A scripts/man_page.ts man | completion
 *
 * @module
 */
import { optionsOf } from "../src/client/cli/command_line.ts";
import type { CommandEntry, CommandModule } from "../src/client/cli/command.ts";
import { COMMANDS } from "../src/client/cli/command_table.ts";
import { VERSION } from "../src/base/version.ts";

/** Text as troff takes it: no line begins with a dot or a quote, hyphens are real ones. */
function troff(text: string): string {
  return text.replaceAll("\\", "\\e").replaceAll("-", "\\-").replace(/^([.'])/gm, "\\&$1");
}

/** The man page vmsig(1). */
export async function manPage(): Promise<string> {
  const lines = [
    `.TH VMSIG 1 "" "vmsig ${VERSION}" "User Commands"`,
    ".SH NAME",
    "vmsig \\- watch and steer virtual machines over one bus",
    ".SH SYNOPSIS",
  ];
  for (const { usage } of Object.values(COMMANDS)) {
    for (const form of usage) lines.push(`\\fBvmsig\\fR ${troff(form)}`, ".br");
  }
  lines.push(
    ".SH DESCRIPTION",
    "vmsig connects sensors and actuators of virtual machines (state over QMP, guest memory, frames, input) to controls: programs or people. The daemon,",
    ".B vmsig serve,",
    "finds the VMs of a host; every other command talks to it over a unix socket, but for those that say otherwise. ENDPOINT is a name or a number.",
    ".SH COMMANDS",
  );
  for (const [name, entry] of Object.entries(COMMANDS)) {
    lines.push(...commandSection(name, entry, await entry.load()));
  }
  lines.push(
    ".SH EXIT STATUS",
    "0 done; 1 refused or failed; 2 usage; 3 something is missing on this machine; 4 the daemon cannot be reached; 130 interrupted.",
    ".SH FILES",
    ".TP",
    "/etc/vmsig/vmsigd.toml",
    "the daemon's config; each key is explained there",
    ".TP",
    "/run/vmsig/control.sock",
    "the control socket; $XDG_RUNTIME_DIR/vmsig/control.sock when not root",
    ".TP",
    "/run/vmsig/endpoints.d",
    "the trigger directory: a file that appears here attaches a VM",
    ".TP",
    "/run/vmsig/metrics.sock",
    "metrics in Prometheus' text format, over HTTP",
  );
  return lines.join("\n") + "\n";
}

function commandSection(name: string, entry: CommandEntry, command: CommandModule): string[] {
  const lines = [`.SS ${name}`, `${troff(capital(entry.summary))}.`];
  for (const usage of entry.usage) lines.push(".PP", `.B vmsig ${troff(usage)}`);
  lines.push(".PP", troff(command.details.trim()));
  for (const [option, spec] of Object.entries(optionsOf(command))) {
    const value = spec.takes === "nothing" ? "" : ` ${spec.value ?? "VALUE"}`;
    const letter = spec.letter === undefined ? "" : `\\-${spec.letter}, `;
    lines.push(".TP", `${letter}${troff(`--${option}${value}`)}`, troff(spec.help));
  }
  if (command.examples.length > 0) {
    lines.push(".PP", "Examples:", ".nf", ...command.examples.map((each) => troff(`  vmsig ${each}`)), ".fi");
  }
  return lines;
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** The completion for bash: commands, their options, endpoints by asking the daemon. */
export async function completion(): Promise<string> {
  const cases: string[] = [];
  for (const [name, entry] of Object.entries(COMMANDS)) {
    const options = Object.keys(optionsOf(await entry.load())).map((option) => `--${option}`);
    const words = [...new Set(entry.usage.flatMap(literalWords))];
    const takesEndpoint = entry.usage.some((usage) => usage.includes("ENDPOINT"));
    cases.push(
      `    ${name}) words="${[...words, ...options].join(" ")}"; endpoints=${takesEndpoint ? "yes" : ""} ;;`,
    );
  }
  return [
    "# bash completion for vmsig; made from its command table.",
    "_vmsig() {",
    "  local current=${COMP_WORDS[COMP_CWORD]} words= endpoints=",
    "  COMPREPLY=()",
    '  if [ "$COMP_CWORD" -eq 1 ]; then',
    `    COMPREPLY=($(compgen -W "${[...Object.keys(COMMANDS), "help"].join(" ")}" -- "$current"))`,
    "    return",
    "  fi",
    "  case ${COMP_WORDS[1]} in",
    ...cases,
    "  esac",
    '  if [ -n "$endpoints" ] && [ "$COMP_CWORD" -eq 2 ]; then',
    '    words="$words $(vmsig ls --json 2>/dev/null | sed -n \'s/.*"name":"\\([^"]*\\)".*/\\1/p\')"',
    "  fi",
    '  COMPREPLY=($(compgen -W "$words" -- "$current"))',
    "}",
    "complete -o default -F _vmsig vmsig",
    "",
  ].join("\n");
}

/** Words of a usage line that are typed as they stand. */
function literalWords(usage: string): string[] {
  return usage.split(/[\s|[\]]+/).slice(1).filter((word) => /^[a-z][a-z-]+$/.test(word));
}

if (import.meta.main) {
  const [what] = Deno.args;
  if (what === "man") await Deno.stdout.write(new TextEncoder().encode(await manPage()));
  else if (what === "completion") await Deno.stdout.write(new TextEncoder().encode(await completion()));
  else {
    console.error("vmsig: usage: scripts/man_page.ts man | completion");
    Deno.exit(2);
  }
}
