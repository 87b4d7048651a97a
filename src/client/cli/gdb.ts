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
      help: "a process in the guest, by its pid",
    },
    listen: {
      takes: "text",
      value: "ADDRESS",
      help: "unix:PATH or 127.0.0.1:PORT (default: a socket in XDG_RUNTIME_DIR)",
    },
  },
  details:
    `Serves the VM over GDB's remote protocol until Ctrl-C, to one gdb at a time, and prints the command that attaches
gdb. Only its user and root can connect, to a unix socket as well as to a port.

Without --pid, gdb's threads are the virtual processors, and memory is the guest kernel's. With --pid, they are the
threads of that process; registers are known only of threads that are off the CPU. Guests must be x86-64, and Linux
for --pid.

Attaching does not stop the VM. Ctrl-C in gdb (after continue) and "monitor stop" stop it under the power lease;
each write acquires the memwrite lease for that moment. When gdb disconnects, a VM that it stopped is continued.
Breakpoints, stepping and writing registers are not supported. "monitor help" lists further commands.`,
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
    throw usage("gdb", "XDG_RUNTIME_DIR is not set, so there is no folder for the socket: pass --listen");
  }
  return `${dir}/vmsig-${ref.replaceAll(/[^\w.@-]/g, "_")}.gdb`;
}
