/**
 * Users and groups from the text of /etc/passwd and /etc/group. Membership is what these files say; groups
 * that a process got in other ways are not seen, nor are users of a directory service (a rule can give their
 * uid).
 *
 * It reads no file itself: the reader is injected, and called at most once per second, when something is
 * looked up.
 *
 * A failed read (no descriptors, no permission) or a truncated text never counts as "no users": the tables of
 * the last good read remain, which is logged once, and until there was one, nothing is known (`isKnown`),
 * which differs from knowing that there is nobody. A text that became shorter counts once it has been read
 * twice: it may have been read while a program rewrote it in place.
 * @module
 */
import { type Clock, SECOND } from "../base/clock.ts";
import { messageOf } from "../base/fault.ts";
import { type Log, SILENT } from "../base/log.ts";
import type { UserLookup } from "./admission.ts";

/** Returns a file's text; an empty one if there is no such file. Throws if it cannot be read. */
export type TextReader = (path: string) => string;

const PASSWD = "/etc/passwd";
const GROUP = "/etc/group";
const MAX_ID = 0xffff_fffe;

interface Tables {
  readonly uids: ReadonlyMap<string, number>;
  readonly gids: ReadonlyMap<string, number>;
  readonly primary: ReadonlyMap<number, ReadonlySet<number>>;
  readonly names: ReadonlyMap<number, ReadonlySet<string>>;
  readonly members: ReadonlyMap<number, ReadonlySet<string>>;
}

/** The texts from which the tables were made. */
interface Texts {
  readonly passwd: string;
  readonly group: string;
}

const NOBODY: Tables = parseTables("", "");

/** The database. */
export class UserDatabase implements UserLookup {
  readonly #read: TextReader;
  readonly #clock: Clock;
  readonly #log: Log;
  #tables = NOBODY;
  #texts: Texts | null = null;
  /** A shorter text that was read once. */
  #doubted: Texts | null = null;
  #generation = 0;
  #lookedAtNs = -SECOND;
  #isTold = false;

  /**
   * Reads the files at the first lookup.
   *
   * @param read returns /etc/passwd and /etc/group
   * @param clock tells when the tables are too old
   * @param log receives the message that they cannot be read
   */
  constructor(read: TextReader, clock: Clock, log: Log = SILENT) {
    this.#read = read;
    this.#clock = clock;
    this.#log = log;
  }

  /** Whether the tables have been read, now or before. */
  get isKnown(): boolean {
    this.#now();
    return this.#texts !== null;
  }

  /** Changes whenever the tables change. */
  get generation(): number {
    this.#now();
    return this.#generation;
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
    if (nowNs - this.#lookedAtNs >= SECOND) {
      this.#lookedAtNs = nowNs;
      this.#look();
    }
    return this.#tables;
  }

  #look(): void {
    let texts: Texts;
    try {
      texts = { passwd: whole(PASSWD, this.#read(PASSWD)), group: whole(GROUP, this.#read(GROUP)) };
    } catch (error) {
      return this.#tellTrouble(error);
    }
    if (this.#isTold) this.#log.info("the tables of users and groups can be read again");
    this.#isTold = false;
    const before = this.#texts;
    if (before !== null && isSame(before, texts)) {
      this.#doubted = null;
      return;
    }
    const isShorter = before !== null &&
      (texts.passwd.length < before.passwd.length || texts.group.length < before.group.length);
    if (isShorter && !(this.#doubted !== null && isSame(this.#doubted, texts))) {
      this.#doubted = texts;
      return;
    }
    this.#doubted = null;
    this.#texts = texts;
    this.#tables = parseTables(texts.passwd, texts.group);
    this.#generation++;
  }

  #tellTrouble(error: unknown): void {
    if (this.#isTold) return;
    this.#isTold = true;
    const kept = this.#texts !== null;
    this.#log.error(
      kept
        ? "cannot read the tables of users and groups: those of the last good read stay in force"
        : "cannot read the tables of users and groups: nobody is let in by a rule that names a user or a group, nor by one behind it; make /etc/passwd and /etc/group readable",
      { what: messageOf(error) },
    );
  }
}

function isSame(a: Texts, b: Texts): boolean {
  return a.passwd === b.passwd && a.group === b.group;
}

/** A text whose last line is complete. */
function whole(path: string, text: string): string {
  if (text !== "" && !text.endsWith("\n")) throw new Error(`${path} is cut off in the middle of a line`);
  return text;
}

function parseTables(passwd: string, group: string): Tables {
  const uids = new Map<string, number>();
  const primary = new Map<number, Set<number>>();
  const names = new Map<number, Set<string>>();
  for (const [name = "", , uidText, gidText] of records(passwd)) {
    const uid = idOf(uidText);
    const gid = idOf(gidText);
    if (uid === undefined || gid === undefined) continue;
    // The first entry of a name counts, as in the C library.
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
