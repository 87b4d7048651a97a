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

/** A path inside of the root of which it is asked where it leads, when it is a link. */
interface Look {
  readonly link: string;
}

/**
 * Walks a path inside of a root.
 *
 * @returns the path without links, inside; undefined when it has too many
 */
function* walk(path: string): Generator<Look, string | undefined, string | undefined> {
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
    const target = yield { link: `/${[...done, part].join("/")}` };
    if (target === undefined) done.push(part);
    else {
      if (++links > MAX_LINKS) return undefined;
      if (target.startsWith("/")) done = [];
      left = [...target.split("/"), ...left];
    }
  }
  return `/${done.join("/")}`;
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
  if (!path.startsWith("/") || !isElsewhere(pid)) return path;
  const root = `/proc/${pid}/root`;
  const walking = walk(path);
  let step = walking.next();
  while (step.done !== true) {
    const { link } = step.value;
    step = walking.next(await Deno.readLink(`${root}${link}`).catch(absent));
  }
  if (step.value === undefined) return path;
  const there = `${root}${step.value}`;
  const [here, inside] = await Promise.all([Deno.stat(path).catch(absent), Deno.lstat(there).catch(absent)]);
  return choose(path, there, here, inside);
}

/** The same at once, for who is about to connect to it anyway. */
export function pathFromHereSync(pid: number, path: string): string {
  if (!path.startsWith("/") || !isElsewhere(pid)) return path;
  const root = `/proc/${pid}/root`;
  const walking = walk(path);
  let step = walking.next();
  while (step.done !== true) {
    const { link } = step.value;
    step = walking.next(tried(() => Deno.readLinkSync(`${root}${link}`)));
  }
  if (step.value === undefined) return path;
  const there = `${root}${step.value}`;
  return choose(path, there, tried(() => Deno.statSync(path)), tried(() => Deno.lstatSync(there)));
}

function choose(
  path: string,
  there: string,
  here: Deno.FileInfo | undefined,
  inside: Deno.FileInfo | undefined,
): string {
  if (inside === undefined) return path;
  return here !== undefined && here.dev === inside.dev && here.ino === inside.ino ? path : there;
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
