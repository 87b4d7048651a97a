/**
 * The C peer of tests/c, built on demand, as a process of a test.
 * @module
 */
import { compiledProgram } from "../../guest/c_program.ts";

const path = (name: string): string => new URL(`../../../${name}`, import.meta.url).pathname;

/** Builds it, or finds it built; its executable. */
export async function cPeer(): Promise<string> {
  const sources = [path("tests/c/v2v_peer.c"), path("shim/guest/vmsig_v2v.c")];
  const program = await compiledProgram({ name: "v2v_peer", sources });
  return program.path;
}

/** Starts it. */
export async function startCPeer(
  args: string[],
  stdin: "piped" | "null" = "null",
): Promise<Deno.ChildProcess> {
  return new Deno.Command(await cPeer(), { args, stdin, stdout: "piped", stderr: "inherit" }).spawn();
}
