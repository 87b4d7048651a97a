/**
 * RAM that is replaced without a reset: a snapshot of an earlier boot is loaded, and the context is that of
 * the kernel that runs then.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { assertEquals } from "@std/assert";
import type { ClientEvent } from "../../src/client/client_event.ts";
import type { EventStream } from "../../src/client/event_stream.ts";
import { readU64 } from "../../src/base/layout.ts";
import { MEMCTX } from "../../src/event/body_layout.ts";
import { INVALIDATED } from "../../src/event/body_number.ts";
import { DaemonProcess } from "../fixtures/daemon_process.ts";
import { startSavedGuest } from "./saved_guest.ts";

async function next(stream: EventStream, kind: string): Promise<ClientEvent> {
  for (;;) {
    const { value, done } = await stream.next();
    if (done) throw new Error(`the stream ended before ${kind} came`);
    if (value.kindName === kind) return value.detach();
  }
}

const rootOf = (event: ClientEvent) => readU64(event.view, MEMCTX.at.kcr3);

Deno.test("memctx: a snapshot of another boot is loaded: the old context ends, and the right one is told", async () => {
  const folder = await Deno.makeTempDir({ prefix: "vmsig-snapshot-" });
  try {
    const disk = `${folder}/state.qcow2`;
    const made = await new Deno.Command("qemu-img", { args: ["create", "-q", "-f", "qcow2", disk, "64M"] })
      .output();
    assertEquals(made.success, true);
    await using vm = await startSavedGuest({
      extraArgs: ["-drive", `if=none,id=state,file=${disk}`, "-device", "virtio-blk-pci,drive=state"],
    });
    const config = `[[endpoint]]\nname = "vm"\nqmp = "${vm.qmpPath}"\ninput = "none"\ndisplay = "none"\n`;
    await using daemon = await DaemonProcess.start({ config });
    await using client = await daemon.connect("watches");
    await using _lease = await client.acquire("vm", "power");
    const stream = client.events({ kinds: ["MEMCTX", "MEMCTX_INVALIDATED"] });
    using saved = await next(stream, "MEMCTX");
    const root = rootOf(saved);
    await client.vm("vm").save("first");
    // A VM that was only stopped and goes on keeps its context.
    for (let i = 0; i < 3; i++) {
      await client.vm("vm", "stop");
      await client.vm("vm", "cont");
    }
    // Another boot has its kernel elsewhere, mostly.
    for (let boots = 1, other = root; other === root; boots++) {
      await vm.agent.power("reboot");
      using ended = await next(stream, "MEMCTX_INVALIDATED");
      assertEquals(ended.view.getUint32(4, true), INVALIDATED.RESET);
      using again = await next(stream, "MEMCTX");
      other = rootOf(again);
      if (boots > 8) throw new Error("the kernel lies in the same place 8 times");
    }
    // Twice: of another boot, and of the same one, whose kernel lies where it was.
    for (let i = 0; i < 2; i++) {
      await client.vm("vm").load("first");
      using over = await next(stream, "MEMCTX_INVALIDATED");
      assertEquals(over.view.getUint32(4, true), INVALIDATED.RAM_REPLACED);
      using loaded = await next(stream, "MEMCTX");
      assertEquals(rootOf(loaded), root);
      assertEquals(loaded.as("MEMCTX")?.epoch, (over.as("MEMCTX_INVALIDATED")?.epoch ?? 0) + 1);
    }
    await stream.return();
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
