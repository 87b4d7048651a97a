/**
 * Where a monitor is, as a person writes it: `/run/web.qmp`, or `tcp:HOST:PORT`. A host is an IP address or
 * `localhost`: whoever connects is a loop, which cannot wait for a name server.
 * @module
 */

/** An IP address in network order: 4 bytes of IPv4, or 16 of IPv6. */
export type IpAddress = Uint8Array<ArrayBuffer>;

/** A place. */
export type QmpAddress =
  | { readonly kind: "unix"; readonly path: string }
  | {
    readonly kind: "tcp";
    /** Addresses to try, one after another. */
    readonly hosts: readonly IpAddress[];
    readonly port: number;
    /** As it was written. */
    readonly text: string;
  };

/** Longest path of a unix socket, in bytes. */
const MAX_PATH_BYTES = 107;
const LOCALHOST: readonly IpAddress[] = [
  Uint8Array.of(127, 0, 0, 1),
  Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1),
];

/**
 * Reads a place.
 *
 * @returns what is wrong with it as a sentence's end ("is …") when it is not valid
 */
export function readQmpAddress(
  text: string,
): QmpAddress | { readonly kind: "invalid"; readonly why: string } {
  if (text.startsWith("tcp:")) return readTcp(text);
  if (!text.startsWith("/")) {
    return invalid(`is ${text}, and must be an absolute path or tcp:HOST:PORT`);
  }
  if (text.includes("\0")) return invalid("has a NUL character inside");
  if (new TextEncoder().encode(text).length > MAX_PATH_BYTES) {
    return invalid(`is longer than the ${MAX_PATH_BYTES} bytes that a socket's path may have`);
  }
  return { kind: "unix", path: text };
}

function readTcp(text: string): ReturnType<typeof readQmpAddress> {
  // An IPv6 address has colons of its own; brackets around it are welcome and not needed.
  const found = /^tcp:(?:\[([^\]]*)\]|(.*)):([^:]*)$/s.exec(text);
  if (found === null) return invalid(`is ${text}, and must be tcp:HOST:PORT`);
  const port = /^[0-9]{1,5}$/.test(found[3] ?? "") ? Number(found[3]) : 0;
  if (port < 1 || port > 65_535) return invalid(`is ${text}, and its port must be 1 to 65535`);
  const host = found[1] ?? found[2] ?? "";
  if (host === "localhost" && found[1] === undefined) return { kind: "tcp", hosts: LOCALHOST, port, text };
  const address = found[1] === undefined ? readIpv4(host) ?? readIpv6(host) : readIpv6(host);
  if (address !== undefined) return { kind: "tcp", hosts: [address], port, text };
  return invalid(
    `is ${text}, and its host must be an IPv4 or IPv6 address, or localhost: names are not looked up`,
  );
}

/** Four numbers with dots; no other form that inet_aton takes. */
export function readIpv4(text: string): IpAddress | undefined {
  const parts = text.split(".");
  if (
    parts.length !== 4 || !parts.every((part) => /^(0|[1-9][0-9]{0,2})$/.test(part) && Number(part) < 256)
  ) {
    return undefined;
  }
  return Uint8Array.from(parts, Number);
}

/** As RFC 4291 writes it, without a zone. */
export function readIpv6(text: string): IpAddress | undefined {
  if (text.length > 45 || !/^[0-9a-fA-F:.]+$/.test(text)) return undefined;
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const [head, tail] = halves.map((half, i) => groupsOf(half, i === halves.length - 1));
  if (head === undefined || (halves.length === 2 && tail === undefined)) return undefined;
  const missing = 8 - head.length - (tail?.length ?? 0);
  // The two colons stand for one group at least.
  if (tail === undefined ? missing !== 0 : missing < 1) return undefined;
  const groups = [...head, ...new Array<number>(missing).fill(0), ...tail ?? []];
  return Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 0xff]));
}

/** The 16-bit groups of half an address; an IPv4 address at the end of the whole is two. */
function groupsOf(half: string, isLast: boolean): number[] | undefined {
  if (half === "") return [];
  const groups: number[] = [];
  const parts = half.split(":");
  for (const [i, part] of parts.entries()) {
    const ipv4 = isLast && i === parts.length - 1 ? readIpv4(part) : undefined;
    if (ipv4 !== undefined) {
      groups.push(
        (ipv4[0] as number) << 8 | (ipv4[1] as number),
        (ipv4[2] as number) << 8 | (ipv4[3] as number),
      );
    } else if (/^[0-9a-fA-F]{1,4}$/.test(part)) groups.push(parseInt(part, 16));
    else return undefined;
  }
  return groups;
}

function invalid(why: string): { readonly kind: "invalid"; readonly why: string } {
  return { kind: "invalid", why };
}
