/**
 * Checks the kernel's settings, and the properties of the daemon's process.
 * @module
 */
import { textOf, type Weakness } from "./finding.ts";

/** Where the kernel's files are; replaced by tests. */
export interface HostRoots {
  /** /proc */
  readonly proc: string;
  /** /sys */
  readonly sys: string;
}

/** Bits of CapEff by their numbers in linux/capability.h. */
const OWN_CAPS = (1n << 1n) | (1n << 3n) | (1n << 19n);
/** Bits of coredump_filter that put shared memory (guests' RAM) into a core. */
const SHARED_IN_CORE = 0b1010;

/** Each setting: from which value on it protects, how severe a lower one is, and why. */
const SETTINGS:
  readonly (readonly [key: string, least: number, severity: Weakness["severity"], why: string])[] = [
    [
      "kernel/yama/ptrace_scope",
      1,
      "low",
      "a program can read and steer every other one of its user, the daemon's own included",
    ],
    ["fs/protected_symlinks", 1, "medium", "a link in /tmp leads other users' programs astray"],
    ["fs/protected_hardlinks", 1, "medium", "files of others can be linked into folders that are trusted"],
    ["fs/protected_fifos", 1, "low", "a pipe in /tmp can take the place of a file"],
    ["fs/protected_regular", 1, "low", "a file in /tmp can take the place of another user's"],
  ];

/** Looks at the kernel's settings. */
export function checkKernel({ proc, sys }: HostRoots): Weakness[] {
  const found: Weakness[] = [];
  const told = (severity: Weakness["severity"], what: string, remedy: string): void => {
    found.push({ check: "kernel", severity, found: what, remedy });
  };
  for (const [key, least, severity, why] of SETTINGS) {
    const name = key.replaceAll("/", ".");
    const value = textOf(`${proc}/sys/${key}`);
    if (value === undefined) {
      told("note", `${name} is not known to this kernel: ${why}`, "use a kernel that has it");
    } else if (Number(value) < least) {
      told(severity, `${name} is ${value}: ${why}`, `sysctl -w ${name}=${least}`);
    }
  }
  if (Number(textOf(`${proc}/sys/fs/suid_dumpable`) ?? "0") === 1) {
    told(
      "medium",
      "fs.suid_dumpable is 1: cores of privileged programs are readable",
      "sysctl -w fs.suid_dumpable=0",
    );
  }
  if (!/[ ,]hidepid=(1|2|4|invisible|noaccess|ptraceable)/.test(procMount(proc))) {
    told(
      "note",
      "every user sees the command lines of all QEMUs (/proc without hidepid): names, sockets, paths",
      "mount /proc with hidepid=invisible,gid=… and put the daemon's user into that group",
    );
  }
  for (const area of plainSwap(proc, sys)) {
    told(
      "low",
      `guests' RAM can come to lie in ${area}, which is not known to be encrypted`,
      "encrypt the swap, or use zram",
    );
  }
  return found;
}

function procMount(proc: string): string {
  const line = (textOf(`${proc}/mounts`) ?? "").split("\n").find((each) => each.split(" ")[1] === "/proc");
  return line === undefined ? "" : ` ${line.split(" ")[3] ?? ""}`;
}

/** Swap areas other than compressed RAM and dm-crypt. */
function plainSwap(proc: string, sys: string): string[] {
  const [, ...lines] = (textOf(`${proc}/swaps`) ?? "").split("\n");
  return lines.map((line) => line.split(/\s+/)[0] ?? "").filter((path) => {
    const device = path.slice(path.lastIndexOf("/") + 1);
    if (path === "" || device.startsWith("zram")) return false;
    return !(textOf(`${sys}/block/${device}/dm/uuid`) ?? "").startsWith("CRYPT");
  });
}

/**
 * Looks at the daemon's process.
 *
 * @param pid of the daemon, from the control socket
 */
export function checkProcess(pid: number, { proc }: HostRoots): Weakness[] {
  const status = textOf(`${proc}/${pid}/status`) ?? "";
  const field = (name: string): string => new RegExp(`^${name}:\\s+(\\S+)`, "m").exec(status)?.[1] ?? "";
  const found: Weakness[] = [];
  const told = (severity: Weakness["severity"], what: string, remedy: string): void => {
    found.push({ check: "process", severity, found: `the daemon (pid ${pid}) ${what}`, remedy });
  };
  if (status === "") {
    told("note", "cannot be looked at", "run this as root or as the daemon's user");
    return found;
  }
  const unit = "run it by the packaged unit (systemctl start vmsigd)";
  const caps = BigInt(`0x${field("CapEff") || "0"}`);
  if (field("Uid") === "0") {
    told("medium", "runs as root: an attacker who takes it over controls the host", unit);
  } else if ((caps & ~OWN_CAPS) !== 0n) {
    told("high", `has more capabilities than the unit gives (CapEff ${caps.toString(16)})`, unit);
  }
  if (field("NoNewPrivs") === "0") told("low", "could gain privileges by a set-uid program", unit);
  if (field("Seccomp") === "0") told("low", "may make every system call", unit);
  checkCore(pid, proc, told);
  return found;
}

function checkCore(
  pid: number,
  proc: string,
  told: (severity: Weakness["severity"], what: string, remedy: string) => void,
): void {
  const limits = textOf(`${proc}/${pid}/limits`);
  const filter = textOf(`${proc}/${pid}/coredump_filter`);
  if (limits === undefined || filter === undefined) return;
  const most = /^Max core file size\s+(\S+)/m.exec(limits)?.[1] ?? "0";
  // A core that is piped to a program is not limited by RLIMIT_CORE, unless that program observes it, as
  // systemd's does.
  const pattern = textOf(`${proc}/sys/kernel/core_pattern`) ?? "";
  const piped = pattern.startsWith("|") && !pattern.includes("systemd-coredump");
  if ((most === "0" && !piped) || (parseInt(filter, 16) & SHARED_IN_CORE) === 0) return;
  told(
    "medium",
    `leaves a core with guests' RAM in it when it crashes (core_pattern ${pattern})`,
    "start it with ulimit -c 0 and 1 in its coredump_filter, as the packaged unit does",
  );
}
