/**
 * What an open socket is: its kind, state and addresses, from the struct socket behind a struct file. Names
 * and lengths are the guest's and bounded.
 * @module
 */
import { textOfBytes } from "../../base/byte_text.ts";
import type { OpenSocket } from "../insight.ts";
import type { KernelView } from "./kernel_view.ts";
import type { KernelTypes } from "./kernel_types.ts";

const AF = { unix: 1, inet: 2, inet6: 10 } as const;
/** Names of the other families that a Linux host has in use. */
const FAMILIES: Readonly<Record<number, string>> = {
  15: "key",
  16: "netlink",
  17: "packet",
  29: "can",
  31: "bluetooth",
  38: "alg",
  40: "vsock",
  44: "xdp",
};
const PROTOCOLS: Readonly<Record<number, string>> = {
  1: "icmp",
  6: "tcp",
  17: "udp",
  58: "icmp",
  136: "udplite",
};
/** The kernel's numbers of TCP states; unix sockets use the same numbers. */
const STATES = [
  "",
  "ESTABLISHED",
  "SYN_SENT",
  "SYN_RECV",
  "FIN_WAIT1",
  "FIN_WAIT2",
  "TIME_WAIT",
  "CLOSE",
  "CLOSE_WAIT",
  "LAST_ACK",
  "LISTEN",
  "CLOSING",
  "NEW_SYN_RECV",
];
/** sockaddr_un: two bytes of family, 108 of path. */
const UNIX_BYTES = 110;
const FIELDS = [
  "file.private_data",
  "socket.sk",
  "sock.__sk_common.skc_family",
  "sock.__sk_common.skc_state",
  "sock.__sk_common.skc_daddr",
  "sock.__sk_common.skc_rcv_saddr",
  "sock.__sk_common.skc_dport",
  "sock.__sk_common.skc_num",
  "sock.sk_protocol",
] as const;

/** Reads sockets of one kernel. */
export class SocketFacts {
  readonly #view: KernelView;
  readonly #at: readonly number[] | undefined;
  readonly #local6: number | undefined;
  readonly #remote6: number | undefined;
  readonly #unix: readonly [addr: number, peer: number, length: number, name: number] | undefined;
  readonly #protocolBits: { readonly shift: number; readonly mask: number };

  /**
   * Looks the fields up.
   *
   * @param view the kernel
   * @param types its types
   */
  constructor(view: KernelView, types: KernelTypes) {
    this.#view = view;
    const at = FIELDS.map((field) => types.at(field));
    this.#at = at.includes(undefined) ? undefined : at as number[];
    this.#local6 = types.at("sock.__sk_common.skc_v6_rcv_saddr");
    this.#remote6 = types.at("sock.__sk_common.skc_v6_daddr");
    // A bit field before 5.6, a u16 since.
    const protocol = types.place("sock.sk_protocol");
    const width = protocol === undefined || protocol.width === 0 ? 16 : protocol.width;
    this.#protocolBits = { shift: (protocol?.bits ?? 0) & 7, mask: 2 ** Math.min(width, 16) - 1 };
    const unix = [
      types.at("unix_sock.addr"),
      types.at("unix_sock.peer"),
      types.at("unix_address.len"),
      types.at("unix_address.name"),
    ];
    this.#unix = unix.includes(undefined) ? undefined : unix as [number, number, number, number];
  }

  /** Whether this kernel has the fields. */
  get isKnown(): boolean {
    return this.#at !== undefined;
  }

  /** The socket behind a struct file; undefined when its structures cannot be read. */
  of(file: number): Pick<OpenSocket, "kind" | "state" | "local" | "remote"> | undefined {
    if (this.#at === undefined) return undefined;
    const [dataAt, skAt, familyAt, stateAt, daddrAt, saddrAt, dportAt, numAt, protocolAt] = this
      .#at as number[] as [number, number, number, number, number, number, number, number, number];
    const { space } = this.#view;
    const socket = this.#view.pointer(file, dataAt);
    const sk = socket === undefined ? undefined : this.#view.pointer(socket, skAt);
    if (sk === undefined) return undefined;
    const family = space.readU16(sk, familyAt);
    const state = STATES[space.readU8(sk, stateAt)] ?? "";
    if (family === AF.unix) {
      const peer = this.#unix === undefined ? undefined : this.#view.pointer(sk, this.#unix[1]);
      return {
        kind: "unix",
        state,
        local: this.#unixName(sk),
        remote: peer === undefined ? "" : this.#unixName(peer),
      };
    }
    if (family !== AF.inet && family !== AF.inet6) {
      return { kind: FAMILIES[family] ?? `family ${family}`, state: "", local: "", remote: "" };
    }
    const { shift, mask } = this.#protocolBits;
    const protocol = space.readU32(sk, protocolAt) >>> shift & mask;
    const name = PROTOCOLS[protocol] ?? `ip protocol ${protocol}`;
    const dport = space.readU16(sk, dportAt);
    const ports = [space.readU16(sk, numAt), (dport & 0xff) << 8 | dport >>> 8] as const;
    const isV6 = family === AF.inet6;
    const addresses = isV6
      ? [this.#v6(sk, this.#local6), this.#v6(sk, this.#remote6)]
      : [this.#v4(sk, saddrAt), this.#v4(sk, daddrAt)];
    return {
      kind: isV6 ? `${name}6` : name,
      state,
      local: `${addresses[0]}:${ports[0]}`,
      remote: `${addresses[1]}:${ports[1]}`,
    };
  }

  #v4(sk: number, at: number): string {
    const bytes = new Uint8Array(4);
    return this.#view.space.read(sk + at, bytes) < 4 ? "?" : bytes.join(".");
  }

  #v6(sk: number, at: number | undefined): string {
    const bytes = new Uint8Array(16);
    if (at === undefined || this.#view.space.read(sk + at, bytes) < 16) return "?";
    const view = new DataView(bytes.buffer);
    const words = Array.from({ length: 8 }, (_, i) => view.getUint16(2 * i).toString(16));
    // RFC 5952: the longest run of two zeros or more, the first of equal ones, is written as "::".
    const runs = [...words.join(":").matchAll(/(?<![0-9a-f])0(?::0)+(?![0-9a-f])/g)];
    const longest = runs.reduce((best, run) => run[0].length > best.length ? run[0] : best, "");
    if (longest === "") return `[${words.join(":")}]`;
    const text = words.join(":");
    const start = runs.find((run) => run[0] === longest)?.index ?? 0;
    const before = text.slice(0, start).replace(/:$/, "");
    return `[${before}::${text.slice(start + longest.length).replace(/^:/, "")}]`;
  }

  /** A unix socket's name: a path, "@" for an abstract one, "" for none. */
  #unixName(sk: number): string {
    if (this.#unix === undefined) return "";
    const [addrAt, , lengthAt, nameAt] = this.#unix;
    const addr = this.#view.pointer(sk, addrAt);
    if (addr === undefined) return "";
    const { space } = this.#view;
    const length = space.readU32(addr, lengthAt);
    const bytes = new Uint8Array(Math.max(0, Math.min(length, UNIX_BYTES) - 2) || 0);
    const have = space.read(addr + nameAt + 2, bytes);
    if (have === 0) return "";
    if (bytes[0] === 0) return textOfBytes(bytes.subarray(0, have)).replaceAll("\0", "@");
    const end = bytes.indexOf(0);
    return textOfBytes(bytes.subarray(0, end < 0 ? have : end));
  }
}
