/**
 * libvirt's procedures that are used, with their arguments and answers: the numbers of the remote and qemu
 * programs, which are a stable ABI (measured against libvirt 9.0 with its own client's trace).
 * @module
 */
import { PROGRAM } from "./rpc_packet.ts";
import type { RpcClient, RpcReply } from "./rpc_client.ts";
import { XdrError, type XdrReader, XdrWriter } from "./xdr.ts";

const REMOTE = {
  OPEN: 1,
  AUTH_LIST: 66,
  AUTH_POLKIT: 70,
  LIST_ALL_DOMAINS: 273,
  EVENT_REGISTER: 316,
  EVENT_LIFECYCLE: 318,
} as const;
const QEMU = { MONITOR_COMMAND: 1, EVENT_REGISTER: 4, EVENT: 6 } as const;
const AUTH = { NONE: 0, POLKIT: 2 } as const;
const ACTIVE_ONLY = 1;
const LIFECYCLE_EVENT = 0;
const UUID_BYTES = 16;
/** Domains of one host that are told. */
export const MAX_DOMAINS = 1024;

/** A domain. */
export interface Domain {
  /** libvirt's name. */
  readonly name: string;
  /** Its UUID, as hexadecimal digits. */
  readonly uuid: string;
  /** The number of its run; -1 when it does not run. */
  readonly id: number;
}

/** What a domain does, as its lifecycle event tells; others are not used. */
export const LIFECYCLE = { STARTED: 2, STOPPED: 5, CRASHED: 8, UNDEFINED: 1 } as const;

/** What came of a call. */
export type CallResult<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly why: string; readonly isClosed: boolean };

/** Told the result, once. */
export type CallHandler<T> = (result: CallResult<T>) => void;

/** Whether libvirt wants to know who we are: "none", "polkit", or what it wants and is not had. */
export function authList(client: RpcClient, done: CallHandler<"none" | "polkit" | "unknown">): void {
  client.call(PROGRAM.REMOTE, REMOTE.AUTH_LIST, new Uint8Array(0), (reply) => {
    done(resultOf(reply, (body) => {
      const types = Array.from({ length: Math.min(body.u32(), 16) }, () => body.i32());
      if (types.length === 0 || types.includes(AUTH.NONE)) return "none";
      return types.includes(AUTH.POLKIT) ? "polkit" : "unknown";
    }));
  });
}

/** Lets polkit decide. */
export function authPolkit(client: RpcClient, done: CallHandler<void>): void {
  client.call(
    PROGRAM.REMOTE,
    REMOTE.AUTH_POLKIT,
    new Uint8Array(0),
    (reply) => done(resultOf(reply, () => {})),
  );
}

/** Opens a driver: "qemu:///system". */
export function openDriver(client: RpcClient, uri: string, done: CallHandler<void>): void {
  const args = new XdrWriter().optionalText(uri).u32(0).bytes();
  client.call(PROGRAM.REMOTE, REMOTE.OPEN, args, (reply) => done(resultOf(reply, () => {})));
}

/** The domains that run. */
export function listDomains(client: RpcClient, done: CallHandler<Domain[]>): void {
  const args = new XdrWriter().u32(1).u32(ACTIVE_ONLY).bytes();
  client.call(PROGRAM.REMOTE, REMOTE.LIST_ALL_DOMAINS, args, (reply) => {
    done(resultOf(reply, (body) => {
      const count = body.u32();
      if (count > MAX_DOMAINS) throw new XdrError(`${count} domains`);
      return Array.from({ length: count }, () => readDomain(body));
    }));
  });
}

/** Asks for lifecycle events of every domain. */
export function watchLifecycle(client: RpcClient, done: CallHandler<void>): void {
  const args = new XdrWriter().u32(LIFECYCLE_EVENT).u32(0).bytes();
  client.call(PROGRAM.REMOTE, REMOTE.EVENT_REGISTER, args, (reply) => done(resultOf(reply, () => {})));
}

/** Asks for the events of every domain's QEMU. */
export function watchQemu(client: RpcClient, done: CallHandler<void>): void {
  const args = new XdrWriter().u32(0).u32(0).u32(0).bytes();
  client.call(PROGRAM.QEMU, QEMU.EVENT_REGISTER, args, (reply) => done(resultOf(reply, () => {})));
}

/** Sends one QMP command to a domain's QEMU; the answer is QEMU's line. */
export function monitorCommand(
  client: RpcClient,
  domain: Domain,
  command: string,
  done: CallHandler<string>,
): void {
  const args = writeDomain(new XdrWriter(), domain).text(command).u32(0).bytes();
  client.call(
    PROGRAM.QEMU,
    QEMU.MONITOR_COMMAND,
    args,
    (reply) => done(resultOf(reply, (body) => body.text())),
  );
}

/** Something that libvirt tells by itself. */
export type LibvirtEvent =
  | { readonly kind: "lifecycle"; readonly domain: Domain; readonly event: number }
  | {
    readonly kind: "qemu";
    readonly domain: Domain;
    readonly name: string;
    readonly seconds: number;
    readonly micros: number;
    /** JSON; undefined for none. */
    readonly details: string | undefined;
  };

/**
 * Reads an event; undefined for one that is not used.
 *
 * @throws {XdrError} when it is not what it should be
 */
export function readEvent(program: number, procedure: number, body: XdrReader): LibvirtEvent | undefined {
  if (program === PROGRAM.REMOTE && procedure === REMOTE.EVENT_LIFECYCLE) {
    body.i32();
    const domain = readDomain(body);
    return { kind: "lifecycle", domain, event: body.i32() };
  }
  if (program === PROGRAM.QEMU && procedure === QEMU.EVENT) {
    body.i32();
    const domain = readDomain(body);
    const name = body.text();
    const seconds = body.i64();
    const micros = body.u32();
    return { kind: "qemu", domain, name, seconds, micros, details: body.optionalText() };
  }
  return undefined;
}

function readDomain(body: XdrReader): Domain {
  const name = body.text();
  const uuid = [...body.fixed(UUID_BYTES)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return { name, uuid, id: body.i32() };
}

function writeDomain(writer: XdrWriter, { name, uuid, id }: Domain): XdrWriter {
  const bytes = Uint8Array.from({ length: UUID_BYTES }, (_, i) => parseInt(uuid.slice(2 * i, 2 * i + 2), 16));
  return writer.text(name).fixed(bytes).u32(id >>> 0);
}

function resultOf<T>(reply: RpcReply, read: (body: XdrReader) => T): CallResult<T> {
  switch (reply.outcome) {
    case "closed":
      return { ok: false, why: "the connection to libvirt has ended", isClosed: true };
    case "error":
      return { ok: false, why: reply.text, isClosed: false };
    case "done":
      try {
        return { ok: true, value: read(reply.body) };
      } catch (error) {
        if (!(error instanceof XdrError)) throw error;
        return { ok: false, why: `libvirt's answer cannot be read: ${error.message}`, isClosed: false };
      }
  }
}
