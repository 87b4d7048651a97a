/**
 * The host integrations, a row each: by its name it is called in the config, as a table `[NAME]` and as
 * `qmp = "NAME:VM"`. How each is made stands in makers.ts.
 * @module
 */
import type { TableReader } from "../toml/table_reader.ts";
import type { HostConfig, HostDeclaration } from "./host.ts";
import { LIBVIRT } from "./libvirt/libvirt_declaration.ts";

/** Every host, with its own type. */
export const HOSTS: { readonly libvirt: typeof LIBVIRT } = {
  libvirt: LIBVIRT,
};

/** A host's name. */
export type HostName = keyof typeof HOSTS;

/** The config of one host. */
export type ConfigOfHost<N extends HostName> = ReturnType<(typeof HOSTS)[N]["read"]>;

/** The config of each host that is used. */
export type HostConfigs = { readonly [N in HostName]?: ConfigOfHost<N> };

/** The names of all. */
export const HOST_NAMES: readonly HostName[] = Object.keys(HOSTS) as HostName[];

/**
 * Reads the hosts' tables: one that is there, be it empty, says that the host is used.
 *
 * @param root the whole config
 * @throws {Fault} `bad-argument` with file, line and key
 */
export function readHosts(root: TableReader): HostConfigs {
  const used = HOST_NAMES.filter((name) => root.has(name));
  return Object.fromEntries(used.map((name) => {
    const { read }: HostDeclaration<HostConfig> = HOSTS[name];
    return [name, read(root.table(name))];
  }));
}
