/**
 * Which users can replace a file: those who can write to it, or to any folder on the way to it.
 * @module
 */
import { octal, statOf, STICKY, type Weakness, WRITABLE_BY_GROUP, WRITABLE_BY_OTHERS } from "./finding.ts";

/** What is checked, and who may own it. */
export interface PathScope {
  /** The part of the host under which the findings are reported. */
  readonly check: string;
  /** Users who are trusted anyway: root and the daemon's own. */
  readonly trusted: ReadonlySet<number>;
}

/** Checks a file that matters, and all folders on its way. Missing ones are skipped. */
export function checkFile(path: string, what: string, scope: PathScope): Weakness[] {
  const found: Weakness[] = [];
  const info = statOf(path);
  if (info !== undefined) {
    const mode = info.mode ?? 0;
    if (info.uid !== null && !scope.trusted.has(info.uid)) {
      found.push({
        check: scope.check,
        severity: "high",
        found: `${what} ${path} belongs to uid ${info.uid}, who decides what is in it`,
        remedy: `chown root ${path}`,
      });
    }
    if ((mode & (WRITABLE_BY_GROUP | WRITABLE_BY_OTHERS)) !== 0) {
      const everybody = (mode & WRITABLE_BY_OTHERS) !== 0;
      found.push({
        check: scope.check,
        severity: everybody ? "high" : "medium",
        found: `${what} ${path} (mode ${octal(mode)}) can be written by ${
          everybody ? "everybody" : `group ${info.gid}`
        }`,
        remedy: `chmod go-w ${path}`,
      });
    }
  }
  return [...found, ...checkFolders(folderOf(path), scope)];
}

/** All folders of a path, itself included, both as written and as links resolve. */
export function checkFolders(folder: string, scope: PathScope): Weakness[] {
  const paths = new Set(ancestors(folder));
  for (const path of realFolders(folder)) paths.add(path);
  return [...paths].flatMap((path) => checkFolder(path, scope));
}

function checkFolder(path: string, { check, trusted }: PathScope): Weakness[] {
  const info = statOf(path);
  if (info === undefined) return [];
  const mode = info.mode ?? 0;
  const found: Weakness[] = [];
  if (info.uid !== null && !trusted.has(info.uid)) {
    found.push({
      check,
      severity: "medium",
      found: `folder ${path} belongs to uid ${info.uid}, who can put something else there`,
      remedy: `use a folder of root's or the daemon's, or trust uid ${info.uid} with what is in it`,
    });
  }
  if ((mode & (WRITABLE_BY_GROUP | WRITABLE_BY_OTHERS)) === 0) return found;
  const everybody = (mode & WRITABLE_BY_OTHERS) !== 0;
  const who = everybody ? "everybody" : `group ${info.gid}`;
  const sticky = (mode & STICKY) !== 0;
  found.push({
    check,
    severity: sticky ? "low" : everybody ? "high" : "medium",
    found: `folder ${path} (mode ${octal(mode)}) can be written by ${who}` +
      (sticky ? ", who can take a name there before its owner does" : ", who can put something else there"),
    remedy: sticky ? `use a folder that only its owner writes` : `chmod go-w ${path}`,
  });
  return found;
}

/** A folder and those above it, the root last. */
function ancestors(folder: string): string[] {
  const found: string[] = [];
  for (let path = folder; path !== "" && path !== "."; path = folderOf(path)) {
    found.push(path);
    if (path === "/") break;
  }
  return found;
}

function realFolders(folder: string): string[] {
  try {
    return ancestors(Deno.realPathSync(folder));
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    return [];
  }
}

/** The folder of a path. */
export function folderOf(path: string): string {
  const slash = path.replace(/\/+$/, "").lastIndexOf("/");
  return slash < 0 ? "." : slash === 0 ? "/" : path.slice(0, slash);
}
