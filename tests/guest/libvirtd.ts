/**
 * A real libvirtd for tests, with its sockets, its state and its domains in a temporary folder: a session's,
 * of another user, or the system's, as root in a mount namespace of its own, where /etc/libvirt and what it
 * writes are folders of the test. Nothing of the machine's own libvirt is touched. Its domains run under TCG.
 *
 * A QEMU that has ended stays in the process table until its new parent takes note of it, and libvirtd waits
 * for that: so a small program is the parent of both (PR_SET_CHILD_SUBREAPER).
 * @module
 */
import { Fault } from "../../src/base/fault.ts";
import { exists } from "./content_cache.ts";
import { until } from "../fixtures/daemon_process.ts";
import { stopProcess } from "../fixtures/stopped_process.ts";

/** Who runs it: nobody. */
export const LIBVIRT_UID = 65_534;
const START_MS = 180_000;
/** Who runs domains of the system's libvirtd: Debian's number of libvirt-qemu. */
export const LIBVIRT_QEMU_UID = 64_055;
/** Starts libvirtd as a user, with folders bound over others, and takes note of children that it leaves. */
const REAPER = `
import ctypes, json, os, sys
how = json.loads(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(36, 1, 0, 0, 0)
def check(result):
    if result != 0:
        sys.exit(os.strerror(ctypes.get_errno()))
child = os.fork()
if child == 0:
    if how["binds"]:
        check(libc.unshare(0x20000))
        check(libc.mount(b"none", b"/", None, 0x44000, None))
        for source, target in how["binds"]:
            check(libc.mount(source.encode(), target.encode(), None, 0x1000, None))
    if how["uid"] != 0:
        os.setgroups([])
        os.setgid(how["uid"])
        os.setuid(how["uid"])
    libc.prctl(1, 9, 0, 0, 0)
    os.execv("/usr/sbin/libvirtd", ["libvirtd"])
with open(how["pid"] + ".new", "w") as file:
    file.write(str(child))
os.rename(how["pid"] + ".new", how["pid"])
while True:
    pid, status = os.wait()
    if pid == child:
        sys.exit(0)
`;
/** The /usr of another suite, whose libvirt and QEMU are used: \`deno task nightly\`. */
const OTHER_USR = Deno.env.get("VMSIG_TEST_USR");
const KVM = "/dev/kvm";
/** The system's places, over which folders of the test are bound. */
const PLACES = ["/etc/libvirt", "/run", "/var/lib", "/var/cache", "/var/log"];
const USERS = {
  "/etc/passwd": `libvirt-qemu:x:${LIBVIRT_QEMU_UID}:${LIBVIRT_QEMU_UID}::/nonexistent:/usr/sbin/nologin\n`,
  "/etc/group": `libvirt-qemu:x:${LIBVIRT_QEMU_UID}:\nlibvirt:x:64056:\n`,
};
const SYSTEM_QEMU = `stdio_handler = "file"
security_driver = "none"
user = "libvirt-qemu"
group = "libvirt-qemu"
cgroup_controllers = []
`;

/** Whose libvirtd it is, and how it is set. */
export interface LibvirtdOptions {
  /** The system's, as root; else a session's. */
  readonly isSystem?: boolean;
  /** Lines of libvirtd.conf. */
  readonly config?: string;
  /** Hooks of the system's for domains: `hooks/qemu.d/NAME` and what is in it. */
  readonly hooks?: Readonly<Record<string, string>>;
  /** Programs that it finds before the machine's own, by their names. */
  readonly programs?: Readonly<Record<string, string>>;
}

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
  readonly #isSystem: boolean;
  readonly #binds: readonly Bind[];
  readonly #started = new Set<string>();
  #child: Deno.ChildProcess;
  #ended: Promise<Deno.CommandStatus>;

  private constructor(folder: string, isSystem: boolean, binds: readonly Bind[]) {
    this.folder = folder;
    this.#isSystem = isSystem;
    this.#binds = [...binds, ...OTHER_USR === undefined ? [] : [[OTHER_USR, "/usr"] as const]];
    this.#child = this.#spawn();
    this.#ended = this.#child.status;
  }

  /**
   * Starts one.
   *
   * @throws {Fault} `missing` when it is not installed
   */
  static async start(options: LibvirtdOptions = {}): Promise<Libvirtd> {
    const { isSystem = false, config = "", programs = {} } = options;
    const folder = await Deno.makeTempDir({ prefix: "vmsig-lv-" });
    try {
      const binds = isSystem ? await prepareSystem(folder, options) : await prepareSession(folder, config);
      await Deno.mkdir(`${folder}/bin`);
      for (const [name, text] of Object.entries(programs)) {
        await Deno.writeTextFile(`${folder}/bin/${name}`, text, { mode: 0o755 });
      }
      const daemon = new Libvirtd(folder, isSystem, binds);
      try {
        await daemon.#ready();
      } catch (error) {
        await daemon.kill();
        throw error;
      }
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
    return this.#isSystem
      ? `[libvirt]\nsocket = "${this.socket}"\n`
      : `[libvirt]\nuri = "qemu:///session"\nsocket = "${this.socket}"\nusers = ["${LIBVIRT_UID}"]\n`;
  }

  /** What an endpoint of a domain is called. */
  endpoint(name: string): string {
    return `${name}@${this.#isSystem ? LIBVIRT_QEMU_UID : LIBVIRT_UID}`;
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
      <features><acpi/><apic/></features>
      <devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
        <serial type='pty'/><console type='pty'/>
        <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
        <video><model type='vga'/></video><input type='tablet' bus='virtio'/>
        <input type='keyboard' bus='virtio'/>${devices}
      </devices>${more}</domain>`;
    await this.define(name, xml, ...isPaused ? ["--paused"] : []);
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
    await this.signal(signal);
    await this.#ended;
  }

  /** Sends libvirtd a signal. */
  async signal(signal: Deno.Signal): Promise<void> {
    let hasEnded = false;
    this.#ended.then(() => hasEnded = true);
    await until("libvirtd has been started", () => hasEnded || pidIn(this.#pidPath) !== undefined);
    if (hasEnded) return;
    const pid = pidIn(this.#pidPath) as number;
    if (signal === "SIGSTOP") await stopProcess(pid);
    else Deno.kill(pid, signal);
  }

  /** A domain as another client of libvirt's has written it: virt-install's XML. */
  async define(name: string, xml: string, ...start: string[]): Promise<void> {
    const path = `${this.folder}/${name}.xml`;
    await Deno.writeTextFile(path, xml);
    await this.virsh("define", path);
    this.#started.add(name);
    await this.virsh("start", name, ...start);
  }

  /** A domain that comes from elsewhere is ended with the rest. */
  owns(name: string): void {
    this.#started.add(name);
  }

  /** Starts it again, with other lines in libvirtd.conf when they are given. */
  async restart(config?: string): Promise<void> {
    const folder = this.#isSystem ? "libvirt" : "c/libvirt";
    if (config !== undefined) await Deno.writeTextFile(`${this.folder}/${folder}/libvirtd.conf`, config);
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
      if (!(error instanceof TypeError || error instanceof Deno.errors.NotFound)) throw error;
    });
    await Deno.remove(this.folder, { recursive: true });
  }

  /** QEMU's process of a domain; undefined when there is none. */
  async pid(name: string): Promise<number | undefined> {
    return await Promise.resolve(
      pidIn(`${this.folder}/run/libvirt/qemu/${this.#isSystem ? "" : "run/"}${name}.pid`),
    );
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

  get #pidPath(): string {
    return `${this.folder}/libvirtd.pid`;
  }

  #spawn(): Deno.ChildProcess {
    try {
      Deno.removeSync(this.#pidPath);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
    const uid = this.#isSystem ? 0 : LIBVIRT_UID;
    const how = JSON.stringify({ pid: this.#pidPath, uid, binds: this.#binds });
    return this.#command("python3", ["-c", REAPER, how], "null", 0).spawn();
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
        // It is there, and refuses: that is what the test wants to see.
        return !/Failed to connect|Connection refused/.test(String(error));
      }
    }, START_MS);
  }

  #command(
    program: string,
    args: readonly string[],
    output: "piped" | "null",
    uid = this.#isSystem ? 0 : LIBVIRT_UID,
  ): Deno.Command {
    const { folder } = this;
    const as = ["--reuid", `${uid}`, "--regid", `${uid}`, "--clear-groups"];
    const who = [...uid === 0 ? [] : as, "--pdeathsig", "KILL"];
    const uri = this.#isSystem ? { LIBVIRT_DEFAULT_URI: `qemu:///system?socket=${this.socket}` } : {};
    return new Deno.Command("setpriv", {
      args: [...who, program, ...args],
      clearEnv: true,
      env: {
        PATH: `${folder}/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
        // libvirt makes sockets below it, whose paths may have 107 bytes.
        HOME: `${folder}/c`,
        XDG_CONFIG_HOME: `${folder}/c`,
        XDG_RUNTIME_DIR: `${folder}/run`,
        // A client that comes too early would start a libvirtd of its own, which keeps ours from starting.
        LIBVIRT_AUTOSTART: "0",
        LC_ALL: "C",
        ...uri,
      },
      stdin: "null",
      stdout: output,
      stderr: output,
    });
  }
}

/** A folder or file of the test's, and over what it is bound. */
type Bind = readonly [source: string, target: string];

async function prepareSession(folder: string, config: string): Promise<Bind[]> {
  // Without its qemu.conf it starts a virtlogd, which outlives it by two minutes.
  for (const each of ["", "/run", "/c", "/c/libvirt"]) {
    await Deno.mkdir(`${folder}${each}`, { recursive: true });
    await Deno.chown(`${folder}${each}`, LIBVIRT_UID, LIBVIRT_UID);
  }
  await Deno.writeTextFile(`${folder}/c/libvirt/qemu.conf`, 'stdio_handler = "file"\n');
  await Deno.writeTextFile(`${folder}/c/libvirt/libvirtd.conf`, config);
  return [];
}

async function prepareSystem(folder: string, { config, hooks = {} }: LibvirtdOptions): Promise<Bind[]> {
  // QEMU's user goes through it.
  await Deno.chmod(folder, 0o711);
  const binds: Bind[] = [];
  for (const place of PLACES) {
    const own = `${folder}/${place.split("/").at(-1)}`;
    await Deno.mkdir(own, { recursive: true });
    binds.push([own, place]);
  }
  for (const [path, more] of Object.entries(USERS)) {
    const own = `${folder}/${path.split("/").at(-1)}`;
    await Deno.writeTextFile(own, await Deno.readTextFile(path) + more);
    binds.push([own, path]);
  }
  // libvirt asks a QEMU that may open everything whether there is KVM, and QEMU's user, who may not. When
  // they say different things it forgets what this QEMU can do, and asks it anew, several times a domain.
  if (await exists(KVM)) {
    const none = `${folder}/kvm`;
    const { success } = await new Deno.Command("mknod", { args: ["-m", "600", none, "c", "1", "3"] })
      .output();
    if (!success) throw new Fault("missing", "Cannot start libvirtd: mknod does not work here");
    binds.push([none, KVM]);
  }
  const etc = `${folder}/libvirt`;
  await Deno.writeTextFile(`${etc}/qemu.conf`, SYSTEM_QEMU);
  await Deno.writeTextFile(
    `${etc}/libvirtd.conf`,
    config ?? 'auth_unix_rw = "none"\nauth_unix_ro = "none"\n',
  );
  await Deno.mkdir(`${etc}/hooks/qemu.d`, { recursive: true });
  for (const [name, text] of Object.entries(hooks)) {
    await Deno.writeTextFile(`${etc}/hooks/qemu.d/${name}`, text, { mode: 0o755 });
  }
  return binds;
}

/** The pid in a file; undefined without one. */
function pidIn(path: string): number | undefined {
  try {
    const pid = Number(Deno.readTextFileSync(path));
    return Number.isSafeInteger(pid) && pid > 0 ? pid : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
