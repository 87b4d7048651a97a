/**
 * Processes that the bus benchmarks measure: the daemon with stub endpoints (this checkout's, or the one that
 * VMSIG_BENCH_ROOT names), and C servers. Each says "ready …" on stdout; all end with their scope.
 * @module
 */
import { EAGER } from "../../scripts/build/compile.ts";
import { daemonRoot } from "../fixtures/daemon_root.ts";

const ROOT = daemonRoot();

/** A process that has said that it is ready. */
export interface Served extends AsyncDisposable {
  readonly pid: number;
  readonly socket: string;
  /** From its start until it said so, ms. */
  readonly readyMs: number;
}

/** Starts the daemon with stub endpoints. */
export function serveStubs(count: number, args: readonly string[] = []): Promise<Served> {
  return start(
    "vmsig",
    (socket) => [
      Deno.execPath(),
      [
        "run",
        ...EAGER,
        "-A",
        "--no-check",
        "--config",
        `${ROOT}deno.json`,
        `${ROOT}main.ts`,
        "serve",
        "--stub",
        `${count}`,
        "--socket",
        socket,
        ...args,
      ],
    ],
  );
}

/** Starts the C echo server. */
export function serveEcho(floor: string): Promise<Served> {
  return start("echo", (socket) => [floor, ["server", socket]]);
}

/** Starts a C listener that accepts and closes. */
export function serveDoor(floor: string): Promise<Served> {
  return start("door", (socket) => [floor, ["door", socket]]);
}

async function start(
  name: string,
  commandOf: (socket: string) => [string, readonly string[]],
): Promise<Served> {
  const folder = Deno.makeTempDirSync({ prefix: `vmsig-bench-${name}-` });
  const socket = `${folder}/control.sock`;
  const [program, args] = commandOf(socket);
  const started = performance.now();
  const child = new Deno.Command(program, {
    args: [...args],
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const reader = child.stdout.getReader();
  let text = "";
  while (!text.includes("ready")) {
    const { value, done } = await reader.read();
    if (done) {
      Deno.removeSync(folder, { recursive: true });
      throw new Error(`${name} ended before it was ready`);
    }
    text += new TextDecoder().decode(value);
  }
  const readyMs = performance.now() - started;
  return {
    pid: child.pid,
    socket,
    readyMs,
    async [Symbol.asyncDispose]() {
      try {
        child.kill("SIGTERM");
      } catch (error) {
        // It has ended by itself; its folder goes all the same.
        if (!(error instanceof TypeError)) throw error;
      }
      const late = setTimeout(() => child.kill("SIGKILL"), 4000);
      await child.status;
      clearTimeout(late);
      await reader.cancel();
      Deno.removeSync(folder, { recursive: true });
    },
  };
}
