/**
 * Which version of a package apt would install, asked once for each state of its lists: an answer takes apt
 * most of a second of a processor. Not for packages of another architecture (kernel_package.ts).
 * @module
 */
import { cached, exists } from "./content_cache.ts";

/** Where apt has its lists; the folder changes whenever it gets new ones. */
const APT_LISTS = "/var/lib/apt/lists";

/** When apt last got new lists, ms since 1970; 0 without lists. */
export async function aptListsTime(): Promise<number> {
  return await exists(APT_LISTS) ? (await Deno.stat(APT_LISTS)).mtime?.getTime() ?? 0 : 0;
}

/**
 * The version that apt would install.
 *
 * @param policyOf gives what `apt-cache policy` says of a package, or throws
 * @returns undefined when apt knows none
 */
export async function aptCandidate(
  name: string,
  policyOf: (name: string) => Promise<string>,
): Promise<string | undefined> {
  const path = await cached("resolved", `${name}-candidate-${await aptListsTime()}`, async (staging) => {
    const version = /Candidate: (\S+)/.exec(await policyOf(name))?.[1] ?? "(none)";
    await Deno.writeTextFile(staging, version);
  });
  const version = await Deno.readTextFile(path);
  return version === "(none)" ? undefined : version;
}
