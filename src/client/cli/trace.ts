/**
 * `vmsig trace`: a recording as one page, or as a film.
 * @module
 */
import { readRegularFile } from "../../../ffi/regular_file.ts";
import { Fault, messageOf } from "../../base/fault.ts";
import { createPrivate } from "../record/private_file.ts";
import { readTrace, type TraceModel } from "../trace/trace_model.ts";
import type { Film } from "../trace/trace_film.ts";
import { TracePage } from "../trace/trace_page.ts";
import type { CommandModule } from "./command.ts";
import { usage } from "./command_line.ts";
import { note } from "./note.ts";
import { visible } from "./table.ts";

/** The whole recording is in memory while it is read. */
const MAX_BYTES = 2 ** 31;

/** The command. */
export const trace: CommandModule = {
  args: { min: 1, max: 1 },
  isClient: false,
  options: {
    output: {
      takes: "text",
      letter: "o",
      value: "FILE.html",
      help: "the page (default: RECORDING.html; no page with --gif or --mp4)",
    },
    gif: { takes: "text", value: "FILE", help: "the pictures as a GIF" },
    mp4: { takes: "text", value: "FILE", help: "the pictures as an MP4, made with ffmpeg on this machine" },
  },
  details:
    `Makes one self-contained HTML file of a recording: a filmstrip, and the screen before and after every action with
the events, consoles and processes beside it, searchable. Actions are the steps of a test of the testing library,
and the leases of controls, including models. An incomplete recording is shown as far as it goes. The file shows
everything that was on the screens and typed; only you can read it (0600). "vmsig record --trace FILE" makes
recordings for it.

A GIF or MP4 shows the first screen at its recorded pace, with pauses shortened to a second.`,
  examples: [
    "trace run.vmsig -o run.html",
    "trace run.vmsig --gif run.gif",
  ],
  async run(call) {
    const [path = ""] = call.args;
    const [gif, mp4] = [call.text("gif"), call.text("mp4")];
    const isPageWanted = call.text("output") !== undefined || (gif === undefined && mp4 === undefined);
    const output = isPageWanted
      ? call.text("output") ?? `${path.replace(/\.(vmsig|cbor)$/, "")}.html`
      : undefined;
    for (const file of [output, gif, mp4]) {
      if (file === "" || file === path) throw usage("trace", "what is made needs a name of its own");
    }
    const bytes = readFile(path);
    const films: [Film, string | undefined][] = [];
    if (gif !== undefined || mp4 !== undefined) {
      const { filmSize, GifFilm, Mp4Film } = await import("../trace/trace_film.ts");
      const size = filmSize(bytes);
      if (gif !== undefined) films.push([new GifFilm(size), gif]);
      if (mp4 !== undefined) films.push([new Mp4Film(mp4, size), undefined]);
    }
    const page = new TracePage();
    const frames = readTrace(bytes);
    let model: TraceModel;
    for (;;) {
      const { done, value } = frames.next();
      if (done) {
        model = value;
        break;
      }
      if (isPageWanted) page.add(value);
      for (const [film] of films) await film.add(value);
      if (call.signal.aborted) throw new Fault("interrupted", "Cannot go on: interrupted");
    }
    if (model.defect !== "") note(call, `${visible(path)} is shown up to where it is whole: ${model.defect}`);
    const made: string[] = [];
    if (output !== undefined) {
      write(output, page.parts(model, path.slice(path.lastIndexOf("/") + 1)));
      made.push(output);
    }
    for (const [film, file] of films) {
      const whole = await film.finish();
      if (whole !== undefined && file !== undefined) write(file, [whole]);
      made.push(file ?? mp4 ?? "");
    }
    const { actions, events } = model;
    if (call.json) {
      call.out.json({ files: made, actions: actions.length, events: events.length, pictures: page.count });
    } else {
      const what = `${actions.length} actions, ${events.length} events, ${page.count} pictures`;
      for (const file of made) call.out.line(file === output ? `${visible(file)}: ${what}` : visible(file));
    }
  },
};

function write(path: string, parts: Iterable<string | Uint8Array>): void {
  try {
    const { file } = createPrivate(path);
    try {
      const encoder = new TextEncoder();
      for (const part of parts) {
        const bytes = typeof part === "string" ? encoder.encode(part) : part;
        for (let done = 0; done < bytes.length;) done += file.writeSync(bytes.subarray(done));
      }
    } finally {
      file.close();
    }
  } catch (error) {
    throw new Fault("refused", `Cannot write ${path}: ${messageOf(error)}`, { cause: error });
  }
}

function readFile(path: string): Uint8Array {
  try {
    return readRegularFile(path, MAX_BYTES);
  } catch (error) {
    throw new Fault("refused", `Cannot read the recording ${path}: ${messageOf(error)}`, { cause: error });
  }
}
