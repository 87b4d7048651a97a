/**
 * Parses a monitor's address as a person writes it: `/run/web.qmp`, `tcp:HOST:PORT`, `listen:/run/web.qmp`
 * (QEMU connects there, and vmsig listens), or `libvirt:NAME`. A HOST is an IP address or `localhost`,
 * because the loop that connects cannot wait for a name server.
 * @module
 */

/** An address. */
export type QmpAddress =
  | { readonly kind: "unix"; readonly path: string }
  /** QEMU is the client: vmsig listens at this path. */
  | { readonly kind: "listen"; readonly path: string }
  /** The monitor of a VM that a host integration knows by this name. */
  | { readonly kind: "host"; readonly host: string; readonly vm: string }
  | {
    readonly kind: "tcp";
    /** IP addresses, to be tried in order. */
    readonly hosts: readonly string[];
    readonly port: number;
    /** As it was written. */
    readonly text: string;
  };

/** Longest path of a unix socket, in bytes. */
const MAX_PATH_BYTES = 107;
/** Before the path at which vmsig listens. */
export const LISTEN_PREFIX = "listen:";
const LOCALHOST: readonly string[] = ["127.0.0.1", "::1"];

/**
 * Parses an address.
 *
 * @param hosts the names of the host integrations
 * @returns what is wrong with it as the end of a sentence ("is …") if it is not valid
 */
export function readQmpAddress(
  text: string,
  hosts: readonly string[],
): QmpAddress | { readonly kind: "invalid"; readonly why: string } {
  if (text.startsWith("tcp:")) return readTcp(text);
  if (text.startsWith(LISTEN_PREFIX)) return readListen(text);
  const host = hosts.find((name) => text.startsWith(`${name}:`));
  if (host !== undefined) {
    const vm = text.slice(host.length + 1);
    return /^[^/\0\n]{1,255}$/.test(vm)
      ? { kind: "host", host, vm }
      : invalid(`names no VM of ${host}; it must be ${host}:NAME, as ${host} itself tells the name`);
  }
  if (!text.startsWith("/")) {
    const forms = [
      "an absolute path",
      "tcp:HOST:PORT",
      "listen:/PATH",
      ...hosts.map((name) => `${name}:NAME`),
    ];
    const last = forms.pop();
    return invalid(`is ${text}, and must be ${forms.join(", ")} or ${last}`);
  }
  const defect = pathDefect(text);
  return defect === "" ? { kind: "unix", path: text } : invalid(defect);
}

/** What is wrong with the path of a socket, as the end of a sentence; "" if nothing is. */
function pathDefect(path: string): string {
  if (path.includes("\0")) return "has a NUL character inside";
  return new TextEncoder().encode(path).length > MAX_PATH_BYTES
    ? `is longer than the ${MAX_PATH_BYTES} bytes that a socket's path may have`
    : "";
}

function readListen(text: string): ReturnType<typeof readQmpAddress> {
  const path = text.slice(LISTEN_PREFIX.length);
  if (!path.startsWith("/") || path.endsWith("/")) {
    return invalid(
      `is ${text}, and must be listen:/PATH, the unix socket to which QEMU connects: over TCP nobody could tell which user connects`,
    );
  }
  const defect = pathDefect(path);
  return defect === "" ? { kind: "listen", path } : invalid(defect);
}

function readTcp(text: string): ReturnType<typeof readQmpAddress> {
  // An IPv6 address contains colons; brackets around it are accepted but not needed.
  const found = /^tcp:(?:\[([^\]]*)\]|(.*)):([^:]*)$/s.exec(text);
  if (found === null) return invalid(`is ${text}, and must be tcp:HOST:PORT`);
  const port = /^[0-9]{1,5}$/.test(found[3] ?? "") ? Number(found[3]) : 0;
  if (port < 1 || port > 65_535) return invalid(`is ${text}, and its port must be 1 to 65535`);
  const host = found[1] ?? found[2] ?? "";
  if (host === "localhost" && found[1] === undefined) return { kind: "tcp", hosts: LOCALHOST, port, text };
  const isAddress = isIpv6(host) || (found[1] === undefined && isIpv4(host));
  if (isAddress) return { kind: "tcp", hosts: [host], port, text };
  return invalid(
    `is ${text}, and its host must be an IPv4 or IPv6 address, or localhost: names are not looked up`,
  );
}

/** Four numbers with dots; inet_aton's other forms are not accepted. */
export function isIpv4(text: string): boolean {
  const parts = text.split(".");
  return parts.length === 4 &&
    parts.every((part) => /^(0|[1-9][0-9]{0,2})$/.test(part) && Number(part) < 256);
}

/** As RFC 4291 writes it, without a zone. */
export function isIpv6(text: string): boolean {
  if (text.length > 45 || !/^[0-9a-fA-F:.]+$/.test(text)) return false;
  const halves = text.split("::");
  if (halves.length > 2) return false;
  const counts = halves.map((half, i) => groupCount(half, i === halves.length - 1));
  const count = counts.reduce((sum, groups) => sum + groups, 0);
  // Two colons stand for at least one group.
  return halves.length === 2 ? count <= 7 : count === 8;
}

/**
 * The number of 16-bit groups in half an address, NaN if invalid; an IPv4 address at the end counts as two.
 */
function groupCount(half: string, isLast: boolean): number {
  if (half === "") return 0;
  const parts = half.split(":");
  const last = parts.at(-1) ?? "";
  const hasIpv4 = isLast && isIpv4(last);
  const groups = hasIpv4 ? parts.slice(0, -1) : parts;
  if (!groups.every((group) => /^[0-9a-fA-F]{1,4}$/.test(group))) return NaN;
  return groups.length + (hasIpv4 ? 2 : 0);
}

function invalid(why: string): { readonly kind: "invalid"; readonly why: string } {
  return { kind: "invalid", why };
}
