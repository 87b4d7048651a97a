/**
 * What the lines of command_lines.ts stand on: a folder with a config, an image of a Linux guest's RAM, a
 * recording, and a socket that is taken; and how a word in capitals becomes one of them.
 * @module
 */
import { listenUnix, SOCKET, unlinkSocket } from "../../../ffi/unix_socket.ts";
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { type EndpointId, hexOfGva } from "../../../src/base/ids.ts";
import { encodeRecordingHeader } from "../../../src/event/recording.ts";
import { Output } from "../../../src/client/cli/output.ts";
import { type CommandStreams, runCommand } from "../../../src/client/cli/run_command.ts";
import { SyntheticLinux } from "../../fixtures/synthetic_linux.ts";
import type { CommandLineRow } from "./command_lines.ts";

/** How a line ended, and what it said. */
export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** The reader that stays. */
export const patientReader: CommandStreams["watchReader"] = () => ({
  signal: new AbortController().signal,
  [Symbol.dispose]() {},
});

/**
 * Runs a line in this process.
 *
 * @param write where standard output goes; it is gathered unless told
 */
export async function runHere(words: readonly string[], write?: (bytes: Uint8Array) => void): Promise<Ran> {
  let out = "";
  let err = "";
  const decoder = new TextDecoder();
  const code = await runCommand(words, {
    out: new Output(write ?? ((bytes) => (out += decoder.decode(bytes))), false),
    err: (line) => (err += `${line}\n`),
    watchReader: patientReader,
  });
  return { code, out, err };
}

/** A folder in which every line can run. */
export class CommandWorld implements Disposable {
  /** Where everything is. */
  readonly folder = Deno.makeTempDirSync({ prefix: "vmsig-lines-" });
  /** A recording of one endpoint and no events. */
  readonly recording = `${this.folder}/recording.cbor`;
  readonly #busy: OwnedFd;
  readonly #text: string;

  /** Makes everything. */
  constructor() {
    const kernel = new SyntheticLinux();
    kernel.processes([{ pid: 1, name: "init", mm: kernel.mm().mm }, { pid: 2, name: "kthreadd" }]);
    this.#text = hexOfGva(kernel.stext);
    const [segment] = kernel.ram.segments;
    const { buffer } = segment?.mapped as { readonly buffer: ArrayBuffer };
    Deno.writeFileSync(`${this.folder}/ram`, new Uint8Array(buffer));
    Deno.writeTextFileSync(`${this.folder}/vmsigd.toml`, "[discovery]\nprobe = false\n");
    const roster = [{
      endpoint: 0 as EndpointId,
      name: "web",
      state: "up",
      seams: ["vmhost"],
      pid: 0,
      vmid: 0,
    }] as const;
    const header = { host: { name: "h", kernel: "k" }, versions: {}, startedAt: "", startedNs: 0, roster };
    Deno.writeFileSync(this.recording, encodeRecordingHeader(header));
    const fifo = `${this.folder}/fifo`;
    const { success } = new Deno.Command("mkfifo", { args: [fifo] }).outputSync();
    if (!success) throw new Error(`Cannot make ${fifo}`);
    this.#busy = listenUnix(`${this.folder}/busy.sock`, SOCKET.SEQPACKET);
  }

  /** The words of a row, with `--json` when asked for. */
  words({ words, isWithoutSocket = false }: CommandLineRow, socket: string, json: boolean): string[] {
    const own = words.map((word) =>
      word.replace("FOLDER", this.folder).replace("BUSY", `${this.folder}/busy.sock`)
        .replace("RECORDING", this.recording).replace("FIFO", `${this.folder}/fifo`).replace(
          /^TEXT$/,
          this.#text,
        ).replace(
          /(^|:)RAM$/,
          `$1${this.folder}/ram`,
        )
    );
    const more = [...isWithoutSocket ? [] : ["--socket", socket], ...json ? ["--json"] : []];
    return [own[0] as string, ...more, ...own.slice(1)];
  }

  [Symbol.dispose](): void {
    this.#busy.close();
    unlinkSocket(`${this.folder}/busy.sock`);
    Deno.removeSync(this.folder, { recursive: true });
  }
}
