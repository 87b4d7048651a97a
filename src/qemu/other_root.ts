/**
 * Paths that a process in another mount namespace names, as they are reached from here: through
 * /proc/PID/root. The links in such a path are followed as that process has them: the kernel would take an
 * absolute one from our root.
 *
 * A path that leads to the same file from here is left as it is: a service of systemd's has a namespace of
 * its own, and sees most of the host's files all the same.
 * @module
 */

const MAX_LINKS = 16;
const MAX_PARTS = 128;

/** What is to be known of a path: where it leads when it is a link, or which file is there. */
interface Look {
  readonly what: "link" | "file" | "file or link";
  readonly path: string;
}

/** Looks for a path; each look is answered by text, undefined where there is nothing. */
type Search<T> = Generator<Look, T, string | undefined>;

/**
 * Walks a path inside of a root.
 *
 * @returns the path without links, inside; undefined when it has too many
 */
function* walk(root: string, path: string): Search<string | undefined> {
  let left = path.split("/");
  let done: string[] = [];
  for (let links = 0, parts = 0; left.length > 0;) {
    if (++parts > MAX_PARTS) return undefined;
    const [part, ...rest] = left as [string, ...string[]];
    left = rest;
    if (part === "" || part === ".") continue;
    if (part === "..") {
      done.pop();
      continue;
    }
    const target = yield { what: "link", path: `${root}/${[...done, part].join("/")}` };
    if (target === undefined) done.push(part);
    else {
      if (++links > MAX_LINKS) return undefined;
      if (target.startsWith("/")) done = [];
      left = [...target.split("/"), ...left];
    }
  }
  return `/${done.join("/")}`;
}

/** A path of a process', as it is reached from here; itself where that is not known or the same. */
function* search(pid: number, path: string): Search<string> {
  if (!path.startsWith("/") || !isElsewhere(pid)) return path;
  const root = `/proc/${pid}/root`;
  const inside = yield* walk(root, path);
  if (inside === undefined) return path;
  const there = `${root}${inside}`;
  const found = yield { what: "file or link", path: there };
  return found === undefined || found === (yield { what: "file", path }) ? path : there;
}

/** Whether a process has other mounts than we; false when that may not be seen. */
function isElsewhere(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    return Deno.readLinkSync(`/proc/${pid}/ns/mnt`) !== Deno.readLinkSync("/proc/self/ns/mnt");
  } catch (error) {
    if (isOfSystem(error)) return false;
    throw error;
  }
}

/** A path of a process', as it is reached from here; itself where that is not known or the same. */
export async function pathFromHere(pid: number, path: string): Promise<string> {
  const looks = search(pid, path);
  let step = looks.next();
  while (step.done !== true) step = looks.next(await look(step.value).catch(absent));
  return step.value;
}

/** The same at once, for who is about to connect to it anyway. */
export function pathFromHereSync(pid: number, path: string): string {
  const looks = search(pid, path);
  let step = looks.next();
  while (step.done !== true) {
    const { what, path } = step.value;
    step = looks.next(tried(() => lookSync(what, path)));
  }
  return step.value;
}

function lookSync(what: Look["what"], path: string): string {
  if (what === "link") return Deno.readLinkSync(path);
  return identityOf(what === "file" ? Deno.statSync(path) : Deno.lstatSync(path));
}

async function look({ what, path }: Look): Promise<string> {
  if (what === "link") return await Deno.readLink(path);
  return identityOf(await (what === "file" ? Deno.stat(path) : Deno.lstat(path)));
}

function identityOf({ dev, ino }: Deno.FileInfo): string {
  return `${dev}:${ino}`;
}

function tried<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (isOfSystem(error)) return undefined;
    throw error;
  }
}

function absent(error: unknown): undefined {
  if (!isOfSystem(error)) throw error;
}

function isOfSystem(error: unknown): boolean {
  return error instanceof Deno.errors.NotFound || error instanceof Deno.errors.PermissionDenied ||
    error instanceof Deno.errors.NotCapable || (error instanceof Error && "code" in error);
}
