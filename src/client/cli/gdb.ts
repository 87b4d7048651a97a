/**
 * `vmsig gdb`: a VM, or one process of its guest, for GDB.
 * @module
 */
import { understood, usage } from "./command_line.ts";
import type { Call, CommandModule } from "./command.ts";
import { note } from "./note.ts";
import { visible } from "./table.ts";

/** The command. */
export const gdb: CommandModule = {
  args: { min: 1, max: 1 },
  options: {
    pid: {
      takes: "number",
      value: "N",
      min: 1,
      max: 4_194_304,
      help: "one process of the guest, by its number",
    },
    listen: {
      takes: "text",
      value: "ADDRESS",
      help: "unix:PATH or 127.0.0.1:PORT; unless told a socket in XDG_RUNTIME_DIR",
    },
  },
  details:
    `Serves the VM by GDB's remote protocol until Ctrl-C, to one gdb at a time, and prints the line that attaches one. A unix
socket is open to its user and root alone; a connection to a port is taken from the same users only.

Without --pid the virtual processors are the threads, and memory is as the guest's kernel sees it. With it they are the
threads of that process: registers are known of those that are off the CPU. Guests are of x86-64; --pid takes Linux.

Attaching stops nothing: what is looked at goes on. Ctrl-C in gdb (after continue) and "monitor stop" stop the VM under
the power lease, writing takes the memwrite lease for the moment. When gdb goes, a VM that it stopped runs again.
There are no breakpoints and no steps, and registers are not written. "monitor help" lists what else there is.`,
  examples: [
    "gdb web",
    "gdb web --pid 1 --listen unix:/run/user/1000/web.gdb",
    "gdb web --listen 127.0.0.1:1234",
  ],
  async run(call) {
    const [ref = ""] = call.args;
    const { parseListenAddress, ViewerListener } = await import("../vnc/viewer_listener.ts");
    const { GdbServer } = await import("../gdb/gdb_server.ts");
    const { GuestContexts } = await import("../gdb/guest_contexts.ts");
    const text = call.text("listen") ?? `unix:${defaultPath(ref)}`;
    const address = understood("gdb", () => parseListenAddress(text));
    await using client = await call.connect({ sources: ["CORE", "MEMCTX", "VMHOST"] });
    await using contexts = await GuestContexts.open(client, ref, call.signal);
    const pid = call.number("pid");
    const target = pid === undefined
      ? new (await import("../gdb/vm_target.ts")).VmTarget(contexts)
      : new (await import("../gdb/process_target.ts")).ProcessTarget(contexts, pid);
    const onNote = (what: string) => note(call, visible(what));
    await using server = new GdbServer(target, { onNote });
    contexts.tell({ onStop: () => server.onStop(), onEnd: () => server.onEnd(), onNote });
    await using listener = await ViewerListener.open(address, server, onNote);
    tellPlace(call, contexts.name, listener.place, target.offset());
    await ended(call, client.events({ kinds: [] }));
  },
};

/** Until Ctrl-C, or until the daemon goes. */
async function ended(call: Call, events: AsyncIterable<unknown> & { end(): void }): Promise<void> {
  call.signal.addEventListener("abort", () => events.end(), { once: true });
  if (call.signal.aborted) events.end();
  for await (const _ of events);
}

function tellPlace({ json, out }: Call, name: string, place: string, offset: bigint | undefined): void {
  const by = offset === undefined ? undefined : `0x${BigInt.asUintN(64, offset).toString(16)}`;
  if (json) {
    return out.json({ endpoint: name, listen: place, ...by === undefined ? {} : { kernelOffset: by } });
  }
  const line = `gdb -ex 'target remote ${visible(place.replace(/^unix:/, ""))}'`;
  out.line(`${visible(name)}: ${line}`);
  if (by !== undefined) out.line(`symbols of its kernel: (gdb) symbol-file vmlinux -o ${by}`);
}

function defaultPath(ref: string): string {
  const dir = Deno.env.get("XDG_RUNTIME_DIR") ?? "";
  if (dir === "") {
    throw usage("gdb", "there is no XDG_RUNTIME_DIR to put a socket in: say where with --listen");
  }
  return `${dir}/vmsig-${ref.replaceAll(/[^\w.@-]/g, "_")}.gdb`;
}
