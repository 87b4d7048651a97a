/**
 * The config's table [libvirt], and lists of users as it has one.
 * @module
 */
import type { TableReader } from "../toml/table_reader.ts";

/** The largest uid and gid: the one above it means "none". */
export const MAX_UID: number = 2 ** 32 - 2;

/** How libvirt is used. */
export interface LibvirtConfig {
  /** Its driver: "qemu:///system". */
  readonly uri: string;
  /** libvirtd's socket. */
  readonly socket: string;
  /** Users besides root and the daemon's own who may run libvirtd: names or numbers. */
  readonly users: readonly string[];
  /** Whether running domains are attached by themselves. */
  readonly discover: boolean;
}

/**
 * Reads the table.
 *
 * @throws {Fault} `bad-argument` with file, line and key
 */
export function readLibvirt(table: TableReader): LibvirtConfig {
  const uri = table.text("uri") ?? "qemu:///system";
  if (!/^qemu:\/\/\/(system|session)$|^test:\/\/\/default$/.test(uri)) {
    throw table.fault("uri", `is ${JSON.stringify(uri)}, and must be qemu:///system or qemu:///session`);
  }
  const socket = table.path("socket");
  if (socket === undefined && uri === "qemu:///session") {
    throw table.fault(
      "socket",
      "is missing; a session's libvirtd has its own: $XDG_RUNTIME_DIR/libvirt/libvirt-sock",
    );
  }
  const libvirt = {
    uri,
    socket: socket ?? "/run/libvirt/libvirt-sock",
    users: readUsers(table),
    discover: table.boolean("discover", true),
  };
  table.finish();
  return libvirt;
}

/**
 * Names or numbers of users.
 *
 * @throws {Fault} `bad-argument` with file, line and key
 */
export function readUsers(table: TableReader): readonly string[] {
  const users = table.texts("users") ?? [];
  for (const user of users) {
    if (/^[0-9]+$/.test(user) ? Number(user) > MAX_UID : !/^[^\s:/,\0]{1,256}$/.test(user)) {
      throw table.fault("users", `has ${JSON.stringify(user)}, which is neither a user's name nor a number`);
    }
  }
  return users;
}
