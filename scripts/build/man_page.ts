/**
 * The man page, made from the same command table as the help: what it says is what the commands do. The
 * completions are made likewise (completion.ts).
 *
 *   deno run -A scripts/build/man_page.ts man | completion [bash|zsh|fish]
 *
 * @module
 */
import { completion, type Shell, SHELLS } from "./completion.ts";
import { optionsOf } from "../../src/client/cli/command_line.ts";
import type { CommandEntry, CommandModule } from "../../src/client/cli/command.ts";
import { COMMANDS } from "../../src/client/cli/command_table.ts";
import { VERSION } from "../../src/base/version.ts";

/** Stands for a space at which no line is broken, until the text is troff's. */
const NO_BREAK = "\u00a0";

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
    // Neither hyphenated nor stretched: it is typed as it stands.
    ".nh",
    ".ad l",
  ];
  for (const { usage } of Object.values(COMMANDS)) {
    for (const form of usage) lines.push(".HP 8", `\\fBvmsig\\fR ${unbroken(form)}`);
  }
  lines.push(
    ".ad b",
    ".hy",
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
  for (const usage of entry.usage) lines.push(".PP", `.B vmsig ${unbroken(usage)}`);
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

/**
 * A usage line that is broken between its parts only: an option stays with its value, what is in brackets
 * together.
 */
function unbroken(usage: string): string {
  let depth = 0;
  const parts = [...usage].map((c) => {
    if (c === "[") depth++;
    else if (c === "]") depth--;
    return c === " " && depth > 0 ? NO_BREAK : c;
  });
  return troff(parts.join("").replace(/ (-{1,2}[a-z][a-z-]*) (?=[A-Z[])/g, ` $1${NO_BREAK}`))
    .replaceAll(NO_BREAK, "\\ ");
}

if (import.meta.main) {
  const [what, shell = "bash"] = Deno.args;
  if (what === "man") await Deno.stdout.write(new TextEncoder().encode(await manPage()));
  else if (what === "completion" && SHELLS.includes(shell as Shell)) {
    await Deno.stdout.write(new TextEncoder().encode(await completion(shell as Shell)));
  } else {
    console.error(`vmsig: usage: scripts/build/man_page.ts man | completion [${SHELLS.join("|")}]`);
    Deno.exit(2);
  }
}
