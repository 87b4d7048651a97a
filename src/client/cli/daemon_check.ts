/**
 * What this machine's daemon needs according to its config, one check each: the config itself, /dev/uinput if
 * an endpoint uses it, the place of its control socket. The checks try it out: the device is opened, and a
 * file is made in the folder and removed again.
 * @module
 */
import { closeFd } from "../../../ffi/owned_fd.ts";
import { openUinput } from "../../../ffi/uinput.ts";
import { Fault, messageOf } from "../../base/fault.ts";
import { type Config, parseConfig, parseEndpointTable } from "../../daemon/config.ts";
import { DEFAULT_CONFIG_PATH, readConfigText } from "../../daemon/serve_plan.ts";
import { defaultSocketPathHere } from "../connect.ts";
import type { Finding } from "./machine_check.ts";

/** Size limit of a trigger file, which is a single table; the daemon does not read a larger one either. */
const MAX_TRIGGER_BYTES = 65_536;
/** Reported if this user has no default socket and none was given. */
export const NO_PATH = "no default path";

/** The config that was found. */
export interface ConfigFound {
  /** The finding about it. */
  readonly finding: Finding;
  /** Its contents; undefined if it cannot be read or is not valid. */
  readonly config: Config | undefined;
}

/** Reads the config as the daemon does. */
export function examineConfig(path = DEFAULT_CONFIG_PATH): ConfigFound {
  const check = "config";
  if (path === DEFAULT_CONFIG_PATH && statOf(path) === undefined) {
    const found = `no ${path}: the defaults hold`;
    return { finding: { check, state: "ok", found }, config: parseConfig("", path) };
  }
  let text: string;
  try {
    text = readConfigText(path, true);
  } catch (error) {
    const remedy = `${messageOf(error)}; make it readable to this user, or give another with --config FILE`;
    const finding: Finding = { check, state: "missing", found: `${path} cannot be read`, remedy };
    return { finding, config: undefined };
  }
  try {
    const config = parseConfig(text, path);
    const { endpoints, admission } = config;
    const found = `${path}: ${endpoints.length} endpoints, ${admission.length} admission rules`;
    return { finding: { check, state: "ok", found }, config };
  } catch (error) {
    const finding: Finding = {
      check,
      state: "missing",
      found: `${path} is not valid`,
      remedy: messageOf(error),
    };
    return { finding, config: undefined };
  }
}

/** The inputs that decide which socket is checked. */
export interface SocketChoice {
  /** `--socket`. */
  readonly given: string | undefined;
  /** VMSIG_SOCKET; undefined or "" when it is not set. */
  readonly environment: string | undefined;
  /** Whether `--config` was given: then its socket is checked, whatever VMSIG_SOCKET says. */
  readonly byConfig: boolean;
  /** What the config says. */
  readonly config: Config | undefined;
}

/**
 * The control socket of the daemon to check.
 *
 * @throws {Fault} when there is no default for this user
 */
export function socketOf({ given, environment = "", byConfig, config }: SocketChoice): string {
  if (given !== undefined) return given;
  if (environment !== "" && !byConfig) return environment;
  return config?.daemon.socket ?? defaultSocketPathHere();
}

/** Whether /dev/uinput is usable; it is missing only if an endpoint uses it. */
export function examineUinput(config: Config | undefined, socketPath: string | undefined): Finding {
  const check = "uinput";
  try {
    closeFd(openUinput().release());
    return { check, state: "ok", found: "/dev/uinput can be written" };
  } catch (error) {
    const why = messageOf(error);
    const how = "QEMU then takes each device with -object input-linux,id=ID,evdev=/dev/input/eventN";
    const askers = config === undefined ? [] : uinputEndpoints(config, socketPath);
    if (askers.length === 0) {
      const found = "/dev/uinput cannot be used, and no endpoint asks for it";
      return { check, state: "note", found, remedy: `${why}. Only input = "uinput" needs it: ${how}` };
    }
    const found = `/dev/uinput cannot be used, and ${askers.join(", ")} ask for it`;
    return {
      check,
      state: "missing",
      found,
      remedy: `${why}. Or give them input = "qmp". With uinput, ${how}`,
    };
  }
}

/** Endpoints of the config and of the trigger directory with `input = "uinput"`. */
function uinputEndpoints({ endpoints, discovery, daemon }: Config, socketPath: string | undefined): string[] {
  const names = endpoints.filter(({ input }) => input === "uinput").map(({ name }) => name);
  const runtimeDir = daemon.runtimeDir ?? (socketPath === undefined ? undefined : folderOf(socketPath));
  const folder = discovery.triggerDir ?? (runtimeDir === undefined ? undefined : `${runtimeDir}/endpoints.d`);
  if (folder === undefined || statOf(folder)?.isDirectory !== true) return names;
  for (const { name, isFile } of entriesOf(folder)) {
    const path = `${folder}/${name}`;
    if (!isFile || name.startsWith(".") || (statOf(path)?.size ?? Infinity) > MAX_TRIGGER_BYTES) continue;
    try {
      const endpoint = parseEndpointTable(Deno.readTextFileSync(path), path);
      if (endpoint.input === "uinput") names.push(endpoint.name);
    } catch (error) {
      // A file that cannot be read or is not valid attaches nothing; the daemon's log reports it.
      if (error instanceof Deno.errors.NotCapable || !(error instanceof Error)) throw error;
    }
  }
  return names;
}

/** Whether there is a control socket, and if not, whether this user's daemon could make one there. */
export function examineSocket(choose: () => string): Finding {
  const check = "socket";
  let path: string;
  try {
    path = choose();
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return { check, state: "missing", found: NO_PATH, remedy: messageOf(error) };
  }
  const info = statOf(path);
  if (info !== undefined) {
    if (info.isSocket === true) return { check, state: "ok", found: path };
    const remedy = `remove it, or give the daemon another path: socket in the config, or --socket PATH`;
    return { check, state: "missing", found: `${path} is there, and is not a socket`, remedy };
  }
  const defect = folderDefect(folderOf(path));
  if (defect === undefined) {
    const remedy = "start the daemon: vmsig serve, or systemctl start vmsigd";
    return { check, state: "note", found: `no ${path}; a daemon of this user can make it`, remedy };
  }
  const remedy = `${defect}; make ${
    folderOf(path)
  } for this user, or start the daemon with --socket PATH in a folder of its own`;
  return { check, state: "missing", found: `no ${path}, and this user cannot make it`, remedy };
}

/** Why no file can be made in a folder, or the folder itself cannot be made; undefined if it can. */
function folderDefect(folder: string): string | undefined {
  const info = statOf(folder);
  if (info === undefined && folder !== "/" && folder !== ".") return folderDefect(folderOf(folder));
  if (info !== undefined && !info.isDirectory) return `${folder} is not a folder`;
  try {
    Deno.removeSync(Deno.makeTempDirSync({ dir: folder, prefix: ".vmsig-doctor-" }));
    return undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable || !(error instanceof Error)) throw error;
    return `nothing can be made in ${folder}: ${error.message}`;
  }
}

function folderOf(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash < 0 ? "." : slash === 0 ? "/" : path.slice(0, slash);
}

function entriesOf(folder: string): Deno.DirEntry[] {
  try {
    return [...Deno.readDirSync(folder)];
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable || !(error instanceof Error)) throw error;
    return [];
  }
}

function statOf(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.statSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    return undefined;
  }
}
