/**
 * socat as the peer of benchmarks of consoles: its standard input and output are the console.
 * @module
 */
import { Fault } from "../../src/base/fault.ts";

/** A running socat. */
export class Socat implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;

  /**
   * Starts it.
   *
   * @throws {Fault} `missing` when it is not installed
   */
  constructor(args: string[]) {
    try {
      this.#child = new Deno.Command("socat", { args, stdin: "piped", stdout: "piped" }).spawn();
    } catch (error) {
      throw new Fault("missing", "Cannot run socat: it is not installed; run scripts/setup.sh bench", {
        cause: error,
      });
    }
    this.#reader = this.#child.stdout.getReader();
    this.#writer = this.#child.stdin.getWriter();
  }

  /**
   * The next bytes.
   *
   * @throws {Fault} `refused` when it has ended
   */
  async read(): Promise<Uint8Array> {
    const { value, done } = await this.#reader.read();
    if (done) throw new Fault("refused", "socat ended");
    return value;
  }

  /** Sends text or bytes. */
  async write(what: string | Uint8Array): Promise<void> {
    await this.#writer.write(typeof what === "string" ? new TextEncoder().encode(what) : what);
  }

  /** Ends it. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#reader.cancel();
    await this.#writer.abort().catch(() => {});
    await this.#child.status;
  }
}
