/**
 * Guests that stand where a boot has ended: the state of a machine is saved once its agent answers, kept in
 * tests/.cache by everything that went into it, and loaded from there. A boot under TCG takes two and a half
 * seconds of a processor, a load a third of one.
 *
 * Every such guest of one machine is the same boot: the same layout of its kernel, the same boot_id, nothing
 * on its console. A test of finding a kernel, of a boot or of several guests boots them (startGuest).
 * @module
 */
import { CACHE_DIR, cached, contentHash, fileHash, forgetOldest } from "./content_cache.ts";
import { GuestError } from "./guest_process.ts";
import { bootArguments, type GuestOptions, onPath, Qemu, startGuest } from "./qemu.ts";
import { TestQmp } from "./test_qmp.ts";

const KIND = "states";
/**
 * Of all states together; one of a guest with 512 MiB takes 100 MB, and a gate needs some forty. Were it
 * less than those take, each state would be gone before it is used again.
 */
const MAX_STATE_BYTES = 10e9;
/** What tests run in a guest; all of it is in each image, so that one state does for many tests. */
const COMMON_PROGRAMS = ["evrec", "insight", "pattern", "procs", "talker", "vgpu_producer", "worker"];
const SAVE_MS = 480_000;
const LOAD_MS = 480_000;
/** Where temporary folders and files are made; each run of the gate has a folder of its own for them. */
const TEMPORARY_FOLDERS = [Deno.env.get("TMPDIR")?.replace(/\/+$/, "") || "/tmp", "/tmp", "/dev/shm"];

/**
 * Starts a guest from its saved state; boots it and saves that when there is none yet.
 *
 * @throws {Fault} `missing` when this machine lacks QEMU or the builder's tools
 * @throws {GuestError} when it does not come up, or a device of it cannot be saved
 */
export async function startSavedGuest(asked: GuestOptions = {}): Promise<Qemu> {
  const programs = [...new Set([...COMMON_PROGRAMS, ...asked.programs ?? []])];
  const options: GuestOptions = { ...asked, programs };
  const boot = await bootArguments(options);
  const path = await stateOf(options, boot);
  const guest = await Qemu.start(options, [...boot, "-incoming", "defer"]);
  try {
    await load(guest, path);
    await guest.agent.resume();
    return guest;
  } catch (error) {
    await guest[Symbol.asyncDispose]();
    throw new GuestError(`Cannot start a guest from its saved state: ${error}\nQEMU: ${guest.errorText}`);
  }
}

/** Loads it, and waits until it runs: what its serial port gets before is gone with the load. */
async function load(guest: Qemu, path: string): Promise<void> {
  await using qmp = await TestQmp.connect(guest.qmpPath);
  await qmp.execute("migrate-incoming", { uri: await uriOf(qmp, path, `cat ${path}`) });
  await settled(qmp, "query-status", ({ status }) => status === "running", LOAD_MS);
}

async function stateOf(options: GuestOptions, boot: readonly string[]): Promise<string> {
  const hash = await contentHash([
    await qemuVersion(options),
    await Deno.readTextFile(new URL(import.meta.url)),
    machineOf(options, boot),
  ]);
  let isNew = false;
  const path = await cached(KIND, hash, async (staging) => {
    isNew = true;
    await using guest = await startGuest(options);
    await save(guest.qmpPath, staging);
  });
  if (isNew) await forgetOldest(KIND, MAX_STATE_BYTES);
  return path;
}

/** What a state belongs to. */
function machineOf(options: GuestOptions, boot: readonly string[]): string {
  const { machine, ramMiB, memory, cpu, smp, devices, extraArgs = [] } = options;
  return withoutPlaces(JSON.stringify({ machine, ramMiB, memory, cpu, smp, devices, extraArgs, boot }));
}

/**
 * A machine's arguments without the folders where this run and this checkout have their files: a state that
 * was named by them would never be found again. What the cache holds is named by its content.
 *
 * @param temporary the folders of temporary files, the innermost first
 */
export function withoutPlaces(
  words: string,
  cache: string = CACHE_DIR,
  temporary: readonly string[] = TEMPORARY_FOLDERS,
): string {
  return temporary.reduce(
    (text, folder) => text.replaceAll(new RegExp(`${RegExp.escape(folder)}/[^,\\s/"]+`, "g"), "TEMPORARY"),
    words.replaceAll(cache, "CACHE/"),
  );
}

/** QEMU's own file: another version of it loads no state of this one. */
async function qemuVersion({ machine }: GuestOptions): Promise<string> {
  const qemu = await onPath(machine === "virt" ? "qemu-system-aarch64" : "qemu-system-x86_64");
  return qemu === undefined ? "" : await fileHash(qemu);
}

/** Saves a guest that runs, so that it runs again as soon as it is loaded. */
async function save(qmpPath: string, path: string): Promise<void> {
  await using qmp = await TestQmp.connect(qmpPath);
  await qmp.execute("migrate-set-parameters", { "max-bandwidth": 2 ** 40 });
  await qmp.execute("migrate", { uri: await uriOf(qmp, path, `cat > ${path}`) });
  const isOver = ({ status }: Told) => status === "completed" || status === "failed";
  const told = await settled(qmp, "query-migrate", isOver, SAVE_MS);
  if (told.status !== "completed") throw new GuestError(`Cannot save a guest: ${JSON.stringify(told)}`);
}

/**
 * The URI of a saved state. By a command only where QEMU knows no files (before 8.2): one of another suite
 * (tests/nightly) has its own C library, which this machine's commands do not start with.
 */
async function uriOf(qmp: TestQmp, path: string, command: string): Promise<string> {
  const { qemu } = await qmp.execute("query-version") as { qemu: { major: number; minor: number } };
  return qemu.major * 100 + qemu.minor >= 802 ? `file:${path}` : `exec:${command}`;
}

interface Told {
  readonly status: string;
}

/** Asks until the answer is the one that is waited for. */
async function settled(
  qmp: TestQmp,
  query: string,
  isSettled: (told: Told) => boolean,
  limitMs: number,
): Promise<Told> {
  for (const endMs = performance.now() + limitMs;;) {
    const told = await qmp.execute(query) as Told;
    if (isSettled(told)) return told;
    if (performance.now() > endMs) throw new GuestError(`${query} says ${told.status} for ${limitMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
