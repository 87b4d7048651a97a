/**
 * `vmsig screen`: a VM's screen as a PNG file, one per change, or its text. An endpoint's pictures come from
 * the daemon, whatever their source; those of `pid:N` are taken by this process itself.
 * @module
 */
import { OPEN, reopen } from "../../../ffi/memfd.ts";
import { isOsError } from "../../../ffi/os_error.ts";
import { Fault, messageOf } from "../../base/fault.ts";
import { MAX_HEADS } from "../../base/limits.ts";
import { oneLine } from "../../base/printable.ts";
import { type Picture, toPicture } from "../../vgpu/picture.ts";
import { encodePng } from "../../vgpu/png.ts";
import { scalePicture } from "../../vgpu/scale.ts";
import type { Client } from "../client.ts";
import type { Frame } from "../frame.ts";
import type { Call, CommandModule } from "./command.ts";
import { usage } from "./command_line.ts";
import { pidOf } from "./open_guest.ts";
import { takeLocally } from "./screen_local.ts";
import { visible } from "./table.ts";

const SOURCES = ["auto", "vgpu", "qmp"];
const STDOUT = "-";

/** What is reported about a picture. */
interface Told {
  readonly path: string;
  readonly source: string;
  readonly head: number;
  readonly width: number;
  readonly height: number;
  readonly format: number;
  readonly frameId: number;
  readonly timestampNs: number;
  readonly stopped: boolean;
}

/** The command. */
export const screen: CommandModule = {
  args: { min: 1, max: 1 },
  options: {
    out: {
      takes: "text",
      value: "FILE.png",
      letter: "o",
      help: "where the picture goes (screen.png); - is standard output",
    },
    head: { takes: "number", value: "N", max: MAX_HEADS - 1, help: "which head of the VM (0)" },
    scale: {
      takes: "number",
      value: "F",
      fraction: true,
      min: 0.01,
      max: 8,
      help: "resize the picture: 0.5 halves each side",
    },
    text: { takes: "nothing", help: "print the text on the screen instead" },
    ocr: {
      takes: "nothing",
      help: "with --text: recognise it in the picture, with tesseract on this machine",
    },
    language: { takes: "text", value: "L", help: "with --ocr: tesseract's data, eng (default) or deu+eng" },
    watch: {
      takes: "text",
      value: "DIR",
      help: "write a file for each change, NAME-000001.png and so on, until Ctrl-C",
    },
    source: {
      takes: "text",
      value: "S",
      choices: SOURCES,
      help: "for pid:N: vgpu (the guest's producer), qmp (QEMU itself) or auto (default)",
    },
  },
  details:
    `The picture of an endpoint comes from the daemon: from the guest's vgpu producer when it has one, else from what the
endpoint's config says under display (auto: the best source that disturbs nobody; vmsig ls shows which). For pid:N
no daemon is needed. A screendump then needs a monitor that no other client uses (-qmp
unix:PATH,server=on,wait=off). Of a VM that is paused, the last picture is taken, with a note that says so.

--text reads a Linux guest's consoles and fonts from its RAM, if QEMU shares it; without that, only text in the fonts
of VGA is recognised.`,
  examples: [
    "screen web -o web.png",
    "screen web --text",
    "screen web --text --ocr",
    "screen web -o - --scale 0.5",
    "screen web --watch /tmp/shots",
    "screen pid:4711 --source qmp",
  ],
  async run(call) {
    const [ref = ""] = call.args;
    const source = call.text("source");
    if (source !== undefined && !SOURCES.includes(source)) {
      throw usage("screen", `there is no source ${visible(source)}; it is vgpu, qmp or auto`);
    }
    if (ref.startsWith("pid:") && pidOf(ref) === undefined) {
      throw usage("screen", `${visible(ref)} is not a process: write pid:N`);
    }
    const dir = call.text("watch");
    if (call.flag("text") && (dir !== undefined || call.text("out") !== undefined)) {
      throw usage("screen", "--text prints the text; leave out --watch and --out");
    }
    if (call.flag("text") && call.number("scale") !== undefined) {
      throw usage("screen", "--text prints the text, and no picture to scale; leave out --scale");
    }
    if (call.flag("ocr") && !call.flag("text")) throw usage("screen", "--ocr is for --text");
    if (call.text("language") !== undefined && !call.flag("ocr")) {
      throw usage("screen", "--language is for --ocr");
    }
    if (dir !== undefined && call.text("out") !== undefined) {
      throw usage("screen", "--watch and --out say both where pictures go; give one of them");
    }
    if (/^(pid|file):/.test(ref) || source !== undefined) {
      if (call.flag("text")) throw usage("screen", "--text is for an endpoint of the daemon");
      for (const name of ["watch", "head"]) {
        if (call.text(name) !== undefined || call.number(name) !== undefined) {
          throw usage("screen", `--${name} is for an endpoint of the daemon`);
        }
      }
      return await shootLocally(call, ref, source ?? "auto");
    }
    await using client = await call.connect({ sources: ["CORE", "FRAME"] });
    if (call.flag("ocr")) await guess(call, client, ref);
    else if (call.flag("text")) await read(call, client, ref);
    else if (dir === undefined) await shoot(call, client, ref);
    else await watch(call, client, ref, dir);
  },
};

/** The text as recognised by tesseract. */
async function guess(call: Call, client: Client, ref: string): Promise<void> {
  const { recognise } = await import("../ocr.ts");
  const head = call.number("head");
  const frame = await client.frame(ref, { signal: call.signal, ...(head === undefined ? {} : { head }) });
  const lines = await recognise(frame.picture(), { language: call.text("language"), signal: call.signal });
  if (call.json) call.out.json({ source: "ocr", lines: lines.map(oneLine) });
  else for (const line of lines) call.out.line(visible(line));
}

async function shootLocally(call: Call, ref: string, wanted: string): Promise<void> {
  const { source, bytes, info } = await takeLocally(call, ref, wanted);
  const path = call.text("out") ?? "screen.png";
  const { width, height } = await write(call, path, toPicture(bytes, info));
  const { format, frameId, timestampNs } = info;
  report(call, { path, source, head: 0, width, height, format, frameId, timestampNs, stopped: false });
}

async function shoot(call: Call, client: Client, ref: string): Promise<void> {
  const frame = await client.frame(ref, { ...headOf(call), signal: call.signal });
  const path = call.text("out") ?? "screen.png";
  const written = await write(call, path, frame.picture());
  report(call, toldOf(path, await sourceOf(client, ref, frame.head), frame, written));
}

async function read(call: Call, client: Client, ref: string): Promise<void> {
  const text = await client.screenText(ref, { ...headOf(call), signal: call.signal });
  if (call.json) return call.out.json(text);
  let last = text.lines.length;
  while (last > 0 && text.lines[last - 1] === "") last--;
  for (const line of text.lines.slice(0, last)) call.out.line(oneLine(line));
}

async function watch(call: Call, client: Client, ref: string, dir: string): Promise<void> {
  const endpoint = await client.endpoint(ref);
  // A name has letters, digits and a few signs, and no slash: see nameDefect.
  const name = client.roster.nameOf(endpoint);
  let count = 0;
  const pathOf = () => `${dir}/${name}-${String(count).padStart(6, "0")}.png`;
  let last: { readonly frame: Frame; readonly size: Picture } | undefined;
  try {
    for await (const frame of client.frames(ref, { ...headOf(call), signal: call.signal })) {
      // The VM was paused or resumed: this frame has been written already, and only the change is reported.
      const known = last !== undefined && isSameFrame(frame, last.frame) ? last.size : undefined;
      // Only when there is something to write, so that a refusal leaves no folder.
      if (count === 0) await makeFolder(dir);
      if (known === undefined) count++;
      const size = known ?? await write(call, pathOf(), frame.picture());
      last = { frame, size };
      report(call, toldOf(pathOf(), await sourceOf(client, ref, frame.head), frame, size));
    }
  } catch (error) {
    // Ctrl-C is the normal end.
    if (!(error instanceof Fault && error.code === "interrupted" && count > 0)) throw error;
  }
}

async function makeFolder(dir: string): Promise<void> {
  try {
    await Deno.mkdir(dir, { recursive: true });
  } catch (error) {
    throw unwritable(dir, error);
  }
}

/** Whether two are the same frame: with another source numbers may start again, but times do not. */
function isSameFrame(one: Frame, other: Frame): boolean {
  return one.frameId === other.frameId && one.timestampNs === other.timestampNs;
}

function headOf(call: Call): { readonly head?: number } {
  const head = call.number("head");
  return head === undefined ? {} : { head };
}

async function sourceOf(client: Client, ref: string, head: number): Promise<string> {
  const { heads } = await client.display(ref);
  return heads[head]?.source ?? "";
}

/** What is reported about a frame: the size is that of the written picture. */
function toldOf(path: string, source: string, frame: Frame, { width, height }: Picture): Told {
  const { head, format, frameId, timestampNs, isStopped: stopped } = frame;
  return { path, source, head, width, height, format, frameId, timestampNs, stopped };
}

/**
 * Writes the picture, also into a pipe that has a reader; opening one without a reader would wait for ever,
 * and no signal would end that.
 *
 * @returns the picture as written, which may be scaled
 */
async function write(call: Call, path: string, taken: Picture): Promise<Picture> {
  const scale = call.number("scale");
  const picture = scale === undefined ? taken : scalePicture(taken, scale);
  const png = encodePng(picture);
  if (path === STDOUT) {
    call.out.bytes(png);
    return picture;
  }
  using _reader = readerOf(path);
  const { signal } = call;
  const { promise: interrupted, reject } = Promise.withResolvers<never>();
  const abort = () => reject(new Fault("interrupted", "Cannot write the picture: interrupted"));
  signal.addEventListener("abort", abort);
  try {
    await Promise.race([Deno.writeFile(path, png), interrupted]);
    return picture;
  } catch (error) {
    throw unwritable(path, error);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

/**
 * Keeps a named pipe open for reading while it is opened for writing; undefined for anything else.
 *
 * @throws {Fault} `refused` when nobody reads from it
 */
function readerOf(path: string): Disposable | undefined {
  try {
    if (!Deno.statSync(path).isFifo) return undefined;
    return reopen(path, OPEN.WRITE_ONLY | OPEN.NONBLOCK);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    if (isOsError(error, "ENXIO")) {
      throw new Fault("refused", `Cannot write ${path}: it is a pipe without a reader`, { cause: error });
    }
    throw unwritable(path, error);
  }
}

function unwritable(path: string, error: unknown): unknown {
  if (error instanceof Deno.errors.NotCapable || error instanceof Fault) return error;
  return new Fault("refused", `Cannot write ${path}: ${reasonOf(error)}`, { cause: error });
}

/** Deno's message repeats the call and the path. */
function reasonOf(error: unknown): string {
  if (error instanceof Deno.errors.IsADirectory) return "it is a folder; name a file in it";
  if (error instanceof Deno.errors.AlreadyExists) return "it is a file; name a folder";
  if (error instanceof Deno.errors.NotFound) return "there is no such folder";
  return messageOf(error).replace(/: (?:writefile|mkdir) '.*'$/s, "");
}

function report(call: Call, told: Told): void {
  // Standard output has the picture itself.
  if (told.path === STDOUT) return;
  if (call.json) return call.out.json(told);
  const { path, width, height, source, head, stopped } = told;
  // The display may be gone since its picture was taken.
  const by = source === "" ? "" : `, by ${source}`;
  const which = head === 0 ? "" : `, head ${head}`;
  call.out.line(
    `${path}: ${width}x${height}${by}${which}${stopped ? " (the VM is paused)" : ""}`,
  );
}
