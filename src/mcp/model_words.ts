/**
 * Messages in words for a model. The daemon and the client library tell people which command helps; a model
 * has tools instead, and what only a command does it has to ask the user for.
 * @module
 */

/** Commands that a tool stands for, the longer ones first. */
const TOOLS: readonly (readonly [command: RegExp, tool: string])[] = [
  [/"?vmsig vm [^\s"]+ snapshots"?/g, "snapshot_list"],
  [/"?vmsig vm(?: [^\s"]+)? query"?/g, "vm_state"],
  [/"?vmsig vm\b"?/g, "vm_state and power"],
  [/"?vmsig lease ENDPOINT CLASS status\b"?/g, "list_vms"],
  [/"?vmsig lease\b"?/g, "lease_take"],
  [/"?vmsig (?:ls|probe)\b"?/g, "list_vms"],
  [/"?vmsig mem\b"?/g, "read_memory"],
  [/"?vmsig screen\b"?/g, "screenshot"],
  [/"?vmsig wait\b"?/g, "wait"],
  [/"?vmsig console\b"?/g, "console_read"],
];
/** What is left: commands of the host, which a model does not run. */
const OTHERS =
  /"?\bvmsig (serve|doctor|record|replay|trace|agent|exec|cp|web|vnc|join|gdb|ask|watch|held|key|type|mouse)\b(?: --?[a-z-]+)*"?/g;
/** Hints at the client's own options and config, which a model has not. */
const ITS_HELP = /; see the command's --help/g;

/** A message with tools where it named commands. */
export function forModel(message: string): string {
  let text = message.replace(ITS_HELP, "");
  for (const [command, tool] of TOOLS) text = text.replace(command, tool);
  return text.replace(OTHERS, "vmsig $1 (a command for the user)");
}
