/**
 * Users and groups from the text of /etc/passwd and /etc/group. Who is a member is what these files say; groups that a process was given otherwise are not seen, and neither are
 * users of a directory service (give their uid in the rule).
 *
 * It reads no file: the reader is injected, and asked again at each look, at most once a second.
 * @module
 */
import { type Clock, SECOND } from "../base/clock.ts";
import type { UserLookup } from "./admission.ts";

/** Gives a file's text; an empty one when it cannot be read. */
export type TextReader = (path: string) => string;

const MAX_ID = 0xffff_fffe;

interface Tables {
  readonly uids: ReadonlyMap<string, number>;
  readonly gids: ReadonlyMap<string, number>;
  readonly primary: ReadonlyMap<number, ReadonlySet<number>>;
  readonly names: ReadonlyMap<number, ReadonlySet<string>>;
  readonly members: ReadonlyMap<number, ReadonlySet<string>>;
}

/** The database. */
export class UserDatabase implements UserLookup {
  readonly #read: TextReader;
  readonly #clock: Clock;
  #tables: Tables | undefined;
  #readAtNs = 0;

  /**
   * Reads when it is first asked.
   *
   * @param read gives /etc/passwd and /etc/group
   * @param clock says when what was read is too old
   */
  constructor(read: TextReader, clock: Clock) {
    this.#read = read;
    this.#clock = clock;
  }

  /** The uid of a user's name. */
  uidOf(user: string): number | undefined {
    return this.#now().uids.get(user);
  }

  /** The gid of a group's name. */
  gidOf(group: string): number | undefined {
    return this.#now().gids.get(group);
  }

  /** Whether a user is a member of a group, primary or listed. */
  isMember(uid: number, gid: number): boolean {
    const { primary, names, members } = this.#now();
    if (primary.get(uid)?.has(gid)) return true;
    const listed = members.get(gid);
    if (listed === undefined) return false;
    for (const name of names.get(uid) ?? []) if (listed.has(name)) return true;
    return false;
  }

  #now(): Tables {
    const nowNs = this.#clock.nowNs();
    if (this.#tables === undefined || nowNs - this.#readAtNs >= SECOND) {
      this.#tables = parseTables(this.#read("/etc/passwd"), this.#read("/etc/group"));
      this.#readAtNs = nowNs;
    }
    return this.#tables;
  }
}

function parseTables(passwd: string, group: string): Tables {
  const uids = new Map<string, number>();
  const primary = new Map<number, Set<number>>();
  const names = new Map<number, Set<string>>();
  for (const [name = "", , uidText, gidText] of records(passwd)) {
    const uid = idOf(uidText);
    const gid = idOf(gidText);
    if (uid === undefined || gid === undefined) continue;
    // The first entry of a name counts, as for the C library.
    if (!uids.has(name)) uids.set(name, uid);
    addTo(primary, uid, gid);
    addTo(names, uid, name);
  }
  const gids = new Map<string, number>();
  const members = new Map<number, Set<string>>();
  for (const [name = "", , gidText, list = ""] of records(group)) {
    const gid = idOf(gidText);
    if (gid === undefined) continue;
    if (!gids.has(name)) gids.set(name, gid);
    for (const member of list.split(",")) if (member !== "") addTo(members, gid, member.trim());
  }
  return { uids, gids, primary, names, members };
}

function records(text: string): string[][] {
  return text.split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => line.split(":"));
}

function idOf(text: string | undefined): number | undefined {
  if (text === undefined || !/^[0-9]+$/.test(text)) return undefined;
  const id = Number(text);
  return id <= MAX_ID ? id : undefined;
}

function addTo<K, V>(map: Map<K, Set<V>>, key: K, value: V): void {
  const set = map.get(key);
  if (set === undefined) map.set(key, new Set([value]));
  else set.add(value);
}
