/**
 * A guest with Debian's real guest agent in it, and the config of a daemon that has nothing but its monitor.
 * @module
 */
import { type DaemonProcess, until } from "../fixtures/daemon_process.ts";
import { compiledProgram } from "./c_program.ts";
import { agentChannel, agentFiles, START_AGENT } from "./agent_payload.ts";
import type { GuestProcess } from "./guest_process.ts";
import type { Qemu } from "./qemu.ts";
import { startSavedGuest } from "./saved_guest.ts";

/** The endpoint `vm`. */
export const config = (vm: Qemu): string =>
  `[[endpoint]]\nname = "vm"\nqmp = "${vm.qmpPath}"\ninput = "none"\nmemory = "none"\ndisplay = "none"\n`;

/** A guest with the agent's channel, in a folder that goes with it. */
export class AgentGuest implements AsyncDisposable {
  /** The guest. */
  readonly vm: Qemu;
  /** Its agent's channel. */
  readonly path: string;
  readonly #folder: string;

  private constructor(vm: Qemu, folder: string) {
    this.vm = vm;
    this.#folder = folder;
    this.path = `${folder}/ga.sock`;
  }

  /**
   * Starts one.
   *
   * @param more properties of the agent's port: ",id=port0"
   * @param hasDisk with an ext4 on /dev/vda
   */
  static async start(more = "", hasDisk = false): Promise<AgentGuest> {
    const folder = await Deno.makeTempDir({ prefix: "vmsig-agent-" });
    try {
      const vm = await startSavedGuest({
        programs: ["worker"],
        modules: ["virtio_pci", "virtio_console", ...hasDisk ? ["virtio_blk", "ext4"] : []],
        // The agent runs it by this path.
        files: { ...await agentFiles(), "/sbin/shutdown": await Deno.readFile((await worker()).path) },
        extraArgs: [
          ...agentChannel(`${folder}/ga.sock`, more),
          ...hasDisk ? await disk(`${folder}/disk`) : [],
        ],
      });
      return new AgentGuest(vm, folder);
    } catch (error) {
      await Deno.remove(folder, { recursive: true });
      throw error;
    }
  }

  /** Starts the agent in the guest. */
  async agent(): Promise<GuestProcess> {
    return await this.vm.agent.start(...START_AGENT);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.vm[Symbol.asyncDispose]();
    await Deno.remove(this.#folder, { recursive: true });
  }
}

/** Waits until the agent is on the bus, or off it. */
export async function isUp(daemon: DaemonProcess, wanted = true): Promise<void> {
  await using client = await daemon.connect("waits");
  await until(`the agent is ${wanted ? "up" : "down"}`, () => {
    return client.roster.list()[0]?.seams.includes("agent") === wanted;
  });
}

/** An empty ext4 of 16 MiB as a disk; its arguments. */
async function disk(path: string): Promise<string[]> {
  const args = ["-q", "-t", "ext4", path, "16M"];
  const { success, stderr } = await new Deno.Command("/usr/sbin/mke2fs", { args, stderr: "piped" }).output();
  if (!success) throw new Error(`mke2fs: ${new TextDecoder().decode(stderr).trim()}`);
  return ["-drive", `file=${path},format=raw,if=virtio`];
}

async function worker(): Promise<{ readonly path: string }> {
  return await compiledProgram("worker", "amd64");
}
