/**
 * The daemon's configuration (config/vmsigd.toml shows it): parses TOML into a checked value. An unknown key,
 * a wrong type, a number out of range or a duplicate name is rejected with file, line and key, and then
 * nothing of the text is used.
 *
 * It reads no file and fills in no defaults that depend on the machine: `undefined` means the default of the
 * daemon's user.
 * @module
 */
import type { AdmissionRule } from "../access/admission.ts";
import type { WriteExtent } from "../access/write_extent.ts";
import type { EndpointBasics } from "../adapters/seam.ts";
import { readSeams, type SeamConfig } from "../adapters/seams.ts";
import { Fault } from "../base/fault.ts";
import { parseAddress } from "../base/ids.ts";
import { DEFAULT_MAX_CONTROLS, DEFAULT_QUEUE_EVENTS, MAX_ENDPOINTS } from "../base/limits.ts";
import { LOG_LEVEL, type LogLevel } from "../base/log.ts";
import { DROP, type LanePolicy } from "../context/policy.ts";
import { DIR, type Dir } from "../event/direction.ts";
import { PRIO, PRIO_DEFAULT, type PrioChoice, type PrioName } from "../event/priority.ts";
import type { Source } from "../event/source.ts";
import { HOST_NAMES, type HostConfigs, readHosts } from "../hosts/hosts.ts";
import { readQmpAddress } from "../qemu/qmp_address.ts";
import { type TableReader, TomlSource } from "../toml/table_reader.ts";
import { readUsers } from "../toml/user_list.ts";
import { LEAST_QUEUE_EVENTS, MOST_QUEUE_EVENTS, readAdmissions } from "./admission_rules.ts";
import { nameDefect, sourceOf } from "./config_names.ts";

export type { AdmissionRule, AdmissionSubject } from "../access/admission.ts";
export { nameDefect } from "./config_names.ts";
export type { WriteExtent } from "../access/write_extent.ts";

const MAX_U32 = 0xffff_ffff;
const MAX_SOCKET_PATH = 107;
/** Limit of keys and items in a trigger file, which has six keys and is read on the loop's thread. */
const MAX_TRIGGER_VALUES = 64;
/** Limit of characters in a trigger file, for the same reason. */
const MAX_TRIGGER_CHARACTERS = 8192;

/**
 * One VM to attach: an `[[endpoint]]`, or a file in the trigger directory. The keys of seams are defined by
 * the seams (adapters/seams.ts).
 */
export type EndpointConfig = EndpointBasics & SeamConfig;

/** The policy of one lane. */
export interface PolicyRule {
  /** The lane's source. */
  readonly source: Source;
  /** The lane's direction. */
  readonly dir: Dir;
  /** The policy. */
  readonly policy: LanePolicy;
}

/** One `[[channel]]`: memory between VMs (or a VM and the host) that the daemon serves over ivshmem. */
export interface ChannelConfig {
  /** Its name: the socket is v2v/NAME.ivshmem in the runtime directory. */
  readonly name: string;
  /** Capacity: two rings of up to 4096 << order bytes each fit. */
  readonly order: number;
  /** Users who may connect besides the daemon's own and root, by name or number: those that run the QEMUs. */
  readonly users: readonly string[];
}

/** A whole configuration. */
export interface Config {
  /** `[daemon]`. */
  readonly daemon: {
    /** The control socket; undefined = the default of the daemon's user. */
    readonly socket: string | undefined;
    /** Directory of other sockets and state files; undefined = the control socket's folder. */
    readonly runtimeDir: string | undefined;
    /** The lowest level that is logged. */
    readonly log: LogLevel;
    /** Time for which the loop polls before it sleeps, µs. */
    readonly spinUs: number;
    /** Whether the loop's thread gets realtime priority where allowed: true unless it polls. */
    readonly realtime: boolean;
    /** Maximum number of controls. */
    readonly maxControls: number;
    /** Queue limit of one control, events. */
    readonly queueEvents: number;
  };
  /** `[discovery]`. */
  readonly discovery: {
    /**
     * The trigger directory, in which endpoints are defined by files; undefined = `endpoints.d` in the
     * runtime directory.
     */
    readonly triggerDir: string | undefined;
    /** Whether running QEMU processes with a free monitor are attached automatically. */
    readonly probe: boolean;
    /** The users whose VMs are attached, by name or number; undefined = root and the daemon's own. */
    readonly users: readonly string[] | undefined;
  };
  /** The table of each host integration in use: `[libvirt]`. */
  readonly hosts: HostConfigs;
  /** `[[endpoint]]`. */
  readonly endpoints: readonly EndpointConfig[];
  /** `[[channel]]`. */
  readonly channels: readonly ChannelConfig[];
  /** `[[admission]]`. */
  readonly admission: readonly AdmissionRule[];
  /** `[[policy]]`. */
  readonly policy: readonly PolicyRule[];
  /** `[write]`: where MEMWRITE may write. */
  readonly write: readonly WriteExtent[];
}

/**
 * Parses a configuration.
 *
 * @param text the TOML
 * @param file the file's name in messages
 * @throws {Fault} `bad-argument`: "…: FILE:LINE: KEY: …"
 */
export function parseConfig(text: string, file: string): Config {
  const { root } = new TomlSource(text, file);
  const config: Config = {
    daemon: readDaemon(root.table("daemon")),
    discovery: readDiscovery(root.table("discovery")),
    hosts: readHosts(root),
    endpoints: readEndpoints(root.tables("endpoint")),
    channels: readChannels(root.tables("channel")),
    admission: readAdmissions(root.tables("admission")),
    policy: readPolicies(root.tables("policy")),
    write: readWrite(root.table("write")),
  };
  root.finish();
  return config;
}

/**
 * Parses one endpoint: the contents of a file in the trigger directory.
 *
 * @throws {Fault} `bad-argument`, as {@linkcode parseConfig}
 */
export function parseEndpointTable(text: string, file: string): EndpointConfig {
  if (text.length > MAX_TRIGGER_CHARACTERS) {
    throw new Fault(
      "bad-argument",
      `Cannot use the config: ${file}: is longer than ${MAX_TRIGGER_CHARACTERS} characters, and has to be one table`,
    );
  }
  return readEndpoint(new TomlSource(text, file, MAX_TRIGGER_VALUES).root);
}

function readDaemon(table: TableReader): Config["daemon"] {
  const socket = table.path("socket");
  if (socket !== undefined && new TextEncoder().encode(socket).length > MAX_SOCKET_PATH) {
    throw table.fault("socket", `is longer than the ${MAX_SOCKET_PATH} bytes that a socket's path may have`);
  }
  const spinUs = table.integer("spin_us", 0, 1_000_000, 0);
  const realtime = table.boolean("realtime", spinUs === 0);
  if (realtime && spinUs > 0) {
    throw table.fault("realtime", "cannot be true with spin_us: a thread that spins must not be realtime");
  }
  const daemon = {
    socket,
    runtimeDir: table.path("runtime_dir"),
    log: table.choice("log", Object.keys(LOG_LEVEL) as LogLevel[], "info"),
    spinUs,
    realtime,
    maxControls: table.integer("max_controls", 1, 65_536, DEFAULT_MAX_CONTROLS),
    queueEvents: table.integer("queue_events", LEAST_QUEUE_EVENTS, MOST_QUEUE_EVENTS, DEFAULT_QUEUE_EVENTS),
  };
  table.finish();
  return daemon;
}

function readDiscovery(table: TableReader): Config["discovery"] {
  const discovery = {
    triggerDir: table.path("trigger_dir"),
    probe: table.boolean("probe", true),
    users: table.has("users") ? readUsers(table) : undefined,
  };
  table.finish();
  return discovery;
}

function readEndpoints(tables: readonly TableReader[]): EndpointConfig[] {
  if (tables.length > MAX_ENDPOINTS) {
    throw (tables[MAX_ENDPOINTS] as TableReader).fault(
      "",
      `is one too many: ${MAX_ENDPOINTS} endpoints are possible`,
    );
  }
  const names = new Set<string>();
  const vmids = new Set<number>();
  return tables.map((table) => {
    const endpoint = readEndpoint(table);
    if (names.has(endpoint.name)) {
      throw table.fault("name", `is ${endpoint.name}, and another endpoint has that name`);
    }
    if (endpoint.vmid !== 0 && vmids.has(endpoint.vmid)) {
      throw table.fault("vmid", `is ${endpoint.vmid}, and another endpoint has that vmid`);
    }
    names.add(endpoint.name);
    vmids.add(endpoint.vmid);
    return endpoint;
  });
}

function readEndpoint(table: TableReader): EndpointConfig {
  const name = table.text("name");
  if (name === undefined) throw table.fault("name", "is missing; every endpoint has one");
  const defect = nameDefect(name);
  if (defect !== undefined) throw table.fault("name", defect);
  const qmp = table.text("qmp");
  const place = qmp === undefined ? undefined : readQmpAddress(qmp, HOST_NAMES);
  if (place?.kind === "invalid") throw table.fault("qmp", place.why);
  const basics = { name, vmid: table.integer("vmid", 0, MAX_U32, 0), qmp };
  const endpoint: EndpointConfig = { ...basics, ...readSeams(table, basics) };
  table.finish();
  return endpoint;
}

function readChannels(tables: readonly TableReader[]): ChannelConfig[] {
  const names = new Set<string>();
  return tables.map((table) => {
    const name = table.text("name");
    if (name === undefined) throw table.fault("name", "is missing; every channel has one");
    if (!/^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}$/.test(name)) {
      throw table.fault("name", `is ${JSON.stringify(name)}, and may have letters, digits and _ . - only`);
    }
    if (names.has(name)) throw table.fault("name", `is ${name}, and another channel has that name`);
    names.add(name);
    const channel = { name, order: table.integer("order", 0, 8, 6), users: table.texts("users") ?? [] };
    table.finish();
    return channel;
  });
}

function readPolicies(tables: readonly TableReader[]): PolicyRule[] {
  const lanes = new Set<string>();
  return tables.map((table) => {
    const rule = readPolicy(table);
    const lane = `${rule.source} ${rule.dir}`;
    if (lanes.has(lane)) throw table.fault("", "is a second policy of the same source and dir; keep one");
    lanes.add(lane);
    return rule;
  });
}

function readPolicy(table: TableReader): PolicyRule {
  const name = table.text("source");
  if (name === undefined) throw table.fault("source", "is missing; say which source the policy is for");
  const dir = table.choice("dir", ["up", "down", "UP", "DOWN"], "up");
  if (!table.has("dir")) throw table.fault("dir", 'is missing; say "up" or "down"');
  const rule: PolicyRule = {
    source: sourceOf(table, "source", name),
    dir: DIR[dir.toUpperCase() as keyof typeof DIR],
    policy: {
      prio: readPrio(table),
      minGapNs: table.integer("min_gap_ns", 0, MAX_U32, 0),
      coalesceNs: table.integer("coalesce_ns", 0, MAX_U32, 0),
      maxInflight: table.integer("max_inflight", 0, 1 << 20, 0),
      drop: DROP[
        table.choice("drop", ["oldest", "newest", "block"], "oldest").toUpperCase() as keyof typeof DROP
      ],
    },
  };
  table.finish();
  return rule;
}

function readPrio(table: TableReader): PrioChoice {
  const names = Object.keys(PRIO).map((name) => name.toLowerCase());
  if (!table.has("prio")) {
    table.text("prio");
    return PRIO_DEFAULT;
  }
  return PRIO[table.choice("prio", names, "").toUpperCase() as PrioName];
}

function readWrite(table: TableReader): WriteExtent[] {
  const extents = table.tables("extents").map((extent) => {
    const endpoint = extent.text("endpoint");
    if (endpoint === undefined) {
      throw extent.fault("endpoint", 'is missing; name an endpoint, or "*" for all');
    }
    const defect = endpoint === "*" ? undefined : nameDefect(endpoint);
    if (defect !== undefined) throw extent.fault("endpoint", defect);
    const space = extent.choice("space", ["kernel", "process"], "process");
    if (!extent.has("space")) throw extent.fault("space", 'is missing; say "kernel" or "process"');
    const from = readAddress(extent, "from", space);
    const to = readAddress(extent, "to", space);
    extent.finish();
    if (from >= to) throw extent.fault("to", "must be above from: it is the first address behind the range");
    return { endpoint, space, from, to };
  });
  table.finish();
  return extents;
}

const HALF = 2 ** 56;

function readAddress(table: TableReader, key: string, space: "kernel" | "process"): number {
  const text = table.text(key);
  if (text === undefined) throw table.fault(key, 'is missing; write an address like "0x7f0000000000"');
  const address = /^0x/i.test(text) ? parseAddress(text) : undefined;
  if (address === undefined) {
    throw table.fault(key, `is ${text}, and must be an address like "0x7f0000000000"`);
  }
  const inHalf = space === "kernel" ? address < 0 && address >= -HALF : address >= 0 && address <= HALF;
  if (!inHalf) throw table.fault(key, `is ${text}, which is not an address of a ${space}`);
  return address;
}
