/**
 * One control that stays on the bus and measures its ping-pong a round at a time, as bus.pingpong does: so
 * that what is compared is one connection under different weather, and a daemon that keeps its door shut to
 * newcomers is measured all the same.
 * @module
 */

/** A round's figures. */
export interface Pings {
  /** us. */
  readonly p50: number;
  /** us. */
  readonly p99: number;
  /** us. */
  readonly longest: number;
  /** How many there were. */
  readonly count: number;
}

/** A pinger. */
export class Pinger implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  #text = "";

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.#writer = child.stdin.getWriter();
    this.#reader = child.stdout.getReader();
  }

  /**
   * Joins.
   *
   * @param floor the compiled bus_floor
   * @param seconds how long a round may take
   * @param first whether it is to run before all ordinary processes (SCHED_RR)
   * @throws {Error} when it is not let in, or may not run first
   */
  static async join(floor: string, socket: string, seconds: number, first: boolean): Promise<Pinger> {
    const words = [floor, "pinger", socket, `${seconds}`, "hello"];
    const [program = "", ...args] = first ? ["chrt", "--rr", "1", ...words] : words;
    const options = { args, stdin: "piped", stdout: "piped", stderr: "inherit" } as const;
    const pinger = new Pinger(new Deno.Command(program, options).spawn());
    try {
      if (await pinger.#line() !== "joined") throw new Error("the ping-pong's control could not join");
    } catch (error) {
      await pinger[Symbol.asyncDispose]();
      throw error;
    }
    return pinger;
  }

  /**
   * Measures a round of at most so many.
   *
   * @throws {Error} when the daemon has ended the connection
   */
  async round(count: number): Promise<Pings> {
    await this.#writer.write(new TextEncoder().encode(`${count}\n`));
    const [p50 = NaN, p99 = NaN, longest = NaN, made = NaN] = (await this.#line()).split(" ").map(Number);
    if (Number.isNaN(made)) throw new Error("the daemon has closed the ping-pong's control, or has ended");
    return { p50, p99, longest, count: made };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.#writer.close();
    } catch (error) {
      // It has ended by itself: there is nobody to write to.
      if (!(error instanceof Deno.errors.BrokenPipe) && !(error instanceof TypeError)) throw error;
    }
    await this.#child.status;
    await this.#reader.cancel();
  }

  async #line(): Promise<string> {
    while (!this.#text.includes("\n")) {
      const { value, done } = await this.#reader.read();
      if (done) return "";
      this.#text += new TextDecoder().decode(value);
    }
    const end = this.#text.indexOf("\n");
    const line = this.#text.slice(0, end);
    this.#text = this.#text.slice(end + 1);
    return line;
  }
}
