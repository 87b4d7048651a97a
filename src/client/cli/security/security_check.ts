/**
 * Checks which settings of this host weaken the daemon: access to its socket, its config, the trigger
 * directory, the configured monitors and the RAM of running QEMUs; rules that grant more than necessary;
 * overrides of the unit; the kernel's settings; the daemon's process. It only reads, and reports what it
 * cannot read without being root.
 * @module
 */
import { OsError } from "../../../../ffi/os_error.ts";
import { connectUnix, peerCredentials, SOCKET } from "../../../../ffi/unix_socket.ts";
import { Fault, messageOf } from "../../../base/fault.ts";
import { type Config, parseEndpointTable } from "../../../daemon/config.ts";
import { DEFAULT_CONFIG_PATH, readConfig } from "../../../daemon/serve_plan.ts";
import { readRegularFile } from "../../../../ffi/regular_file.ts";
import { statOf, textOf, type Weakness, WRITABLE_BY_GROUP, WRITABLE_BY_OTHERS } from "./finding.ts";
import { checkKernel, checkProcess } from "./host_check.ts";
import { checkFile, checkFolders, folderOf, type PathScope } from "./path_check.ts";
import { checkRamFiles } from "./ram_check.ts";
import { checkRules, idsOf } from "./rule_check.ts";
import { checkUnit, UNIT_FOLDERS } from "./unit_check.ts";

/** What to check; tests replace the real places. */
export interface SecurityPlaces {
  /** The control socket. */
  readonly socket: string;
  /** The config; undefined = the default, which may be missing. */
  readonly config: string | undefined;
  /** /etc: users and groups. */
  readonly etc?: string;
  /** /proc. */
  readonly proc?: string;
  /** /sys. */
  readonly sys?: string;
  /** Folders with overrides of units. */
  readonly units?: readonly string[];
}

const MAX_TRIGGER_BYTES = 65_536;
const SEARCHABLE_BY_OTHERS = 0o001;

/** Checks everything; the most severe findings come first. */
export function checkSecurity(places: SecurityPlaces): Weakness[] {
  const { socket, etc = "/etc", proc = "/proc", sys = "/sys", units = UNIT_FOLDERS } = places;
  const known = {
    users: idsOf(textOf(`${etc}/passwd`) ?? ""),
    groups: idsOf(textOf(`${etc}/group`) ?? ""),
  };
  const daemon = daemonOf(socket);
  const trusted = new Set([0, daemon?.uid ?? statOf(socket)?.uid ?? known.users.get("vmsig") ?? 0]);
  const found: Weakness[] = [];
  const configPath = places.config ?? DEFAULT_CONFIG_PATH;
  let config: Config | undefined;
  try {
    config = readConfig(configPath, places.config !== undefined);
    found.push(...checkRules(config, known, trusted));
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    const remedy = "run this as root or as the daemon's user, with --config FILE if it is another";
    found.push({ check: "config", severity: "note", found: messageOf(error), remedy });
  }
  found.push(
    ...checkFile(configPath, "the config", { check: "config", trusted }),
    ...checkSocket(socket, config, trusted),
    ...checkTriggers(triggerFolder(socket, config), trusted),
    ...(config?.endpoints ?? []).flatMap(({ qmp }) => checkMonitor(qmp, trusted)),
    ...checkRamFiles(proc, trusted),
    ...checkUnit(units),
    ...checkKernel({ proc, sys }),
    ...(daemon === undefined ? [] : checkProcess(daemon.pid, { proc, sys })),
  );
  return inOrder(found);
}

/** Each finding once, the most severe first, otherwise in order of discovery. */
function inOrder(found: readonly Weakness[]): Weakness[] {
  const ranks = ["high", "medium", "low", "note"];
  const each = new Map<string, Weakness>();
  for (const one of found) if (!each.has(one.found)) each.set(one.found, one);
  return [...each.values()].sort((a, b) => ranks.indexOf(a.severity) - ranks.indexOf(b.severity));
}

/** The process that listens on the control socket; undefined if there is none, or it may not be asked. */
function daemonOf(socket: string): { readonly pid: number; readonly uid: number } | undefined {
  try {
    using connection = connectUnix(socket, SOCKET.SEQPACKET);
    return peerCredentials(connection.fd);
  } catch (error) {
    if (error instanceof OsError || error instanceof Fault) return undefined;
    throw error;
  }
}

function checkSocket(path: string, config: Config | undefined, trusted: ReadonlySet<number>): Weakness[] {
  const scope: PathScope = { check: "socket", trusted };
  const found = checkFolders(folderOf(path), scope);
  const info = statOf(path);
  if (info === undefined) return found;
  const open = (info.mode ?? 0) & (WRITABLE_BY_GROUP | WRITABLE_BY_OTHERS);
  if (open !== 0 && config !== undefined && config.admission.length === 0) {
    found.push({
      check: "socket",
      severity: "low",
      found: `the control socket ${path} can be opened by others, and no rule lets any of them in`,
      remedy: "systemctl reload vmsigd, which closes it to them",
    });
  }
  return found;
}

function triggerFolder(socket: string, config: Config | undefined): string {
  return config?.discovery.triggerDir ?? `${config?.daemon.runtimeDir ?? folderOf(socket)}/endpoints.d`;
}

function checkTriggers(folder: string, trusted: ReadonlySet<number>): Weakness[] {
  const scope: PathScope = { check: "triggers", trusted };
  const found = checkFolders(folder, scope);
  for (const name of namesIn(folder)) {
    const path = `${folder}/${name}`;
    if (name.startsWith(".")) continue;
    const info = statOf(path);
    if (info === undefined || !info.isFile) continue;
    const foreign = info.uid !== null && !trusted.has(info.uid);
    if (foreign || ((info.mode ?? 0) & (WRITABLE_BY_GROUP | WRITABLE_BY_OTHERS)) !== 0) {
      found.push({
        check: "triggers",
        severity: "low",
        found: `${path} ${
          foreign ? `belongs to uid ${info.uid}` : "can be written by others"
        }; the daemon refuses it`,
        remedy: `remove it, or chown root and chmod 644 it`,
      });
      continue;
    }
    found.push(...checkMonitor(monitorOf(path), trusted));
  }
  return found;
}

function namesIn(folder: string): string[] {
  try {
    return [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    return [];
  }
}

/** The monitor named by a trigger file; undefined if it names none, or cannot be read. */
function monitorOf(path: string): string | undefined {
  try {
    const text = new TextDecoder().decode(readRegularFile(path, MAX_TRIGGER_BYTES));
    return parseEndpointTable(text, path).qmp;
  } catch (error) {
    if (error instanceof Fault) return undefined;
    throw error;
  }
}

/** A monitor controls its VM: a user who can connect to it, or replace it, needs no daemon. */
function checkMonitor(path: string | undefined, trusted: ReadonlySet<number>): Weakness[] {
  if (path === undefined) return [];
  const info = statOf(path);
  if (info === undefined) return [];
  // The owner of the socket runs the QEMU, and may own its folder.
  const owners = new Set([...trusted, info.uid ?? 0]);
  const found = checkFolders(folderOf(path), { check: "monitor", trusted: owners });
  const mode = info.mode ?? 0;
  const remedy = `chmod go-w ${path}, or make its folder mode 0700`;
  if ((mode & WRITABLE_BY_OTHERS) !== 0 && isReachable(folderOf(path))) {
    found.push({
      check: "monitor",
      severity: "high",
      found: `everybody can connect to the monitor ${path}, and steer its VM past the daemon`,
      remedy,
    });
  } else if ((mode & WRITABLE_BY_GROUP) !== 0 && info.gid !== 0) {
    found.push({
      check: "monitor",
      severity: "low",
      found: `group ${info.gid} can connect to the monitor ${path}, and steer its VM past the daemon`,
      remedy,
    });
  }
  return found;
}

/** Whether everybody may traverse all folders of a path. */
function isReachable(folder: string): boolean {
  for (let path = folder;; path = folderOf(path)) {
    const info = statOf(path);
    if (info === undefined || ((info.mode ?? 0) & SEARCHABLE_BY_OTHERS) === 0) return false;
    if (path === "/" || path === ".") return true;
  }
}
