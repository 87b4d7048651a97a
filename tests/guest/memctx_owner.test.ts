/**
 * RAM of real QEMUs that run as another user than the daemon, or have become one: every kind of shared
 * backend is attached, no file with a name is changed, and an unsealed memfd, which others could write, is
 * refused.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals } from "@std/assert";
import { statFd } from "../../ffi/memfd.ts";
import { DaemonProcess, until } from "../fixtures/daemon_process.ts";

const OWNER = 4242;
const AS_OWNER = ["setpriv", `--reuid=${OWNER}`, `--regid=${OWNER}`, "--clear-groups"];
const MIB = 2 ** 20;

/** A firmware with this backend, and a daemon of root's that has it as "vm", without a look for a system. */
class House implements AsyncDisposable {
  readonly folder: string;
  readonly daemon: DaemonProcess;
  readonly qemu: Deno.ChildProcess;

  private constructor(folder: string, daemon: DaemonProcess, qemu: Deno.ChildProcess) {
    this.folder = folder;
    this.daemon = daemon;
    this.qemu = qemu;
  }

  static async start(
    backend: (folder: string) => string,
    wrapper: readonly string[],
    more: readonly string[] = [],
    daemonWrapper: readonly string[] = [],
  ): Promise<House> {
    const folder = await Deno.makeTempDir({ prefix: "vmsig-owner-" });
    await Deno.chown(folder, OWNER, OWNER);
    const words = [
      ...wrapper,
      "qemu-system-x86_64",
      ...["-accel", "tcg", "-display", "none", "-nodefaults", "-m", "32M"],
      ...["-object", `${backend(folder)},id=ram0,size=32M`, "-machine", "q35,memory-backend=ram0"],
      ...["-qmp", `unix:${folder}/vm.qmp,server=on,wait=off`],
      ...more,
    ];
    const [program, ...args] = words as [string, ...string[]];
    const qemu = new Deno.Command(program, { args, stdin: "null", stdout: "null", stderr: "inherit" })
      .spawn();
    const config = `[[endpoint]]\nname = "vm"\nqmp = "${folder}/vm.qmp"\ninput = "none"\nguest = "none"\n` +
      `[[admission]]\nuid = 0\nendpoints = ["*"]\ncaps = ["*"]\n`;
    return new House(folder, await DaemonProcess.start({ config, wrapper: daemonWrapper }), qemu);
  }

  /** What a control is given of the file. */
  async ram(): Promise<ReturnType<typeof statFd>> {
    await using client = await this.daemon.connect("reader");
    const stream = client.events({ kinds: ["MEMCTX"] });
    // A QEMU that does not take its options ends, and no context comes.
    const ended = this.qemu.status.then(({ code }) => {
      throw new Error(`QEMU ended with ${code}: it says why above`);
    });
    const { value, done } = await Promise.race([stream.next(), ended]);
    if (done) throw new Error("no context came");
    const stat = statFd(value.fd(0));
    await stream.return();
    return stat;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.daemon[Symbol.asyncDispose]();
    this.qemu.kill("SIGKILL");
    await this.qemu.status;
    await Deno.remove(this.folder, { recursive: true });
  }
}

const memfd = (): string => "memory-backend-memfd,share=on";
const inFile = (path: string): string => `memory-backend-file,share=on,mem-path=${path}`;

Deno.test("another user's QEMU: memfd, a file in memory, a file on disk", async () => {
  {
    await using house = await House.start(memfd, AS_OWNER);
    const { sizeBytes, uid, mode } = await house.ram();
    assertEquals([sizeBytes, uid, mode & 0o777], [32 * MIB, OWNER, 0o400]);
  }
  const inMemory = `/dev/shm/vmsig-owner-${crypto.randomUUID()}`;
  for (const place of [() => inMemory, (folder: string) => `${folder}/ram`]) {
    try {
      await using house = await House.start((folder) => inFile(place(folder)), AS_OWNER);
      const given = await house.ram();
      const file = await Deno.stat(place(house.folder));
      assertEquals([given.sizeBytes, given.uid, given.ino], [32 * MIB, OWNER, file.ino as number]);
      // A name's mode is its owner's wish: QEMU makes it 0644 less its mask.
      assertEquals((file.mode as number) & 0o400, 0o400);
      assert(((file.mode as number) & 0o777) !== 0o400, "its mode is as QEMU made it");
    } finally {
      await Deno.remove(inMemory).catch(() => {});
    }
  }
});

Deno.test("a QEMU that root started and that became another user: its RAM is root's memfd, and it is attached", async () => {
  // QEMU 9.1 has the new option, 10.0 no longer the old one.
  const help = await new Deno.Command("qemu-system-x86_64", { args: ["-help"] }).output();
  const isNew = /user=username\|uid:gid/.test(new TextDecoder().decode(help.stdout));
  const user = `${OWNER}:${OWNER}`;
  await using house = await House.start(memfd, [], isNew ? ["-run-with", `user=${user}`] : ["-runas", user]);
  const { uid, mode } = await house.ram();
  assertEquals([uid, mode & 0o777], [0, 0o400]);
  const status = await Deno.readTextFile(`/proc/${house.qemu.pid}/status`);
  assert(status.includes(`Uid:\t${OWNER}\t${OWNER}\t${OWNER}\t${OWNER}\n`));
});

Deno.test("the daemon as the service runs it, a user of its own with three capabilities: another user's QEMU is attached", async () => {
  const caps = "+sys_ptrace,+dac_override,+fowner";
  const service = ["setpriv", "--reuid=4300", "--regid=4300", "--clear-groups"];
  const wrapper = [...service, `--inh-caps=${caps}`, `--ambient-caps=${caps}`];
  for (const backend of [memfd, (folder: string) => inFile(`${folder}/ram`)]) {
    await using house = await House.start(backend, AS_OWNER, [], wrapper);
    const { sizeBytes, uid } = await house.ram();
    assertEquals([sizeBytes, uid], [32 * MIB, OWNER]);
  }
});

Deno.test("root's own QEMU, and a memfd that is not sealed: refused with what to do", async () => {
  {
    await using house = await House.start(memfd, []);
    assertEquals((await house.ram()).uid, 0);
  }
  await using house = await House.start(() => "memory-backend-memfd,share=on,seal=off", AS_OWNER);
  await house.daemon.says(/its memfd ram0 is not sealed, and writable for others; start QEMU with seal=on/);
  await until("the rest of it is there", async () => {
    return (await house.daemon.metrics()).includes('vmsig_seam_up{endpoint="vm",seam="vmhost"} 1');
  });
});
