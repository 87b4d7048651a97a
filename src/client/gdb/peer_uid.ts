/**
 * The user at the other end of a loopback connection: the kernel's tables of TCP sockets give the user of
 * each socket (proc_pid_net(5)).
 * @module
 */

/** TCP_ESTABLISHED; in other states, a socket that nobody has open is listed as root's. */
const ESTABLISHED = "01";

/** An end of a connection. */
export interface TcpEnd {
  /** The address, as Deno writes it. */
  readonly hostname: string;
  /** Its port. */
  readonly port: number;
}

/** The user of the peer's socket; undefined if it is not found. */
export function peerUid(own: TcpEnd, peer: TcpEnd): number | undefined {
  const isV6 = peer.hostname.includes(":");
  return uidIn(Deno.readTextFileSync(isV6 ? "/proc/net/tcp6" : "/proc/net/tcp"), own, peer);
}

/**
 * The user of the peer's socket in a table's text: the entry whose local end is the peer's.
 *
 * @param table the text of /proc/net/tcp or tcp6
 */
export function uidIn(table: string, own: TcpEnd, peer: TcpEnd): number | undefined {
  const [here, there] = [endOf(peer), endOf(own)];
  if (here === undefined || there === undefined) return undefined;
  for (const line of table.split("\n")) {
    const words = line.trim().split(/ +/);
    if (words[1] !== here || words[2] !== there || words[3] !== ESTABLISHED) continue;
    const uid = Number(words[7]);
    return /^\d+$/.test(words[7] ?? "") ? uid : undefined;
  }
  return undefined;
}

/** An end in the kernel's notation: the address as a machine word, then the port. */
function endOf({ hostname, port }: TcpEnd): string | undefined {
  const digits = port.toString(16).toUpperCase().padStart(4, "0");
  if (hostname === "::1") return `00000000000000000000000001000000:${digits}`;
  const bytes = hostname.split(".").map(Number);
  if (bytes.length !== 4 || bytes[0] !== 127) return undefined;
  const word = bytes.reverse().map((byte) => byte.toString(16).toUpperCase().padStart(2, "0")).join("");
  return `${word}:${digits}`;
}
