/**
 * Paths of a process in another mount namespace, as they can be opened from here: through /proc/PID/root.
 * Symbolic links in such a path are resolved here relative to that root, because the kernel would resolve an
 * absolute one from our root.
 *
 * A path that leads to the same file from here is left unchanged: a systemd service has a mount namespace of
 * its own, but shares most of the host's files.
 * @module
 */

const MAX_LINKS = 16;
const MAX_PARTS = 128;

/** What is known of a path: its target if it is a link, or which file it is. */
interface Look {
  readonly what: "link" | "file" | "file or link";
  readonly path: string;
}

/** Reads a path; answers with text, or undefined if there is nothing. */
type Search<T> = Generator<Look, T, string | undefined>;

/**
 * Resolves a path inside a root.
 *
 * @returns the path without links, relative to the root; undefined if there are too many
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

/** A process's path as it can be opened from here; unchanged if unknown or the same. */
function* search(pid: number, path: string): Search<string> {
  if (!path.startsWith("/") || !isElsewhere(pid)) return path;
  const root = `/proc/${pid}/root`;
  const inside = yield* walk(root, path);
  if (inside === undefined) return path;
  const there = `${root}${inside}`;
  const found = yield { what: "file or link", path: there };
  return found === undefined || found === (yield { what: "file", path }) ? path : there;
}

/** Whether a process has another mount namespace; false if that may not be read. */
function isElsewhere(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    return Deno.readLinkSync(`/proc/${pid}/ns/mnt`) !== Deno.readLinkSync("/proc/self/ns/mnt");
  } catch (error) {
    if (isOfSystem(error)) return false;
    throw error;
  }
}

/** A process's path as it can be opened from here; unchanged if unknown or the same. */
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
