/**
 * A host's entry in the roster: one value a host, JSON, so that `nats kv get vmsig_roster HOST` shows it as
 * well. It is put anew whenever something changes, and every {@linkcode BEAT_MS} in any case. Who has not
 * seen it for {@linkcode DEAD_MS} by a clock of its own takes the host for dead; the bucket forgets it after
 * the same time by the server's. No clock of the host is ever looked at.
 * @module
 */
import { Fault } from "../../base/fault.ts";
import type { EndpointId } from "../../base/ids.ts";
import { MAX_ENDPOINTS } from "../../base/limits.ts";
import { oneLine } from "../../base/printable.ts";
import { VERSION } from "../../base/version.ts";
import { ENVELOPE_VERSION } from "./envelope.ts";
import { countField, isObject, type JsonObject, readJson, textField, writeJson } from "./json_body.ts";

/** How often an entry is put anew, ms. */
export const BEAT_MS = 5000;
/** After how long without it a host is dead, ms. */
export const DEAD_MS = 3 * BEAT_MS;
/** Bytes of an entry at most. */
export const MOST_ENTRY_BYTES = 128 * 1024;
const MOST_TEXT = 256;
const MOST_LEASES = 16;
const MAX_U32 = 0xffff_ffff;

/** An endpoint, as its host tells it. */
export interface HostEndpoint {
  /** Its number on the host. */
  readonly endpoint: EndpointId;
  /** Grows when the number goes to another VM: a command names both. */
  readonly life: number;
  /** Its name there. */
  readonly name: string;
  /** "attaching", "up", "down". */
  readonly state: string;
  /** The seams that are up. */
  readonly seams: readonly string[];
  /** The VM's process; 0 = not known. */
  readonly pid: number;
  /** The number that its config gives it; 0 = none. */
  readonly vmid: number;
  /** The VM's own state: "running"; "" = not known. */
  readonly run: string;
  /** What shows its screen; "" = not known. */
  readonly display: string;
  /** Who owns which lease: class to user. */
  readonly leases: Readonly<Record<string, string>>;
}

/** A host. */
export interface HostEntry {
  /** The envelope's version that it speaks. */
  readonly v: number;
  /** Its version of vmsig. */
  readonly vmsig: string;
  /** Its name. */
  readonly host: string;
  /** Which run of `vmsig join` this is: random, another one after each start. */
  readonly run: string;
  /** Which machine, as a hash: two of one name are told apart by it. */
  readonly machine: string;
  /** The process of `vmsig join` there. */
  readonly pid: number;
  /** Whether its events are numbered (`join/event_numbers.ts`); of an older vmsig they are not. */
  readonly isNumbered?: boolean;
  /** Whether its daemon is there. */
  readonly isUp: boolean;
  /** Its endpoints. */
  readonly endpoints: readonly HostEndpoint[];
}

/**
 * Checks that a host understands the requests of this program.
 *
 * @throws {Fault} `not-supported`
 */
export function checkSpeaks(entry: HostEntry | undefined): void {
  if (entry === undefined || entry.v === ENVELOPE_VERSION) return;
  throw otherVersion(entry.host, entry.v, entry.vmsig);
}

/** A host speaks another version of the requests. */
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

/** An entry as bytes. */
export function writeHostEntry(entry: HostEntry): Uint8Array<ArrayBuffer> {
  return writeJson(entry);
}

/** The entry that stands there; undefined when it is none. Unknown keys are left out: of a newer vmsig. */
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
