/** Runs commands as a user does, as processes of their own, against a daemon that the test scripts. */
import type { ClientEvent } from "../../../src/client/client_event.ts";
import { KIND } from "../../../src/event/kind.ts";
import { FakeDaemon, type Peer, type Script } from "../client/fake_daemon.ts";

/** The program. */
export const MAIN = new URL("../../../main.ts", import.meta.url).pathname;

/** What a command printed, and its exit code. */
export interface Ran {
  /** The exit code. */
  code: number;
  /** Standard output. */
  out: string;
  /** Standard error. */
  err: string;
}

/** A command line as a process of its own, not started yet. */
export function command(args: readonly string[], env: Record<string, string> = {}): Deno.Command {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", MAIN, ...args],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    env: { NO_COLOR: "1", ...env },
  });
}

/** Runs a command line to its end. */
export async function vmsig(...args: string[]): Promise<Ran> {
  const { code, stdout, stderr } = await command(args).output();
  const decoder = new TextDecoder();
  return { code, out: decoder.decode(stdout), err: decoder.decode(stderr) };
}

/** A daemon that refuses nothing; `state` is the answer to `vm query`. */
export function agreeable(state = 1): Script {
  return {
    endpoints: ["alpha", "beta"],
    onCommand(command: ClientEvent, peer: Peer) {
      const first = command.view.getUint32(0, true);
      switch (command.kind) {
        case KIND.CMD_ACQUIRE:
          return peer.reply(command, KIND.LEASE_GRANTED, [first, 0, 8, 0, 0]);
        case KIND.CMD_RELEASE:
          return peer.reply(command, KIND.LEASE_RELEASED, [first]);
        case KIND.CMD_LEASE_STATUS:
          return peer.reply(command, KIND.LEASE_STATUS, [first, 1, 4711]);
        case KIND.CMD_QUERY_INPUT:
          return peer.reply(command, KIND.INPUT_HELD, [1, 0, (30 << 16) | 3]);
        case KIND.CMD_VM:
          if (first === 0) return peer.reply(command, KIND.VM_LIFECYCLE, [state, 1]);
      }
      peer.ack(command);
    },
  };
}

/** Calls `body` with a scripted daemon and the option that names its socket. */
export async function withDaemon(
  script: Script,
  body: (daemon: FakeDaemon, at: string[]) => Promise<void>,
): Promise<void> {
  await using daemon = new FakeDaemon(script);
  await body(daemon, ["--socket", daemon.path]);
}

/** The kinds of the commands that a peer has sent. */
export function kindsOf(peer: Peer | undefined): string[] {
  return (peer?.commands ?? []).map(({ kindName }) => kindName);
}
