/**
 * libvirt as every thread knows it: the config's table [libvirt].
 * @module
 */
import type { TableReader } from "../../toml/table_reader.ts";
import { readUsers } from "../../toml/user_list.ts";
import type { HostConfig, HostDeclaration } from "../host.ts";

/** How libvirt is used. */
export interface LibvirtConfig extends HostConfig {
  /** Its driver: "qemu:///system". */
  readonly uri: string;
  /** libvirtd's socket. */
  readonly socket: string;
  /** Users besides root and the daemon's own who may run libvirtd: names or numbers. */
  readonly users: readonly string[];
  /** Whether a QEMU that can have several monitors (11.1) gets one of the daemon's own while it is used. */
  readonly ownMonitor: boolean;
}

/** libvirt's row. */
export const LIBVIRT: HostDeclaration<LibvirtConfig> = { read: readLibvirt };

function readLibvirt(table: TableReader): LibvirtConfig {
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
    ownMonitor: table.boolean("own_monitor", false),
  };
  table.finish();
  return libvirt;
}
