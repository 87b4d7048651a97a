/**
 * A hostile control as a process of another user: Python lines behind hostile_control.py, which speak the
 * socket's frames. What it prints is its report.
 * @module
 */
import type { DaemonProcess } from "../fixtures/daemon_process.ts";

const COMMON = Deno.readTextFileSync(new URL("./hostile_control.py", import.meta.url));
/** A process that hangs is a finding, not a wait for ever. */
const LIMIT_MS = 600_000;

/** Makes the daemon's folder passable for other users, as /run/vmsig is. */
export function openFolder(daemon: DaemonProcess): void {
  Deno.chmodSync(daemon.folder, 0o755);
}

/** A running one. */
export class HostileControl implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #errors: Promise<string>;
  /** What it has printed. */
  text = "";
  readonly #reading: Promise<void>;

  /**
   * Starts it.
   *
   * @param uid whose process it is
   * @param lines its Python
   */
  constructor(daemon: DaemonProcess, uid: number, lines: string) {
    const who = ["--reuid", `${uid}`, "--regid", `${uid}`, "--clear-groups"];
    this.#child = new Deno.Command("setpriv", {
      args: [...who, "python3", "-c", `${COMMON}\n\n${lines}`, daemon.socket],
      cwd: "/",
      // The system's own programs: what root has in its home nobody else may run.
      clearEnv: true,
      env: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#errors = new Response(this.#child.stderr).text();
    this.#reading = this.#read();
  }

  /** Waits for its end, and for what it said; throws when it failed. */
  async ended(): Promise<string> {
    const timer = setTimeout(() => this.#kill(), LIMIT_MS);
    const { code } = await this.#child.status;
    clearTimeout(timer);
    await this.#reading;
    const errors = await this.#errors;
    if (code !== 0) throw new Error(`the hostile control ended with ${code}: ${errors}\n${this.text}`);
    return this.text.trim();
  }

  /** Lets one that waits on its standard input go on. */
  async goOn(): Promise<void> {
    const writer = this.#child.stdin.getWriter();
    await writer.write(new TextEncoder().encode("\n"));
    writer.releaseLock();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#kill();
    await this.#child.stdin.close().catch(() => {});
    await this.#child.status;
    await this.#reading;
    await this.#errors;
  }

  #kill(): void {
    try {
      this.#child.kill("SIGKILL");
    } catch (error) {
      // It has ended already.
      if (!(error instanceof TypeError)) throw error;
    }
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const bytes of this.#child.stdout) this.text += decoder.decode(bytes, { stream: true });
  }
}

/** Runs one to its end: what it printed. */
export async function attack(daemon: DaemonProcess, uid: number, lines: string): Promise<string> {
  await using control = new HostileControl(daemon, uid, lines);
  return await control.ended();
}

/** Lines of a daemon's log that match. */
export function linesOf(daemon: DaemonProcess, pattern: RegExp): string[] {
  return daemon.logText.split("\n").filter((line) => pattern.test(line));
}
