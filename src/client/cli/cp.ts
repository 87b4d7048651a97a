/**
 * `vmsig cp`: copies a file to or from a guest through its agent.
 * @module
 */
import { Fault, messageOf } from "../../base/fault.ts";
import { MAX_AGENT_PIECE } from "../../event/agent_op.ts";
import { AgentControl } from "../agent_control.ts";
import type { Call, CommandModule } from "./command.ts";
import { usage } from "./command_line.ts";
import { note } from "./note.ts";
import { ProgressLine } from "./progress_line.ts";
import { visible } from "./table.ts";

/** Of a new file here: it may be one that not everybody in the guest may read. */
const NEW_MODE = 0o600;

/** The command. */
export const cp: CommandModule = {
  args: { min: 2, max: 2 },
  details:
    `Copies one file through the QEMU guest agent: one argument is ENDPOINT:PATH, with an absolute path in the guest, the
other a file here, or - for standard input or output. On a terminal it shows the progress. An existing file is
replaced: here only once the copy is complete, in the guest while it is written. Modes and owners are not copied: a
file that exists keeps its mode, and a new one here can be read by you alone. If the target is a folder here, or a
path in the guest that ends with a slash, the file keeps its name. If copying to the guest is interrupted, the
incomplete file stays there, and its size is reported. Writing to the guest needs the agent lease, which is
acquired for the command.`,
  examples: [
    "cp install.sh web:/root/install.sh",
    "cp web:/var/log/syslog syslog",
    "cp web:/etc/os-release -",
  ],
  async run(call) {
    const [from = "", to = ""] = call.args;
    const isRemote = call.nats !== undefined;
    const source = guestPath(from, isRemote);
    const target = guestPath(to, isRemote);
    if ((source === undefined) === (target === undefined)) {
      throw usage(
        "cp",
        "one of the two is ENDPOINT:PATH, with an absolute path in the guest, the other a file here",
      );
    }
    const here = source === undefined ? from : to;
    if (here === "") throw usage("cp", "the name of the file here is empty");
    if (from === "-" && to.endsWith("/")) throw usage("cp", "what comes from - needs a file's name there");
    await using client = await call.connect({ sources: ["CORE"], prioMin: 1 });
    const [ref, path] = source ?? target as readonly [string, string];
    await using agent = await AgentControl.of(client, ref);
    const bytes = source === undefined
      ? await upload(call, agent, from, inFolder(path, from))
      : await download(call, agent, path, to === "-" ? undefined : await placeHere(to, path));
    if (call.json) call.out.json({ endpoint: agent.endpoint, from, to, bytes });
  },
};

/** "web:/etc/passwd" as its two parts; undefined for a local file. */
function guestPath(text: string, isRemote: boolean): readonly [endpoint: string, path: string] | undefined {
  const colon = text.indexOf(":/");
  const name = text.slice(0, colon);
  // A local file may have a colon after a slash, such as ./a:/b. Over NATS an endpoint is HOST/NAME.
  const isName = isRemote ? /^[^./][^/]*(\/[^/]+)?$/.test(name) : !name.includes("/");
  if (colon < 1 || !isName) return undefined;
  return [text.slice(0, colon), text.slice(colon + 1)];
}

/** A path that ends in a slash names a folder; the file's name is appended. */
function inFolder(path: string, file: string): string {
  return path.endsWith("/") ? path + baseName(file) : path;
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** A file here that is written. */
interface Place {
  readonly path: string;
  readonly mode: number;
}

/** Where a file from the guest goes: in a folder under its own name; never over a pipe or a device. */
async function placeHere(to: string, path: string): Promise<Place> {
  let place = to;
  let there = await statOf(to);
  if (there?.isDirectory === true) {
    place = inFolder(to.endsWith("/") ? to : `${to}/`, path);
    there = await statOf(place);
    if (there?.isDirectory === true) throw new Fault("bad-argument", `Cannot write ${place}: it is a folder`);
  }
  if (there === undefined) return { path: place, mode: NEW_MODE };
  if (there.isFile) return { path: place, mode: (there.mode ?? NEW_MODE) & 0o777 };
  throw new Fault(
    "bad-argument",
    `Cannot write ${place}: it is not a plain file; - writes to standard output`,
  );
}

/** What is there; undefined for nothing, and whatever is in the way is told when it is opened. */
async function statOf(path: string): Promise<Deno.FileInfo | undefined> {
  try {
    return await Deno.stat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    return undefined;
  }
}

async function upload(call: Call, agent: AgentControl, from: string, path: string): Promise<number> {
  if (from === "-") return await send(call, agent, path, Deno.stdin.readable, undefined);
  using file = await openHere(from, { read: true });
  const { isFile, size } = await file.stat();
  if (!isFile) throw new Fault("bad-argument", `Cannot copy ${from}: it is not a plain file`);
  return await send(call, agent, path, pieces(file), size);
}

async function* pieces(file: Deno.FsFile): AsyncGenerator<Uint8Array, void, void> {
  const buffer = new Uint8Array(8 * MAX_AGENT_PIECE);
  for (;;) {
    const got = await file.read(buffer);
    if (got === null) return;
    yield buffer.subarray(0, got);
  }
}

async function send(
  call: Call,
  agent: AgentControl,
  path: string,
  source: AsyncIterable<Uint8Array>,
  size: number | undefined,
): Promise<number> {
  let bytes = 0;
  using progress = new ProgressLine(call);
  const text = shown(path, size);
  try {
    await agent.writeFile(path, source, {
      signal: call.signal,
      progress: (done) => {
        bytes = done;
        progress.show(() => text(done));
      },
    });
  } catch (error) {
    progress[Symbol.dispose]();
    if (bytes > 0) note(call, `${visible(path)} in the guest is not whole: ${bytes} bytes of it are there`);
    throw error;
  }
  return bytes;
}

async function download(
  call: Call,
  agent: AgentControl,
  path: string,
  place: Place | undefined,
): Promise<number> {
  let bytes = 0;
  using progress = new ProgressLine(call);
  const text = shown(path, undefined);
  if (place === undefined) {
    for await (const piece of agent.readFile(path, { signal: call.signal })) {
      call.out.bytes(piece);
      bytes += piece.length;
    }
    return bytes;
  }
  const { path: to, mode } = place;
  const staging = `${to}.${crypto.randomUUID().slice(0, 8)}.part`;
  using file = await openHere(staging, { write: true, createNew: true, mode: NEW_MODE }, to);
  try {
    for await (const piece of agent.readFile(path, { signal: call.signal })) {
      for (let at = 0; at < piece.length;) at += await file.write(piece.subarray(at));
      bytes += piece.length;
      progress.show(() => text(bytes));
    }
    if (mode !== NEW_MODE) await Deno.chmod(staging, mode);
    await Deno.rename(staging, to);
  } catch (error) {
    await Deno.remove(staging);
    if (error instanceof Fault || error instanceof Deno.errors.NotCapable) throw error;
    throw new Fault("refused", `Cannot write ${to}: ${messageOf(error)}`, { cause: error });
  }
  return bytes;
}

async function openHere(path: string, options: Deno.OpenOptions, name = path): Promise<Deno.FsFile> {
  try {
    // If the path is a pipe, open would wait for ever.
    if (options.read === true && (await Deno.stat(path)).isFile === false) {
      throw new Fault("bad-argument", `Cannot copy ${path}: it is not a plain file`);
    }
    return await Deno.open(path, options);
  } catch (error) {
    if (error instanceof Fault || error instanceof Deno.errors.NotCapable) throw error;
    const isMissing = error instanceof Deno.errors.NotFound;
    const why = !isMissing
      ? messageOf(error)
      : options.read === true
      ? "there is no such file"
      : "its folder is not there";
    throw new Fault("bad-argument", `Cannot open ${name}: ${why}`, { cause: error });
  }
}

function shown(what: string, size: number | undefined): (bytes: number) => string {
  return (bytes) => {
    const of = size === undefined || size === 0 ? "" : ` (${Math.floor(100 * bytes / size)} %)`;
    return `${visible(what)}: ${(bytes / 1e6).toFixed(1)} MB${of}`;
  };
}
