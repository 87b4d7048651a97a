/**
 * Overrides of the systemd unit that give the daemon more than the unit does. Only drop-ins and replacements
 * of the unit are checked, since the packaged unit is the reference.
 * @module
 */
import { statOf, textOf, type Weakness } from "./finding.ts";

/** Folders with an administrator's overrides; the weakest last. */
export const UNIT_FOLDERS: readonly string[] = ["/etc/systemd/system", "/run/systemd/system"];

const UNIT = "vmsigd.service";
const OWN_CAPS = new Set(["CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_FOWNER"]);
const OFF = /^(no|false|off|0)$/i;

/** By key: what is wrong with a value; "" if nothing is. */
const RULES: Readonly<Record<string, (value: string) => string>> = {
  User: (value) => value === "root" || value === "0" || value === "" ? "runs the daemon as root" : "",
  AmbientCapabilities: widerCaps,
  CapabilityBoundingSet: widerCaps,
  SystemCallFilter: (value) => value === "" ? "takes the system call filter away" : widerCalls(value),
  RestrictAddressFamilies: (value) =>
    // Through netlink the kernel reports who has a display over D-Bus; no peer can be reached with it.
    value.split(/\s+/).every((word) => word === "AF_UNIX" || word === "AF_NETLINK") && value !== ""
      ? ""
      : "lets it use other sockets than unix ones",
  ProtectSystem: (value) => value === "strict" ? "" : "lets it write to the system's folders",
  ProtectHome: (value) => OFF.test(value) ? "lets it write in homes" : "",
  ReadWritePaths: (value) => value === "" ? "" : "lets it write there",
  DeviceAllow: (value) => /^(\/dev\/uinput rw)?$/.test(value) ? "" : "lets it use more devices",
  DevicePolicy: (value) => value === "closed" || value === "strict" ? "" : "lets it use every device",
  LimitCORE: (value) => value === "0" ? "" : "lets it leave a core, which may hold guests' RAM",
  CoredumpFilter: (value) => value === "private-anonymous" ? "" : "lets a core hold guests' RAM",
  MemoryMax: (value) => value === "infinity" ? "takes the bound of its memory away" : "",
  UMask: (value) => (parseInt(value, 8) & 0o022) === 0o022 ? "" : "lets others write what it makes",
  SupplementaryGroups: (value) => value === "" ? "" : "puts it into more groups",
  ExecStart: (value) =>
    value === "" || value.startsWith("/usr/bin/vmsig serve ") ? "" : "starts another program",
};
const SWITCHES = [
  "NoNewPrivileges",
  "PrivateTmp",
  "PrivateMounts",
  "ProtectKernelTunables",
  "ProtectKernelModules",
  "ProtectKernelLogs",
  "ProtectControlGroups",
  "ProtectClock",
  "ProtectHostname",
  "LockPersonality",
  "RestrictNamespaces",
  "RestrictSUIDSGID",
];

function widerCaps(value: string): string {
  if (value.startsWith("~")) return "gives it all capabilities but some";
  const more = value.split(/\s+/).filter((word) => word !== "" && !OWN_CAPS.has(word));
  return more.length === 0 ? "" : `gives it ${more.join(", ")}`;
}

function widerCalls(value: string): string {
  return value.startsWith("~") ? "" : "lets it make more system calls";
}

/** Checks the overrides in `folders`. */
export function checkUnit(folders: readonly string[]): Weakness[] {
  return folders.flatMap((folder) =>
    [...replacements(folder), ...dropIns(`${folder}/${UNIT}.d`)].flatMap(checkOverride)
  );
}

function replacements(folder: string): string[] {
  const path = `${folder}/${UNIT}`;
  return statOf(path)?.isFile === true ? [path] : [];
}

function dropIns(folder: string): string[] {
  try {
    return [...Deno.readDirSync(folder)].map(({ name }) => `${folder}/${name}`)
      .filter((path) => path.endsWith(".conf")).sort();
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    return [];
  }
}

function checkOverride(path: string): Weakness[] {
  const text = textOf(path);
  const remedy = `take it out of ${path}, or know why it is there; then systemctl daemon-reload`;
  if (text === undefined) {
    return [{ check: "unit", severity: "note", found: `${path} cannot be read`, remedy: "run as root" }];
  }
  const found: Weakness[] = [];
  const lines = text.replaceAll(/\\\n/g, " ").split("\n");
  for (const line of lines) {
    const [, key = "", value = ""] = /^\s*([A-Za-z]+)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    const why = SWITCHES.includes(key) && OFF.test(value)
      ? "takes that protection away"
      : RULES[key]?.(value) ?? "";
    if (why === "") continue;
    // An empty value only resets the list for the following lines.
    if (
      value === "" &&
      lines.some((other) => other !== line && new RegExp(`^\\s*${key}\\s*=\\s*\\S`).test(other))
    ) continue;
    const severity = /root|capabilit|CAP_/.test(why) ? "high" : "medium";
    found.push({ check: "unit", severity, found: `${path}: ${key}=${value} ${why}`, remedy });
  }
  return found;
}
