/**
 * `vmsig vnc`: a VM's screen, keyboard and mouse for any VNC viewer.
 * @module
 */
import { readSecretFile } from "../../../ffi/regular_file.ts";
import { suggestion } from "../../base/closest_name.ts";
import { Fault, messageOf } from "../../base/fault.ts";
import { MAX_FRAMES_PER_SECOND, MAX_HEADS } from "../../base/limits.ts";
import type { TakeBy } from "../vnc/input_seat.ts";
import type { Call, CommandModule } from "./command.ts";
import { understood, usage } from "./command_line.ts";
import { note } from "./note.ts";
import { visible } from "./table.ts";

const TAKES: readonly TakeBy[] = ["key", "click", "connect"];
/** A password is the first line, of which eight bytes are used. */
const MOST_PASSWORD_BYTES = 4096;

/** The command. */
export const vnc: CommandModule = {
  args: { min: 1, max: 1 },
  options: {
    listen: {
      takes: "text",
      value: "ADDRESS",
      help: "unix:PATH or 127.0.0.1:PORT (default: a socket in XDG_RUNTIME_DIR)",
    },
    "password-file": {
      takes: "text",
      value: "FILE",
      help: "the password is its first line, of which VNC uses eight bytes",
    },
    "view-only": { takes: "nothing", help: "viewers can only watch" },
    take: {
      takes: "text",
      value: "BY",
      choices: TAKES,
      help: "how a viewer takes keyboard and mouse: key (default; a key or a click), click, connect",
    },
    idle: {
      takes: "number",
      value: "MS",
      min: 100,
      max: 86_400_000,
      help: "give them back after this time without input (60000)",
    },
    head: { takes: "number", value: "N", max: MAX_HEADS - 1, help: "which head of the VM (0)" },
    fps: {
      takes: "number",
      value: "N",
      min: 1,
      max: MAX_FRAMES_PER_SECOND,
      help: "at most this many frames per second (30)",
    },
  },
  details:
    `Serves the VM's screen over RFB 3.8 until Ctrl-C. TigerVNC, noVNC (with websockify), Remmina and others can connect
to ADDRESS. Only its user and root can connect to a unix socket. Every user of this host can connect to a loopback
port, so it needs --password-file; from other hosts, use a tunnel (ssh -L 5900:127.0.0.1:5900, or -L 5900:PATH).

Viewers only watch until one takes keyboard and mouse, which acquires the input lease if no other control owns it;
the viewers' window titles show who has it. Held keys are released when the viewer disconnects, is pre-empted or
gives the lease back. While no viewer is connected, no pictures are taken. The command keeps running when the VM
resets, ends or returns, and when the daemon restarts.`,
  examples: [
    "vnc web",
    "vnc web --listen unix:/run/user/1000/web.vnc",
    "vnc web --listen 127.0.0.1:5901 --password-file ~/.config/vmsig/vnc --take click",
  ],
  async run(call) {
    const [ref = ""] = call.args;
    const take = call.text("take");
    if (take !== undefined && !TAKES.some((each) => each === take)) {
      throw usage("vnc", `there is no --take ${visible(take)}${suggestion(take, TAKES)}`);
    }
    if (take !== undefined && call.flag("view-only")) throw usage("vnc", "--view-only takes nothing");
    const { parseListenAddress, ViewerListener } = await import("../vnc/viewer_listener.ts");
    const { VncScreen } = await import("../vnc/vnc_screen.ts");
    const text = call.text("listen") ?? `unix:${defaultPath(ref)}`;
    const address = understood("vnc", () => parseListenAddress(text));
    const file = call.text("password-file");
    if (address.kind === "tcp" && file === undefined) {
      throw usage("vnc", "every user of this host can reach a port: --password-file is needed with it");
    }
    const password = file === undefined ? undefined : readPassword(file);
    await using client = await call.connect({ sources: ["CORE", "FRAME"] }, true);
    const name = client.roster.nameOf(await client.endpoint(ref));
    const tell = (what: string) => note(call, what);
    const [head, idleMs, perSecond] = [call.number("head"), call.number("idle"), call.number("fps")];
    await using screen = new VncScreen({
      client,
      // By its name, so that it is found again when it returns.
      ref: name,
      name,
      takeBy: call.flag("view-only") ? "never" : take as TakeBy | undefined ?? "key",
      onTrouble: (why) => tell(why === "" ? `${visible(name)} is shown` : why),
      onSeat: (owner, why) =>
        tell(
          owner === undefined
            ? `keyboard and mouse are free: ${why}`
            : `${owner.label} has keyboard and mouse`,
        ),
      onEnded: (viewer, why) => tell(`${viewer.label} ended: ${why}`),
      ...(head === undefined ? {} : { head }),
      ...(idleMs === undefined ? {} : { idleMs }),
      ...(perSecond === undefined ? {} : { perSecond }),
      ...(password === undefined ? {} : { password }),
    });
    await using listener = await ViewerListener.open(address, screen.server, tell);
    tellPlace(call, name, listener.place);
    await ended(call, client.events({ kinds: [] }));
  },
};

/** Until Ctrl-C, or until the daemon no longer admits this control. */
async function ended(call: Call, events: AsyncIterable<unknown> & { end(): void }): Promise<void> {
  call.signal.addEventListener("abort", () => events.end(), { once: true });
  if (call.signal.aborted) events.end();
  for await (const _ of events);
}

function tellPlace({ json, out }: Call, name: string, place: string): void {
  if (json) out.json({ endpoint: name, listen: place });
  else out.line(`${visible(name)}: VNC on ${visible(place)}; Ctrl-C ends it`);
}

function defaultPath(ref: string): string {
  const dir = Deno.env.get("XDG_RUNTIME_DIR") ?? "";
  if (dir === "") {
    throw usage("vnc", "XDG_RUNTIME_DIR is not set, so there is no folder for the socket: pass --listen");
  }
  return `${dir}/vmsig-${ref.replaceAll(/[^\w.@-]/g, "_")}.vnc`;
}

function readPassword(path: string): string {
  const refuse = (why: string, cause?: unknown) =>
    new Fault("refused", `Cannot use the password in ${visible(path)}: ${why}`, { cause });
  let text: string;
  try {
    text = new TextDecoder().decode(readSecretFile(path, MOST_PASSWORD_BYTES));
  } catch (error) {
    throw refuse(messageOf(error), error);
  }
  const [password = ""] = text.split(/\r?\n/);
  if (password === "") throw refuse("its first line is empty");
  return password;
}
