/**
 * libvirt's procedures that are used, with their arguments and answers: the numbers of the remote and qemu
 * programs, which are a stable ABI (measured on libvirt 9.0: its client's trace, and its server).
 * @module
 */
import { PROGRAM } from "./rpc_packet.ts";
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { setNonblocking } from "../../../ffi/unix_socket.ts";
import { printable } from "../../base/printable.ts";
import type { SentFile } from "./byte_pipe.ts";
import type { RpcClient, RpcReply, RpcStream, RpcStreamUser } from "./rpc_client.ts";
import { XdrError, type XdrReader, XdrWriter } from "./xdr.ts";

const REMOTE = {
  OPEN: 1,
  GET_XML: 14,
  AUTH_LIST: 66,
  AUTH_POLKIT: 70,
  GET_LIB_VERSION: 157,
  OPEN_CONSOLE: 201,
  LIST_ALL_DOMAINS: 273,
  EVENT_REGISTER: 316,
  EVENT_LIFECYCLE: 318,
  OPEN_GRAPHICS_FD: 343,
} as const;
const QEMU = {
  MONITOR_COMMAND: 1,
  AGENT_COMMAND: 3,
  EVENT_REGISTER: 4,
  EVENT: 6,
  MONITOR_COMMAND_WITH_FILES: 7,
} as const;
const AUTH = { NONE: 0, POLKIT: 2 } as const;
const ACTIVE_ONLY = 1;
const LIFECYCLE_EVENT = 0;
const UUID_BYTES = 16;
/** How calls name a domain: the same bytes each time. */
const HEADS = new WeakMap<Domain, Uint8Array>();
/** The picture's server is to ask for no password: who may call libvirt has the domain anyway. */
const SKIP_AUTHENTICATION = 1;
/** From 8.2.0 on a command to QEMU may have a descriptor. */
const VERSION_WITH_FILES = 8_002_000;
/** libvirt's numbers of errors that say that it does not let us. */
const DENIALS: ReadonlySet<number> = new Set([29, 45, 79, 88, 94]);
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
export const LIFECYCLE = { STOPPED: 5, CRASHED: 8 } as const;

/** Why a domain has stopped that runs on another host now. */
export const MIGRATED_AWAY = "it was migrated to another host";
/** Why a domain has stopped, by the detail of its lifecycle event. */
const STOPPED_WHY: readonly string[] = [
  "the guest has shut down",
  "libvirt has destroyed it",
  "it has crashed",
  MIGRATED_AWAY,
  "libvirt has saved it (virsh start brings it back)",
  "QEMU has failed",
  "a snapshot that is off was loaded",
];

/** What came of a call. */
export type CallResult<T> =
  | { readonly ok: true; readonly value: T }
  | {
    readonly ok: false;
    /** In libvirt's words, escaped. */
    readonly why: string;
    /** The connection ended before an answer. */
    readonly isClosed: boolean;
    /** It is not allowed, for which the remedy is not that of a failure. */
    readonly isDenied: boolean;
  };

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

/** Whether this libvirt passes descriptors to a QEMU. */
export function askPassesFiles(client: RpcClient, done: CallHandler<boolean>): void {
  client.call(PROGRAM.REMOTE, REMOTE.GET_LIB_VERSION, new Uint8Array(0), (reply) => {
    done(resultOf(reply, (body) => body.i64() >= VERSION_WITH_FILES));
  });
}

/**
 * Sends one QMP command to a domain's QEMU; the answer is QEMU's line. Both are bytes, because most are only
 * handed on.
 *
 * @param file goes with the command; its own from now on
 */
export function monitorCommand(
  client: RpcClient,
  domain: Domain,
  command: Uint8Array,
  done: CallHandler<Uint8Array>,
  file?: SentFile,
): void {
  const args = writeDomain(new XdrWriter(), domain).opaque(command).u32(0).bytes();
  const procedure = file === undefined ? QEMU.MONITOR_COMMAND : QEMU.MONITOR_COMMAND_WITH_FILES;
  client.call(
    PROGRAM.QEMU,
    procedure,
    args,
    (reply) => done(resultOf(reply, (body) => body.opaque())),
    file,
  );
}

/**
 * Sends one command to the agent in a domain's guest; the answer is the agent's line.
 *
 * @param seconds how long the agent may take
 */
export function agentCommand(
  client: RpcClient,
  domain: Domain,
  command: string,
  seconds: number,
  done: CallHandler<string>,
): void {
  const args = writeDomain(new XdrWriter(), domain).text(command).u32(seconds).u32(0).bytes();
  client.call(PROGRAM.QEMU, QEMU.AGENT_COMMAND, args, (reply) => {
    done(resultOf(reply, (body) => body.optionalText() ?? ""));
  });
}

/** The domain's description, as XML. */
export function readXml(client: RpcClient, domain: Domain, done: CallHandler<string>): void {
  const args = writeDomain(new XdrWriter(), domain).u32(0).bytes();
  client.call(PROGRAM.REMOTE, REMOTE.GET_XML, args, (reply) => done(resultOf(reply, (body) => body.text())));
}

/**
 * Opens a connection to a domain's display server.
 *
 * @param index of its `<graphics>` in the description
 * @param done told the socket, which is its own
 */
export function openGraphics(
  client: RpcClient,
  domain: Domain,
  index: number,
  done: CallHandler<OwnedFd>,
): void {
  const args = writeDomain(new XdrWriter(), domain).u32(index).u32(SKIP_AUTHENTICATION).bytes();
  client.call(PROGRAM.REMOTE, REMOTE.OPEN_GRAPHICS_FD, args, (reply) => {
    done(resultOf(reply, () => {
      const file = reply.outcome === "done" ? reply.takeFile() : undefined;
      if (file === undefined) throw new XdrError("no descriptor came along");
      // libvirt's pairs wait.
      setNonblocking(file.fd);
      return file;
    }));
  });
}

/**
 * Opens a domain's console as a stream.
 *
 * @param alias libvirt's name of the device: "serial0"
 */
export function openConsole(
  client: RpcClient,
  domain: Domain,
  alias: string,
  user: RpcStreamUser,
  done: CallHandler<void>,
): RpcStream {
  const args = writeDomain(new XdrWriter(), domain).optionalText(alias).u32(0).bytes();
  return client.stream(
    PROGRAM.REMOTE,
    REMOTE.OPEN_CONSOLE,
    args,
    user,
    (reply) => done(resultOf(reply, () => {})),
  );
}

/** Something that libvirt tells by itself. */
export type LibvirtEvent =
  | {
    readonly kind: "lifecycle";
    readonly domain: Domain;
    /** Why it does not run any more, in words; "" when it runs, or libvirt does not say. */
    readonly stopped: string;
  }
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
    const event = body.i32();
    const detail = body.i32();
    const stopped = event === LIFECYCLE.STOPPED
      ? STOPPED_WHY[detail] ?? ""
      : event === LIFECYCLE.CRASHED
      ? "its guest has crashed"
      : "";
    return { kind: "lifecycle", domain, stopped };
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

function writeDomain(writer: XdrWriter, domain: Domain): XdrWriter {
  let head = HEADS.get(domain);
  if (head === undefined) HEADS.set(domain, head = headOf(domain));
  return writer.fixed(head);
}

function headOf({ name, uuid, id }: Domain): Uint8Array {
  const bytes = Uint8Array.from({ length: UUID_BYTES }, (_, i) => parseInt(uuid.slice(2 * i, 2 * i + 2), 16));
  return new XdrWriter().text(name).fixed(bytes).u32(id >>> 0).bytes();
}

function resultOf<T>(reply: RpcReply, read: (body: XdrReader) => T): CallResult<T> {
  switch (reply.outcome) {
    case "closed":
      return { ok: false, why: "the connection to libvirt has ended", isClosed: true, isDenied: false };
    case "error":
      return {
        ok: false,
        why: printable(reply.text, 512),
        isClosed: false,
        isDenied: DENIALS.has(reply.code),
      };
    case "done":
      try {
        return { ok: true, value: read(reply.body) };
      } catch (error) {
        if (!(error instanceof XdrError)) throw error;
        const why = `libvirt's answer cannot be read: ${error.message}`;
        return { ok: false, why, isClosed: false, isDenied: false };
      }
  }
}
