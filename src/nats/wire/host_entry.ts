/**
 * A host's entry in the roster: one value per host, JSON, so that `nats kv get vmsig_roster HOST` shows it as
 * well. It is written whenever something changes, and every {@linkcode BEAT_MS} in any case. A reader that
 * has not seen it for {@linkcode DEAD_MS} by its own clock considers the host dead; the bucket removes it
 * after the same time by the server's clock. The host's clock is never used.
 * @module
 */
import { Fault } from "../../base/fault.ts";
import type { EndpointId } from "../../base/ids.ts";
import { MAX_ENDPOINTS } from "../../base/limits.ts";
import { oneLine } from "../../base/printable.ts";
import { VERSION } from "../../base/version.ts";
import { ENVELOPE_VERSION } from "./envelope.ts";
import { countField, isObject, type JsonObject, readJson, textField, writeJson } from "./json_body.ts";

/** Interval at which an entry is written, ms. */
export const BEAT_MS = 5000;
/** Time after which a host without a new entry is dead, ms. */
export const DEAD_MS = 3 * BEAT_MS;
/** Size limit of an entry, bytes. */
export const MOST_ENTRY_BYTES = 128 * 1024;
const MOST_TEXT = 256;
const MOST_LEASES = 16;
const MAX_U32 = 0xffff_ffff;

/** An endpoint in a host's entry. */
export interface HostEndpoint {
  /** Its number on the host. */
  readonly endpoint: EndpointId;
  /** Incremented when the number is given to another VM: a command names both. */
  readonly life: number;
  /** Its name there. */
  readonly name: string;
  /** "attaching", "up", "down". */
  readonly state: string;
  /** Its seams that are up. */
  readonly seams: readonly string[];
  /** The VM's process; 0 = not known. */
  readonly pid: number;
  /** The VM's id from its config; 0 = none. */
  readonly vmid: number;
  /** The VM's state: "running"; "" = not known. */
  readonly run: string;
  /** The source of its screen; "" = not known. */
  readonly display: string;
  /** The owners of leases: class to user. */
  readonly leases: Readonly<Record<string, string>>;
}

/** A host's entry. */
export interface HostEntry {
  /** The envelope version of the host. */
  readonly v: number;
  /** Its version of vmsig. */
  readonly vmsig: string;
  /** Its name. */
  readonly host: string;
  /** Random id of this run of `vmsig join`. */
  readonly run: string;
  /** Hash of the machine's id, to distinguish two hosts with the same name. */
  readonly machine: string;
  /** The pid of `vmsig join`. */
  readonly pid: number;
  /** Whether its events are numbered (`join/event_numbers.ts`); with an older vmsig they are not. */
  readonly isNumbered?: boolean;
  /** Whether its daemon is running. */
  readonly isUp: boolean;
  /** Its endpoints. */
  readonly endpoints: readonly HostEndpoint[];
}

/**
 * Checks that a host supports the requests of this program.
 *
 * @throws {Fault} `not-supported`
 */
export function checkSpeaks(entry: HostEntry | undefined): void {
  if (entry === undefined || entry.v === ENVELOPE_VERSION) return;
  throw otherVersion(entry.host, entry.v, entry.vmsig);
}

/** A host has another protocol version. */
export function otherVersion(host: string, version: number, vmsig: string): Fault {
  const what = vmsig === "" ? "vmsig" : `vmsig ${oneLine(vmsig)}`;
  return new Fault(
    "not-supported",
    `Cannot use host ${oneLine(host)}: its ${what} uses version ${version} of the requests, this one ` +
      `(${VERSION}) version ${ENVELOPE_VERSION}; update ${
        version < ENVELOPE_VERSION ? "the host" : "this one"
      }`,
  );
}

/** An entry as JSON bytes. */
export function writeHostEntry(entry: HostEntry): Uint8Array<ArrayBuffer> {
  return writeJson(entry);
}

/** Parses an entry; undefined if it is not valid. Unknown keys, from a newer vmsig, are ignored. */
export function readHostEntry(bytes: Uint8Array): HostEntry | undefined {
  const map = readJson(bytes, MOST_ENTRY_BYTES);
  if (map === undefined) return undefined;
  const host = textField(map, "host", MOST_TEXT);
  const run = textField(map, "run", 64);
  const list = map["endpoints"];
  if (host === undefined || host === "" || run === undefined || !Array.isArray(list)) return undefined;
  if (list.length > MAX_ENDPOINTS) return undefined;
  const endpoints: HostEndpoint[] = [];
  for (const each of list) {
    const endpoint = isObject(each) ? readEndpoint(each) : undefined;
    if (endpoint === undefined) return undefined;
    endpoints.push(endpoint);
  }
  return {
    v: countField(map, "v", MAX_U32) ?? 0,
    vmsig: textField(map, "vmsig", 64) ?? "",
    host,
    run,
    machine: textField(map, "machine", 64) ?? "",
    pid: countField(map, "pid", MAX_U32) ?? 0,
    ...(map["isNumbered"] === true ? { isNumbered: true } : {}),
    isUp: map["isUp"] === true,
    endpoints,
  };
}

function readEndpoint(map: JsonObject): HostEndpoint | undefined {
  const endpoint = countField(map, "endpoint", MAX_ENDPOINTS - 1);
  const name = textField(map, "name", MOST_TEXT);
  const state = textField(map, "state", 32);
  const seams = map["seams"];
  if (endpoint === undefined || name === undefined || state === undefined) return undefined;
  if (!Array.isArray(seams) || seams.length > 32) return undefined;
  if (!seams.every((seam) => typeof seam === "string" && seam.length <= 32)) return undefined;
  return {
    endpoint: endpoint as EndpointId,
    life: countField(map, "life", MAX_U32) ?? 0,
    name,
    state,
    seams: seams as string[],
    pid: countField(map, "pid", MAX_U32) ?? 0,
    vmid: countField(map, "vmid", MAX_U32) ?? 0,
    run: textField(map, "run", 64) ?? "",
    display: textField(map, "display", 64) ?? "",
    leases: readLeases(map["leases"]),
  };
}

function readLeases(value: unknown): Record<string, string> {
  const leases: Record<string, string> = {};
  if (!isObject(value)) return leases;
  for (const [cls, owner] of Object.entries(value).slice(0, MOST_LEASES)) {
    if (/^[a-z]{1,16}$/.test(cls) && typeof owner === "string" && owner.length <= MOST_TEXT) {
      leases[cls] = owner;
    }
  }
  return leases;
}
