/**
 * A real libvirtd for tests, in a session of its own: another user's, with its sockets, its state and its
 * domains in a temporary folder. Nothing of the machine's own libvirt is touched. Its domains run under TCG.
 * @module
 */
import { Fault } from "../../src/base/fault.ts";
import { until } from "../fixtures/daemon_process.ts";

/** Who runs it: nobody. */
export const LIBVIRT_UID = 65_534;
const START_MS = 180_000;

/** What of a domain differs. */
export interface DomainOptions {
  /** Whether its RAM can be shared. */
  readonly memfd?: boolean;
  /** More devices, as XML. */
  readonly devices?: string;
  /** A system: without one the firmware finds nothing to boot. */
  readonly boot?: { readonly kernel: string; readonly initrd: string; readonly words: string };
  /** RAM in MiB; 64 unless said otherwise. */
  readonly ramMiB?: number;
  /** Its processors stand still until `virsh resume`. */
  readonly isPaused?: boolean;
  /** More of the domain, behind its devices: `<qemu:commandline>`. */
  readonly more?: string;
}

/** A running libvirtd. */
export class Libvirtd implements AsyncDisposable {
  /** Its folder, which the user may write. */
  readonly folder: string;
  readonly #started = new Set<string>();
  #child: Deno.ChildProcess;
  #ended: Promise<Deno.CommandStatus>;

  private constructor(folder: string) {
    this.folder = folder;
    this.#child = this.#spawn();
    this.#ended = this.#child.status;
  }

  /**
   * Starts one.
   *
   * @throws {Fault} `missing` when it is not installed
   */
  static async start(): Promise<Libvirtd> {
    const folder = await Deno.makeTempDir({ prefix: "vmsig-lv-" });
    try {
      for (const each of ["run", "c"]) await Deno.mkdir(`${folder}/${each}`);
      for (const path of [folder, `${folder}/run`, `${folder}/c`]) {
        await Deno.chown(path, LIBVIRT_UID, LIBVIRT_UID);
      }
      // Without this it starts a virtlogd, which outlives it by two minutes.
      await Deno.mkdir(`${folder}/c/libvirt`);
      await Deno.writeTextFile(`${folder}/c/libvirt/qemu.conf`, 'stdio_handler = "file"\n');
      await Deno.chown(`${folder}/c/libvirt`, LIBVIRT_UID, LIBVIRT_UID);
      const daemon = new Libvirtd(folder);
      await daemon.#ready();
      return daemon;
    } catch (error) {
      await Deno.remove(folder, { recursive: true });
      throw error;
    }
  }

  /** Its socket. */
  get socket(): string {
    return `${this.folder}/run/libvirt/libvirt-sock`;
  }

  /** The config of a daemon that uses it. */
  get config(): string {
    return `[libvirt]\nuri = "qemu:///session"\nsocket = "${this.socket}"\nusers = ["${LIBVIRT_UID}"]\n`;
  }

  /** What an endpoint of a domain is called. */
  endpoint(name: string): string {
    return `${name}@${LIBVIRT_UID}`;
  }

  /** Starts a domain, as virt-install writes one. */
  async domain(name: string, options: DomainOptions = {}): Promise<void> {
    const shared = "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>";
    const { boot, ramMiB = 64, isPaused = false, memfd = false, devices = "", more = "" } = options;
    const system = boot === undefined
      ? ""
      : `<kernel>${boot.kernel}</kernel><initrd>${boot.initrd}</initrd><cmdline>${boot.words}</cmdline>`;
    const xml = `<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
      <name>${name}</name><memory unit='MiB'>${ramMiB}</memory>${memfd ? shared : ""}
      <os><type arch='x86_64' machine='q35'>hvm</type>${system}</os>
      <devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
        <serial type='pty'/><console type='pty'/>
        <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
        <video><model type='vga'/></video><input type='tablet' bus='virtio'/>
        <input type='keyboard' bus='virtio'/>${devices}
      </devices>${more}</domain>`;
    const path = `${this.folder}/${name}.xml`;
    await Deno.writeTextFile(path, xml);
    await this.virsh("define", path);
    this.#started.add(name);
    await this.virsh("start", name, ...isPaused ? ["--paused"] : []);
  }

  /** libvirt's own client, as its user. */
  async virsh(...args: string[]): Promise<string> {
    const { success, stdout, stderr } = await this.#command("virsh", args, "piped").output();
    const decoder = new TextDecoder();
    if (!success) throw new Error(`virsh ${args.join(" ")}: ${decoder.decode(stderr).trim()}`);
    return decoder.decode(stdout);
  }

  /** Ends libvirtd; its domains run on. */
  async kill(signal: Deno.Signal = "SIGKILL"): Promise<void> {
    this.#child.kill(signal);
    await this.#ended;
  }

  /** Starts it again. */
  async restart(): Promise<void> {
    this.#child = this.#spawn();
    this.#ended = this.#child.status;
    await this.#ready();
  }

  /** Ends domains and libvirtd, and removes the folder. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const name of this.#started) {
      try {
        await this.virsh("destroy", name);
      } catch (error) {
        // It has ended already, or libvirtd has: then its process is ended below.
        if (!(error instanceof Error)) throw error;
      }
      await this.#endProcess(name);
    }
    await this.kill("SIGTERM").catch((error) => {
      if (!(error instanceof TypeError)) throw error;
    });
    await Deno.remove(this.folder, { recursive: true });
  }

  /** QEMU's process of a domain; undefined when there is none. */
  async pid(name: string): Promise<number | undefined> {
    try {
      return Number(await Deno.readTextFile(`${this.folder}/run/libvirt/qemu/run/${name}.pid`));
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw error;
    }
  }

  async #endProcess(name: string): Promise<void> {
    const pid = await this.pid(name);
    if (pid === undefined) return;
    try {
      Deno.kill(pid, "SIGKILL");
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound || error instanceof TypeError)) throw error;
    }
  }

  #spawn(): Deno.ChildProcess {
    return this.#command("libvirtd", [], "null").spawn();
  }

  async #ready(): Promise<void> {
    await until("libvirtd answers", async () => {
      try {
        await this.virsh("list");
        return true;
      } catch (error) {
        if (error instanceof Deno.errors.NotFound) {
          throw new Fault("missing", "Cannot start libvirtd: run scripts/setup.sh guest");
        }
        return false;
      }
    }, START_MS);
  }

  #command(program: string, args: readonly string[], output: "piped" | "null"): Deno.Command {
    const who = [
      "--reuid",
      `${LIBVIRT_UID}`,
      "--regid",
      `${LIBVIRT_UID}`,
      "--clear-groups",
      "--pdeathsig",
      "KILL",
    ];
    const { folder } = this;
    return new Deno.Command("setpriv", {
      args: [...who, program, ...args],
      clearEnv: true,
      env: {
        PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
        // libvirt makes sockets below it, whose paths may have 107 bytes.
        HOME: `${folder}/c`,
        XDG_CONFIG_HOME: `${folder}/c`,
        XDG_RUNTIME_DIR: `${folder}/run`,
        // A client that comes too early would start a libvirtd of its own, which keeps ours from starting.
        LIBVIRT_AUTOSTART: "0",
        LC_ALL: "C",
      },
      stdin: "null",
      stdout: output,
      stderr: output,
    });
  }
}
