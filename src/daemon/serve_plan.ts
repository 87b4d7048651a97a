/**
 * Turns the options of `vmsig serve` into a plan: finds the socket's path, makes its folder, reads the
 * config. All errors in them are reported here, before anything starts.
 * @module
 */
import { isOsError } from "../../ffi/os_error.ts";
import { readRegularFile } from "../../ffi/regular_file.ts";
import { defaultSocketPath } from "../base/default_socket.ts";
import { Fault, messageOf } from "../base/fault.ts";
import { type Config, parseConfig } from "./config.ts";
import { oversizedPart } from "./config_messages.ts";
import type { ServeOptions, StubPlan } from "./plan.ts";

/** The default path of the config. */
export const DEFAULT_CONFIG_PATH = "/etc/vmsig/vmsigd.toml";
/**
 * Size limit of a config: about 12,000 admission rules. Parsing that takes half a second, several on an
 * overloaded machine, during which the main thread does not respond (systemd's watchdog allows ten).
 */
export const MAX_CONFIG_BYTES = 1 << 20;

/** The command line's options. */
export interface ServeRequest {
  /** `--config`. */
  readonly configPath: string | undefined;
  /** `--socket`. */
  readonly socketPath: string | undefined;
  /** `--stub` and `--stub-rate`. */
  readonly stub: StubPlan;
}

/**
 * Makes the plan.
 *
 * @throws {Fault} with file, line and key of an error in the config, or what is wrong with the socket's
 *   folder
 */
export function planServe(request: ServeRequest): ServeOptions {
  const configPath = request.configPath ?? DEFAULT_CONFIG_PATH;
  const read = readConfig(configPath, request.configPath !== undefined);
  // Stub endpoints without a config are for development and tests: such a daemon must not attach this host's
  // VMs.
  const isBench = request.stub.count > 0 && request.configPath === undefined;
  const config: Config = isBench ? { ...read, discovery: { ...read.discovery, probe: false } } : read;
  const socketPath = request.socketPath ?? config.daemon.socket ??
    defaultSocketPath(Deno.uid() ?? -1, Deno.env.get("XDG_RUNTIME_DIR"));
  const runtimeDir = config.daemon.runtimeDir ?? folderOf(socketPath);
  makeFolder(folderOf(socketPath));
  makeFolder(runtimeDir);
  // The default trigger directory is made; one named by the config is managed by its administrator.
  if (config.discovery.triggerDir === undefined) makeFolder(`${runtimeDir}/endpoints.d`);
  return { config, configPath, socketPath, runtimeDir, stub: request.stub };
}

/**
 * Reads the config file.
 *
 * @param path the file
 * @param mustExist whether a missing file is an error; otherwise it counts as empty
 * @throws {Fault} an error with file, line and key
 */
export function readConfig(path: string, mustExist: boolean): Config {
  const config = parseConfig(readConfigText(path, mustExist), path);
  const part = oversizedPart(config);
  if (part === undefined) return config;
  throw new Fault(
    "bad-argument",
    `Cannot use the config: ${path}: an entry of ${part} is larger than 128 KiB; split it`,
  );
}

/**
 * The text of a config file. Anything but a regular file is refused at once, without waiting for it.
 *
 * @throws {Fault} `bad-argument` when it cannot be read, is not a regular file, is too large, or is not UTF-8
 */
export function readConfigText(path: string, mustExist: boolean): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(readRegularFile(path, MAX_CONFIG_BYTES));
  } catch (error) {
    if (isOsError(error, "ENOENT") && !mustExist) return "";
    const why = error instanceof TypeError ? "it is not UTF-8 text" : messageOf(error);
    throw new Fault("bad-argument", `Cannot read the config ${path}: ${why}`, { cause: error });
  }
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
        `Cannot create the socket's folder ${folder}: no permission; give --socket PATH in a folder of yours, or run as root`,
        { cause: error },
      );
    }
    throw new Fault("refused", `Cannot create the socket's folder ${folder}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}
