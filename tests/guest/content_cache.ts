/**
 * A cache of built things in tests/.cache, named by the hash of everything that went into them. Safe when
 * several test runs share a checkout: a thing is built aside and appears by rename, whole or not at all.
 * It forgets the oldest things of a kind past a size; it does not watch for someone editing what it holds.
 * @module
 */

/** The cache's folder (git ignores it). */
export const CACHE_DIR: string = new URL("../.cache/", import.meta.url).pathname;

/** How long a thing is safe from being forgotten after its last use: a QEMU may be about to open it. */
const KEEP_MS = 10 * 60_000;

/** The hash of several parts, each counted with its length, as 32 hex digits. */
export async function contentHash(parts: readonly (string | Uint8Array<ArrayBuffer>)[]): Promise<string> {
  const encoder = new TextEncoder();
  const digests: Uint8Array<ArrayBuffer>[] = [];
  for (const part of parts) {
    const bytes = typeof part === "string" ? encoder.encode(part) : part;
    digests.push(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
  }
  const whole = new Uint8Array(await new Blob(digests).arrayBuffer());
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", whole));
  return [...digest.subarray(0, 16)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

const fileHashes = new Map<string, string>();

/** The hash of a file's content; a file that has not changed (size, time, inode) is hashed once a process. */
export async function fileHash(path: string): Promise<string> {
  const stat = await Deno.stat(path);
  const key = `${path} ${stat.size} ${stat.mtime?.getTime()} ${stat.ino}`;
  const known = fileHashes.get(key);
  if (known !== undefined) return known;
  const hash = await contentHash([await Deno.readFile(path)]);
  fileHashes.set(key, hash);
  return hash;
}

/** True when there is something at this path. */
export async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/**
 * The path of a cached file or folder; `make` builds it when it is not there.
 *
 * @param kind the sub-folder
 * @param name its name, with the hash of what went into it
 * @param make writes the thing at the path it is given, which does not exist yet
 */
export async function cached(
  kind: string,
  name: string,
  make: (stagingPath: string) => Promise<void>,
): Promise<string> {
  const folder = `${CACHE_DIR}${kind}`;
  const path = `${folder}/${name}`;
  if (await exists(path)) {
    await markUsed(path);
    return path;
  }
  await Deno.mkdir(folder, { recursive: true });
  const staging = await Deno.makeTempDir({ dir: folder, prefix: ".staging-" });
  try {
    await make(`${staging}/it`);
    try {
      await Deno.rename(`${staging}/it`, path);
    } catch (error) {
      // Another run was faster: its thing is the same by its name.
      if (!(await exists(path))) throw error;
    }
  } finally {
    await Deno.remove(staging, { recursive: true });
  }
  return path;
}

async function markUsed(path: string): Promise<void> {
  const now = new Date();
  try {
    await Deno.utime(path, now, now);
  } catch (error) {
    // Another user's cache, which we may read only, or a thing just forgotten and about to be missed.
    if (!(error instanceof Deno.errors.PermissionDenied || error instanceof Deno.errors.NotFound)) {
      throw error;
    }
  }
}

/** Forgets the least recently used files of a kind until they take at most `maxBytes`. */
export async function forgetOldest(kind: string, maxBytes: number): Promise<void> {
  const folder = `${CACHE_DIR}${kind}`;
  const files: { path: string; sizeBytes: number; usedMs: number }[] = [];
  for await (const entry of Deno.readDir(folder)) {
    const path = `${folder}/${entry.name}`;
    try {
      const stat = await Deno.stat(path);
      files.push({ path, sizeBytes: stat.size, usedMs: stat.mtime?.getTime() ?? 0 });
    } catch (error) {
      // Another run forgot it first.
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  files.sort((a, b) => b.usedMs - a.usedMs);
  const nowMs = Date.now();
  let total = 0;
  for (const file of files) {
    total += file.sizeBytes;
    if (total <= maxBytes || nowMs - file.usedMs < KEEP_MS) continue;
    try {
      await Deno.remove(file.path, { recursive: true });
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
}
