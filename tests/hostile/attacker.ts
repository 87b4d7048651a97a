/**
 * Attackers: C programs of this folder, as processes of another user. Each is bounded by a count and a time,
 * says "attacking" once it is under way and its totals when it ends (attack.h). They go at one daemon's
 * sockets and at nothing else.
 * @module
 */
import { asUser } from "../unit/daemon/foreign_control.ts";
import { compiledProgram } from "../guest/c_program.ts";

const SOURCES = new URL("./", import.meta.url).pathname;
const FRAMES = new URL("../bench/c/control.h", import.meta.url).pathname;

/** What became of an attack. */
export interface AttackTotals {
  /** Attacks carried through: connections, lines or descriptors. */
  readonly sent: number;
  /** Those that were answered. */
  readonly answered: number;
  /** Those that the daemon ended without a word. */
  readonly closed: number;
  /** Those that got neither within 12 s, or could not be made for so long. */
  readonly late: number;
  /** Connects that nobody took, or that were turned away. */
  readonly refused: number;
  /** How long it took. */
  readonly seconds: number;
}

/** An attack under way. */
export interface Attacker extends AsyncDisposable {
  readonly pid: number;
  /** Waits until it has ended by itself. */
  finish(): Promise<AttackTotals>;
  /** Ends it, and gives what it has done so far. */
  stop(): Promise<AttackTotals>;
  /** Tells it to end. */
  end(): void;
}

/**
 * Compiles a program of this folder into a place where another user may run it.
 *
 * @param folder a folder that other users may enter; whoever made it removes it
 * @returns the program's path
 */
export async function placeAttacker(name: string, folder: string): Promise<string> {
  // A header outside the sources' folder is a reason to compile anew, too.
  const frames = Deno.statSync(FRAMES).mtime?.getTime() ?? 0;
  const sources = [`${SOURCES}${name}.c`];
  const { path } = await compiledProgram({ name, sources, flags: [`-DFRAMES_OF=${frames}`] });
  const place = `${folder}/${name}`;
  await Deno.copyFile(path, place);
  await Deno.chmod(place, 0o755);
  return place;
}

/**
 * Starts an attack, and waits until its workers are under way.
 *
 * @param program from {@linkcode placeAttacker}
 * @param uid whom it runs as
 */
export async function attack(program: string, args: readonly string[], uid: number): Promise<Attacker> {
  const [wrapper = "", ...words] = asUser({ uid, gid: uid });
  const child = new Deno.Command(wrapper, {
    args: [...words, program, ...args],
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  let hasEnded = false;
  const ended = child.status.then((status) => {
    hasEnded = true;
    return status;
  });
  let text = "";
  const underWay = Promise.withResolvers<void>();
  const reading = (async () => {
    const decoder = new TextDecoder();
    for await (const bytes of child.stdout) {
      text += decoder.decode(bytes, { stream: true });
      if (text.includes("attacking\n")) underWay.resolve();
    }
    underWay.resolve();
  })();
  await underWay.promise;
  const finish = async (): Promise<AttackTotals> => {
    const { code } = await ended;
    await reading;
    if (code !== 0) throw new Error(`${program} ${args.join(" ")}: ended with ${code}: ${text}`);
    return totalsOf(text);
  };
  const tell = (signal: Deno.Signal): void => {
    if (!hasEnded) child.kill(signal);
  };
  return {
    pid: child.pid,
    finish,
    stop() {
      tell("SIGTERM");
      return finish();
    },
    end: () => tell("SIGTERM"),
    async [Symbol.asyncDispose]() {
      // Its workers die with it.
      tell("SIGKILL");
      await ended;
      await reading;
    },
  };
}

function totalsOf(text: string): AttackTotals {
  const line = text.trim().split("\n").at(-1) ?? "";
  const [sent = NaN, answered = NaN, closed = NaN, late = NaN, refused = NaN, seconds = NaN] = line.split(" ")
    .map(Number);
  if (Number.isNaN(seconds)) throw new Error(`an attacker told no totals: ${text}`);
  return { sent, answered, closed, late, refused, seconds };
}
