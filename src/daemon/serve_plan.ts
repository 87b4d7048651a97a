/**
 * From what `vmsig serve` was called with to what the daemon serves: finds the socket's place, makes its folder, reads the config. Everything that can be wrong is told here, before
 * anything starts.
 * @module
 */
import { defaultSocketPath } from "../base/default_socket.ts";
import { Fault, messageOf } from "../base/fault.ts";
import { DEFAULT_MAX_CONTROLS, DEFAULT_QUEUE_EVENTS } from "../base/limits.ts";
import type { StubPlan } from "./plan.ts";
import type { ServeOptions } from "./serve.ts";

/** What the command line says. */
export interface ServeRequest {
  readonly configPath: string | undefined;
  readonly socketPath: string | undefined;
  readonly stub: StubPlan;
}

/**
 * Makes the plan.
 *
 * @throws {Fault} with the file, line and key of a config error, or what is wrong with the socket's folder
 */
export function planServe(request: ServeRequest): ServeOptions {
  const socketPath = request.socketPath ??
    defaultSocketPath(Deno.uid() ?? -1, Deno.env.get("XDG_RUNTIME_DIR"));
  const runtimeDir = folderOf(socketPath);
  makeFolder(runtimeDir);
  return {
    socketPath,
    runtimeDir,
    log: "info",
    spinUs: 0,
    maxControls: DEFAULT_MAX_CONTROLS,
    queueEvents: DEFAULT_QUEUE_EVENTS,
    endpoints: [],
    lanes: [],
    stub: request.stub,
  };
}

function folderOf(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash < 0 ? "." : slash === 0 ? "/" : path.slice(0, slash);
}

function makeFolder(folder: string): void {
  try {
    Deno.mkdirSync(folder, { recursive: true, mode: 0o755 });
  } catch (error) {
    if (error instanceof Deno.errors.PermissionDenied) {
      throw new Fault(
        "refused",
        `Cannot make the socket's folder ${folder}: no permission; give --socket PATH in a folder of yours, or run as root`,
        { cause: error },
      );
    }
    throw new Fault("refused", `Cannot make the socket's folder ${folder}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}
