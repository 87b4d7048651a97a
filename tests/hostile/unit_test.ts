/**
 * The systemd unit: valid, no more exposed than it was, and enough for the daemon. Where there is no systemd
 * to run it, its user, its capabilities and its system call filter are put together by setpriv and seccomp,
 * and a real daemon serves a real QEMU of another user under them.
 */
import { assert, assertEquals } from "@std/assert";
import { configText, DaemonProcess, until, vmsig } from "../fixtures/daemon_process.ts";

const UNIT = new URL("../../config/vmsigd.service", import.meta.url).pathname;
const LAUNCHER = new URL("./allowed_calls.c", import.meta.url).pathname;
/** In tenths, as systemd-analyze takes it: 2.5 was the unit's before. */
const MOST_EXPOSED = 20;
const DAEMON_UID = 4242;
const QEMU_UID = 4243;
const CAPS = "+sys_ptrace,+dac_override,+fowner";

const has = (program: string): boolean =>
  new Deno.Command("sh", { args: ["-c", `command -v ${program}`], stdout: "null" }).outputSync().success;
const hasAnalyze = has("systemd-analyze");
const unit = Deno.readTextFileSync(UNIT);

function run(program: string, args: readonly string[]): { code: number; text: string } {
  const { code, stdout, stderr } = new Deno.Command(program, { args: [...args] }).outputSync();
  const decoder = new TextDecoder();
  return { code, text: decoder.decode(stdout) + decoder.decode(stderr) };
}

/** Values of a key of the unit, in order. */
function values(key: string): string[] {
  return unit.split("\n").filter((line) => line.startsWith(`${key}=`)).map((line) =>
    line.slice(key.length + 1)
  );
}

Deno.test("the unit lets no process be read or written past its files, bounds its memory, and makes no core", () => {
  assertEquals(values("AmbientCapabilities"), ["CAP_SYS_PTRACE CAP_DAC_OVERRIDE CAP_FOWNER"]);
  assertEquals(values("CapabilityBoundingSet"), values("AmbientCapabilities"));
  assertEquals([values("MemoryHigh"), values("MemoryMax"), values("LimitCORE")], [["1536M"], ["2G"], ["0"]]);
  assert(!/no way to more/.test(unit), "its capabilities are a way to root, and it says so");
});

Deno.test({
  name: "the unit is valid, and no more exposed than it was",
  ignore: !hasAnalyze,
  fn: async () => {
    const folder = await Deno.makeTempDir();
    try {
      // The program need not be installed here.
      const path = `${folder}/vmsigd.service`;
      await Deno.writeTextFile(path, unit.replace("ExecStart=/usr/bin/vmsig", "ExecStart=/bin/true"));
      const verify = run("systemd-analyze", ["verify", "--man=no", path]);
      assertEquals([verify.code, verify.text], [0, ""]);
      const security = run("systemd-analyze", [
        "security",
        "--no-pager",
        "--offline=true",
        `--threshold=${MOST_EXPOSED}`,
        path,
      ]);
      assertEquals(security.code, 0, security.text);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

/** The names that the unit's filter allows, its sets taken apart. */
function allowedCalls(): Set<string> {
  const allowed = new Set<string>();
  const expand = (word: string): string[] => {
    if (!word.startsWith("@")) return [word];
    const { code, text } = run("systemd-analyze", ["syscall-filter", "--no-pager", word]);
    assertEquals(code, 0, text);
    const [, ...lines] = text.split("\n").filter((line) => line.trim() !== "" && !/^\s*#/.test(line));
    return lines.flatMap((line) => expand(line.trim()));
  };
  for (const value of values("SystemCallFilter")) {
    const denies = value.startsWith("~");
    for (const word of value.replace("~", "").split(" ")) {
      for (const name of expand(word)) {
        if (denies) allowed.delete(name);
        else allowed.add(name);
      }
    }
  }
  // systemd always leaves what starts a program; execve is of the set @default.
  return allowed;
}

function numbersOf(names: ReadonlySet<string>): number[] {
  const source = [...names].map((name) => `#ifdef __NR_${name}\n__NR_${name}\n#endif\n`).join("");
  const child = run("sh", [
    "-c",
    `printf '%s' "$1" | cc -E -P -include sys/syscall.h -x c - | grep -E '^[0-9]+$'`,
    "sh",
    source,
  ]);
  return child.text.trim().split("\n").map(Number);
}

Deno.test({
  name:
    "the daemon serves a VM of another user with the unit's user, capabilities and system calls, and no others",
  ignore: !hasAnalyze || !has("cc") || !has("qemu-system-x86_64"),
  fn: async () => {
    const names = allowedCalls();
    for (const name of ["pidfd_open", "execve", "sched_setscheduler", "io_submit"]) {
      assert(names.has(name), name);
    }
    for (
      const name of [
        "ptrace",
        "pidfd_getfd",
        "process_vm_readv",
        "process_vm_writev",
        "mount",
        "setuid",
        "bpf",
        "keyctl",
      ]
    ) {
      assert(!names.has(name), name);
    }
    const folder = await Deno.makeTempDir({ prefix: "vmsig-unit-" });
    let qemu: Deno.ChildProcess | undefined;
    try {
      await Deno.writeTextFile(`${folder}/calls`, numbersOf(names).join("\n"));
      assertEquals(
        run("cc", ["-O1", "-std=gnu11", "-Wall", "-Werror", "-o", `${folder}/allowed_calls`, LAUNCHER]),
        {
          code: 0,
          text: "",
        },
      );
      await Deno.mkdir(`${folder}/vm`, { mode: 0o700 });
      await Deno.mkdir(`${folder}/run`);
      for (const [path, uid] of [["vm", QEMU_UID], ["run", DAEMON_UID]] as const) {
        await Deno.chown(`${folder}/${path}`, uid, uid);
      }
      await Deno.chmod(folder, 0o755);
      qemu = new Deno.Command("setpriv", {
        args: [`--reuid=${QEMU_UID}`, `--regid=${QEMU_UID}`, "--clear-groups", "qemu-system-x86_64"].concat(
          [
            "-display",
            "none",
            "-nodefaults",
            "-accel",
            "tcg",
            "-machine",
            "q35,memory-backend=ram0",
            "-m",
            "64M",
          ],
          ["-object", "memory-backend-memfd,id=ram0,size=64M,share=on", "-S"],
          ["-qmp", `unix:${folder}/vm/a.qmp,server=on,wait=off`],
        ),
        stdin: "null",
        stdout: "null",
        stderr: "null",
      }).spawn();
      await until("the monitor", () => Deno.stat(`${folder}/vm/a.qmp`).then(() => true, () => false));
      await using daemon = await DaemonProcess.start({
        folder: `${folder}/run`,
        config: `[[admission]]\nuid = 0\nendpoints = ["*"]\ncaps = ["*"]\n` +
          `[[admission]]\nuid = ${DAEMON_UID}\nendpoints = ["*"]\ncaps = ["*"]\n` +
          `[[endpoint]]\nname = "vm"\nqmp = "${folder}/vm/a.qmp"\n`,
        wrapper: [
          "setpriv",
          `--reuid=${DAEMON_UID}`,
          `--regid=${DAEMON_UID}`,
          "--clear-groups",
          `--bounding-set=-all,${CAPS}`,
          `--inh-caps=-all,${CAPS}`,
          `--ambient-caps=-all,${CAPS}`,
          "--no-new-privs",
          `${folder}/allowed_calls`,
          `${folder}/calls`,
        ],
      });
      await using client = await daemon.connect("unit");
      await until("its state", async () => {
        return await client.vmState("vm").then(({ state }) => state === "paused", () => false);
      });
      const info = await memoryOf(() => vmsig(["ls", "--json", "--socket", daemon.socket]));
      assert(info.includes("memctx"), info);
      assert((await daemon.metrics()).includes("vmsig_controls"));
      await daemon.reload(configText(""));
      const status = Deno.readTextFileSync(`/proc/${daemon.pid}/status`);
      assertEquals(/^Seccomp:\s+(\d)/m.exec(status)?.[1], "2");
      assertEquals(/^CapEff:\s+(\w+)/m.exec(status)?.[1], "000000000008000a");
      assertEquals((await daemon.stop()).code, 0, daemon.logText);
    } finally {
      qemu?.kill("SIGKILL");
      await qemu?.status;
      await Deno.remove(folder, { recursive: true });
    }
  },
});

/** What ls says once the memory of the VM is there. */
async function memoryOf(list: () => Promise<{ text: string }>): Promise<string> {
  let text = "";
  await until("the VM's memory", async () => {
    ({ text } = await list());
    return text.includes("memctx");
  });
  return text;
}
